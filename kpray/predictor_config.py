"""What the configurations of all predictors have in common; apart from `Predictor`, which takes no pydantic."""

from __future__ import annotations

from typing import Self

from kpray.settings import Settings


class PredictorConfig(Settings):
    """Base of the configuration of every predictor."""

    def pinned(self) -> Self:
        """The same configuration with what depends on the machine decided on this one.

        Raises:
            UserError: it cannot be met on this machine.
        """
        return self
