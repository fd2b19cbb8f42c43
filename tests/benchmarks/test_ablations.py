"""The table of the ablations: means, Student's intervals, and changes by seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablations import VARIANTS, ablations, table
from benchmarks.settings import AblationSettings
from kpray.errors import UserError
from kpray.unikeyphrase.task import METRICS


def training(variant: str, seed: int, value: float) -> dict[str, Any]:
    return {"variant": variant, "seed": seed, **dict.fromkeys(METRICS, value)}


def test_means_and_changes_of_the_same_seeds() -> None:
    done = [
        *(training("mean", seed, value) for seed, value in enumerate([30.0, 32.0, 34.0])),
        *(training("mean, no SRL", seed, value) for seed, value in enumerate([29.0, 31.0, 33.0])),
        training("sum", 1, 20.0),
        training("sum, no BWC", 1, 20.5),
    ]
    rows = {row["variant"]: row for row in table(done)}
    assert list(rows) == [name for name in VARIANTS if name in rows]
    assert rows["mean"]["seeds"] == 3
    assert rows["mean"]["present_f1@M"] == "32.00 ± 4.97"  # 4.303 * 2 / sqrt(3)
    assert "present_f1@M, change" not in rows["mean"]
    assert rows["mean, no SRL"]["present_f1@M, change"] == "-1.00 ± 0.00"
    assert rows["sum"]["present_f1@M"] == "20.00"
    assert rows["sum, no BWC"]["absent_f1@M, change"] == "+0.50"


def test_unknown_variant(tmp_path: Path) -> None:
    settings = AblationSettings(train=("a",), valid=("b",), output=tmp_path / "out", variants=("mean, no XYZ",))
    with pytest.raises(UserError, match="no variant is called 'mean, no XYZ'"):
        ablations(settings)
    assert not settings.output.exists()
