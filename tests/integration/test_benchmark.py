"""Benchmarks that train on Ray."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import ROOT
from tests.integration.conftest import StartJob


@pytest.mark.slow
def test_workers_are_timed(start_shared: StartJob) -> None:
    finished = start_shared("-m", "tests.integration.time_tiny").finish()
    assert finished.code == 0, finished.err
    [row] = json.loads(finished.out.splitlines()[-1])
    assert row["contestant"] == "training with 2 workers of one thread each (by the clock)"
    assert (
        0 < row["documents/s"] < 2 * 8 / 0.05
    )  # of a step's eight documents each worker has a batch, which takes so long
    assert row["of the floor"] == 1


@pytest.mark.slow
def test_schedules_are_compared(start_shared: StartJob, tmp_path: Path) -> None:
    options = ("--plant", "small", "--output", tmp_path / "output")
    finished = start_shared(ROOT / "benchmarks/run.py", "schedules", *options).finish()
    assert finished.code == 0, finished.err
    for name in ("none", "all", "margin, top 80%", "margin, top 60%", "the right"):
        assert f"\n {name} " in finished.out
