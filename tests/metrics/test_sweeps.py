"""Means over seeds, their intervals, and the best setting."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.metrics.sweeps import best_setting, seed_interval, summarize_settings
from kpray.report.trials import TrialRow, setting_text


def trial(x: int, seed: int, score: float | None, state: str = "finished") -> TrialRow:
    metrics = {"f1": 10 * score} if score is not None and state == "finished" else {}
    return TrialRow(f"{x}-{seed}", {"task.x": x}, seed, state, score, metrics)


def test_interval_of_three_seeds() -> None:
    found = seed_interval([1.0, 2.0, 6.0])
    half = 4.302652729911275 * statistics.stdev([1, 2, 6]) / math.sqrt(3)
    assert found.mean == (1 + 2 + 6) / 3
    assert found.low == pytest.approx(3 - half)
    assert found.high == pytest.approx(3 + half)


def test_interval_of_many_seeds_uses_students_distribution() -> None:
    values = [float(value) for value in range(41)]
    found = seed_interval(values)
    half = 2.0210753903062715 * statistics.stdev(values) / math.sqrt(41)  # t quantile with 40 degrees of freedom
    assert found.high == pytest.approx(20 + half)


def test_one_value_has_no_interval() -> None:
    found = seed_interval([4.0])
    assert (found.mean, found.low, found.high) == (4.0, None, None)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=40))
def test_the_mean_is_in_the_interval(values: list[float]) -> None:
    found = seed_interval(values)
    assert found.low is not None
    assert found.high is not None
    assert found.low - 1e-9 <= found.mean <= found.high + 1e-9


def test_best_and_differences_paired_by_seed() -> None:
    rows = summarize_settings([trial(0, 0, 1.0), trial(1, 0, 2.0), trial(0, 1, 2.0), trial(1, 1, 3.5)])
    best = best_setting(rows)
    assert best is not None
    assert best.setting == {"task.x": 1}
    assert best.difference is None
    assert best.metrics["f1"].mean == 10 * (2.0 + 3.5) / 2
    other = rows[0].difference
    assert other is not None
    assert other.mean == ((1.0 - 2.0) + (2.0 - 3.5)) / 2
    assert other.low == pytest.approx(other.mean - 12.706204736432095 * statistics.stdev([-1.0, -1.5]) / math.sqrt(2))


def test_stopped_and_failed_trials_count_in_no_mean() -> None:
    trials = [
        trial(0, 0, 1.0),
        trial(0, 1, 1.0),
        trial(1, 0, 9.0),
        trial(1, 1, 8.0, "stopped"),
        trial(2, 0, None, "failed"),
    ]
    rows = summarize_settings(trials)
    assert [row.finished for row in rows] == [2, 1, 0]
    assert rows[1].score is not None
    assert rows[1].score.mean == 9.0
    assert rows[2].score is None
    best = best_setting(rows)  # the setting with all its seeds, though the one seed of another is higher
    assert best is not None
    assert best.setting == {"task.x": 0}


def test_without_finished_trials_there_is_no_best_setting() -> None:
    assert best_setting(summarize_settings([trial(0, 0, None, "failed")])) is None
    assert summarize_settings([]) == []


def test_a_setting_in_words() -> None:
    assert setting_text({"task.model.depth": 2, "lang": None}) == "depth 2, lang none"
