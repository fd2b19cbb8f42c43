"""Base classes for the configurations of predictors. `kpray.predictor` does not import pydantic, so they are here."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field
from typing_extensions import override

from kpray.errors import UserError
from kpray.hub import pin_name, predictor_folder
from kpray.settings import Settings


class PredictorConfig(Settings):
    """Base of the configuration of every predictor."""

    def pinned(self) -> Self:
        """A copy of the configuration in which every choice that depends on the machine is fixed.

        Raises:
            UserError: this machine lacks something that the configuration needs.
        """
        return self


class TrainedOptions(PredictorConfig):
    """Options of every saved model."""

    batch_tokens: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of tokens in one forward pass, including padding. If null, it depends on the device."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Floating-point format of the models. `auto` is float32 on a CPU and float16 on a GPU."""
    device: str = "auto"
    """Device of the models: `cpu`, `cuda`, `cuda:1`. `auto` uses a GPU if there is one."""


class TrainedConfig(PredictorConfig):
    """A saved model."""

    model: str
    """Folder of the model, written by training."""
    weights: str | None = None
    """Prefix of the SHA-256 that the weights must have. If null, any weights are accepted."""

    @property
    def folder(self) -> Path:
        """Local folder of the model; a model in object storage or on the hub is downloaded once."""
        return predictor_folder(self.model)

    @abstractmethod
    def weights_sha256(self) -> str:
        """First 16 digits of the SHA-256 of the folder's weights.

        Raises:
            UserError: the weights cannot be read.
        """

    @override
    def pinned(self) -> Self:
        here = self.model_copy(update={"model": pin_name(self.model)})
        return here.model_copy(update={"weights": here.weights_sha256()})

    def checked(self) -> Self:
        """A copy of the configuration with `weights` set to the SHA-256 of the folder's weights.

        Raises:
            UserError: `weights` is set to another value, or the weights cannot be read.
        """
        weights = self.weights_sha256()
        if self.weights not in (None, weights):
            raise UserError(
                f"the weights have the SHA-256 {weights}, expected {self.weights}",
                where=self.model,
                fix="the model was trained again: write to a new output folder",
            )
        return self.model_copy(update={"weights": weights})
