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
    one, two = json.loads(finished.out.splitlines()[-1])
    assert (one["contestant"], two["contestant"]) == (
        "training with 1 worker of one thread each (by the clock)",
        "training with 2 workers of one thread each (by the clock)",
    )
    assert 0 < one["documents/s"] < 8 / 0.05  # a step of eight documents is at least one batch, which takes so long
    assert one["of the floor"] == 1
    assert two["of the floor"] == pytest.approx(two["documents/s"] / one["documents/s"])
