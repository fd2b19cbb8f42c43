"""Workers are timed by real trainings."""

from __future__ import annotations

import json

import pytest

from tests.integration.jobs import ROOT, Job

pytestmark = pytest.mark.integration


def test_workers_are_timed() -> None:
    with Job("-m", "tests.integration.time_tiny", variables={"PYTHONPATH": str(ROOT)}) as job:
        finished = job.finish()
    assert finished.code == 0, finished.err
    [row] = json.loads(finished.out.splitlines()[-1])
    assert row["contestant"] == "training with 2 workers of one thread each (by the clock)"
    assert (
        0 < row["documents/s"] < 2 * 8 / 0.05
    )  # of a step's eight documents each worker has a batch, which takes so long
    assert row["of the floor"] == 1
