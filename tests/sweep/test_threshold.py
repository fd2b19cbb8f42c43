"""The trials and outcomes of the sweep over RGIT's threshold, without running any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kpray.rgit.job import RGITSettings
from kpray.settings import validate_settings
from kpray.sweep.threshold import RGITSweepSettings, outcome_of, rgit_values, trial_values
from kpray.sweep.trials import Trial

TRIAL = Trial({"rgit.tau": 10.0}, 7)


def values_of(**fields: Any) -> dict[str, Any]:
    values = rgit_values(validate_settings(RGITSweepSettings, fields, where="test"))
    return trial_values(values, TRIAL, "/runs/one")


def test_each_seed_has_another_planted_corpus() -> None:
    job = validate_settings(RGITSettings, values_of(plant="small", output="sweep"), where="test")
    assert (job.rgit.tau, job.output) == (10.0, "/runs/one")
    assert (job.planted.seed, job.train_retriever.seed, job.train_generator.seed) == (7, 7, 7)
    assert job.steps == Path("sweep/steps").resolve()


def test_files_are_absolute_and_the_same_for_each_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "encoder").mkdir()
    files = {name: [f"{name}.jsonl"] for name in ("parallel", "passages", "english")}
    values = values_of(**files, output="sweep", steps="shared", retriever={"backbone": "encoder"})
    assert values["parallel"] == [str(tmp_path / "parallel.jsonl")]
    assert values["retriever"]["backbone"] == str(tmp_path / "encoder")
    assert values["generator"]["backbone"] == "facebook/mbart-large-cc25"  # a hub id
    assert values["steps"] == str(tmp_path / "shared")
    assert values["planted"]["seed"] == 0
    assert values["train_generator"]["seed"] == 7


def test_score_is_the_recall_on_the_validation_pairs() -> None:
    report = {
        "recall": {"ramkg": {1: 90.0, 5: 95.0}, "rgit": {1: 40.0, 5: 60.0}},
        "rounds": [
            {"pairs": 10, "accuracy": 50.0},
            {"pairs": 20, "accuracy": 75.0},
            {"pairs": 0, "accuracy": None},
        ],
        "systems": {"rgit": {"name": "RAMKG + RGIT", "scores": {"average": {"f1@M": [33.0, 30.0, 36.0]}}}},
    }
    outcome = outcome_of(report)
    assert outcome.score == 40.0
    assert outcome.metrics == {
        "recall@1": 40.0,
        "recall@5": 60.0,
        "pseudo pairs": 20.0,
        "right, %": 75.0,
        "RAMKG + RGIT F1@M": 33.0,
    }
