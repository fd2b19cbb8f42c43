"""Bootstrap intervals and the paired test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from kpray.metrics.bootstrap import bootstrap_interval, paired_bootstrap


@pytest.fixture(scope="module")
def values() -> NDArray[np.float64]:
    """float64 [400 documents, 2 metrics]"""
    return np.random.default_rng(7).uniform(0, 100, size=(400, 2))


def test_interval_of_a_constant_has_no_width() -> None:
    low, high = bootstrap_interval(np.full((30, 1), 12.5))
    assert low == high == 12.5


def test_interval_of_one_document_is_its_value() -> None:
    low, high = bootstrap_interval(np.array([[3.0, 7.0]]))
    assert low.tolist() == high.tolist() == [3.0, 7.0]


def test_interval_is_close_to_the_normal_approximation(values: NDArray[np.float64]) -> None:
    low, high = bootstrap_interval(values, resamples=4000)
    mean = values.mean(axis=0)
    half_width = 1.96 * values.std(axis=0) / math.sqrt(400)
    assert low == pytest.approx(mean - half_width, abs=0.1 * half_width.max())
    assert high == pytest.approx(mean + half_width, abs=0.1 * half_width.max())


def test_interval_agrees_with_a_loop_over_drawn_documents(values: NDArray[np.float64]) -> None:
    generator = np.random.default_rng(3)
    means = [values[generator.integers(400, size=400)].mean(axis=0) for _ in range(50)]
    low, high = bootstrap_interval(values, resamples=50, seed=3)
    assert low == pytest.approx(np.quantile(means, 0.025, axis=0))
    assert high == pytest.approx(np.quantile(means, 0.975, axis=0))


def test_interval_agrees_with_scipy(values: NDArray[np.float64]) -> None:
    low, high = bootstrap_interval(values, resamples=50, seed=3)
    generator = np.random.default_rng(3)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=50, method="percentile", batch=50, rng=generator)
    assert low == pytest.approx(theirs.confidence_interval.low)
    assert high == pytest.approx(theirs.confidence_interval.high)


def test_seed_determines_the_interval(values: NDArray[np.float64]) -> None:
    first, again, other = (bootstrap_interval(values, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_interval_covers_the_true_mean_in_about_95_percent_of_experiments() -> None:
    generator = np.random.default_rng(11)
    # 200 independent experiments, as metrics with the true mean 50.
    low, high = bootstrap_interval(generator.normal(50, 10, size=(100, 200)))
    covered = ((low <= 50) & (high >= 50)).mean()
    assert 0.88 <= covered <= 0.99


def test_identical_runs_do_not_differ(values: NDArray[np.float64]) -> None:
    test = paired_bootstrap(values, values.copy())
    assert test.difference.tolist() == test.low.tolist() == test.high.tolist() == [0, 0]
    assert test.p_value.tolist() == [1, 1]


def test_a_constant_difference_has_the_smallest_p_value(values: NDArray[np.float64]) -> None:
    test = paired_bootstrap(values + 2, values, resamples=999)
    assert test.difference == pytest.approx([2, 2])
    assert test.low == pytest.approx([2, 2])
    assert test.high == pytest.approx([2, 2])
    assert test.p_value == pytest.approx([1 / 1000, 1 / 1000])


def test_swapping_the_runs_only_changes_the_sign(values: NDArray[np.float64]) -> None:
    other = values + np.random.default_rng(5).normal(0.5, 10, size=values.shape)
    there, back = paired_bootstrap(values, other), paired_bootstrap(other, values)
    assert back.difference == pytest.approx(-there.difference)
    assert back.low == pytest.approx(-there.high)
    assert back.p_value == pytest.approx(there.p_value)


def test_p_value_is_close_to_that_of_the_paired_t_test() -> None:
    noise = np.random.default_rng(2).normal(0, 1, size=(500, 1))
    noise -= noise.mean()
    difference = 2 * noise.std() / math.sqrt(500)  # two standard errors: p = 0.0455
    test = paired_bootstrap(noise + difference, np.zeros_like(noise), resamples=4000)
    assert test.p_value[0] == pytest.approx(0.0455, abs=0.012)


def test_runs_on_different_documents_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 1\).*\(2, 1\)"):
        paired_bootstrap(np.zeros((3, 1)), np.zeros((2, 1)))
