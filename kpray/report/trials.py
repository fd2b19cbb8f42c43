"""The trials of a sweep, as tables and texts show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Value = str | int | float | bool | None
Setting = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial.

    Attributes:
        key: name of the trial's folder.
        setting: field -> value.
        seed: random seed.
        state: `finished`, `stopped` (early, for good), `failed` or `unfinished`. The same command runs trials in the
            last two states again.
        score: the score by which settings are compared; None if there is none yet.
        metrics: name -> value of other metrics.
        attempts: number of starts.
        seconds: wall-clock time of all attempts.
        step: last reported step; 0 if there is none.
        crashes: error message of each attempt that crashed.
    """

    key: str
    setting: Setting
    seed: int
    state: str
    score: float | None
    metrics: Mapping[str, float]
    attempts: int = 1
    seconds: float = 0.0
    step: int = 0
    crashes: tuple[str, ...] = ()


def setting_text(setting: Setting) -> str:
    """The setting as text, such as `relation_layers 2, relation_scale one`."""
    return ", ".join(f"{name} {value}" for name, value in short_setting(setting).items())


def short_setting(setting: Setting) -> dict[str, str | int | float]:
    """The setting as columns of a table: last part of the field's name -> value."""
    return {name.rpartition(".")[2]: "none" if value is None else value for name, value in setting.items()}
