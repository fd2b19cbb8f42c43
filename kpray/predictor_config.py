"""What the configurations of all predictors have in common; apart from `Predictor`, which takes no pydantic."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field
from typing_extensions import override

from kpray.errors import UserError
from kpray.settings import Settings


class PredictorConfig(Settings):
    """Base of the configuration of every predictor."""

    def pinned(self) -> Self:
        """The same configuration with what depends on the machine decided on this one.

        Raises:
            UserError: it cannot be met on this machine.
        """
        return self


class TrainedOptions(PredictorConfig):
    """How a saved model predicts, whatever its method: what a user may set."""

    batch_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of one forward pass, padding included; null: what suits the device."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the models; `auto`: float32 on a CPU, float16 on a GPU."""
    device: str = "auto"
    """Where the models run: `cpu`, `cuda`, `cuda:1`; `auto`: a GPU if there is one."""


class TrainedConfig(PredictorConfig):
    """Which saved model predicts."""

    model: str
    """Folder that training wrote."""
    weights: str | None = None
    """Start of the SHA-256 that its weights must have; null: any."""

    @abstractmethod
    def weights_sha256(self) -> str:
        """First 16 digits of the SHA-256 of the folder's weights.

        Raises:
            UserError: they cannot be read.
        """

    @override
    def pinned(self) -> Self:
        here = self.model_copy(update={"model": str(Path(self.model).resolve())})
        return here.model_copy(update={"weights": here.weights_sha256()})

    def checked(self) -> Self:
        """The same configuration with the weights that are there.

        Raises:
            UserError: they are others than it says, or cannot be read.
        """
        weights = self.weights_sha256()
        if self.weights not in (None, weights):
            raise UserError(
                f"the weights are {weights}, not {self.weights}",
                where=self.model,
                fix="they were trained anew: begin a new output",
            )
        return self.model_copy(update={"weights": weights})
