"""The sizes and settings of the planted corpora that kpray ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kpray.rgit.planted import PlantedSettings, PlantedSize, describe_planted, plant


@pytest.mark.parametrize(
    ("size", "settings", "expected"),
    [
        ("full", PlantedSettings(), "300 pairs, 800 records without a pair"),
        ("small", PlantedSettings(), "48 pairs, 40 records without a pair"),
        ("small", PlantedSettings(parallel=5), "5 pairs, 40 records without a pair"),
    ],
)
def test_sizes(size: PlantedSize, settings: PlantedSettings, expected: str) -> None:
    assert describe_planted(size, settings) == expected


def test_number_of_pairs_and_seed_can_be_set(tmp_path: Path) -> None:
    one, other = (plant("small", PlantedSettings(seed=seed, parallel=5), tmp_path / str(seed)) for seed in (0, 1))
    lines = [planted.files.parallel.read_text("utf-8").splitlines() for planted in (one, other)]
    assert [len(pairs) for pairs in lines] == [5, 5]
    assert lines[0] != lines[1]
    assert len(one.files.passages.read_text("utf-8").splitlines()) == 40
    sizes = [json.loads((folder / "config.json").read_text("utf-8")) for folder in (one.encoder, one.generator)]
    assert (sizes[0]["hidden_size"], sizes[1]["d_model"]) == (32, 64)
