"""What a sweep tells of its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Value = str | int | float | bool | None
Setting = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class TrialRow:
    """What there is to tell of one trial.

    Attributes:
        key: name of its folder.
        setting: field -> value.
        seed: its seed.
        state: `finished`, `stopped` (early, for good), `failed` or `unfinished`; the last two run again.
        score: what settings are compared by; None where it has none.
        metrics: other numbers.
        attempts: times that it was started.
        seconds: by the clock, over all attempts.
        step: the last one that it reported; 0: none.
        crashes: the error of each attempt that ended with one.
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
    """`relation_layers 2, relation_scale one`: the last part of each field's name with its value."""
    return ", ".join(f"{name} {value}" for name, value in short_setting(setting).items())


def short_setting(setting: Setting) -> dict[str, str | int | float]:
    """Columns of a table: the last part of each field's name -> its value."""
    return {name.rpartition(".")[2]: "none" if value is None else value for name, value in setting.items()}
