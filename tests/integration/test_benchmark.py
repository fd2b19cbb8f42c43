"""Workers are timed by real trainings."""

from __future__ import annotations

import json

import pytest

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
