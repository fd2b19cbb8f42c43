"""Bootstrap over documents: the interval of a mean, and a test between two runs on the same documents.

Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 13 (percentile interval) and 16 (tests).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95
_BLOCK = 2**18  # documents drawn at once: some megabytes


class Interval(NamedTuple):
    """Bounds of a confidence interval, float64 [metrics] each, in the unit of the values."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


class PairedTest(NamedTuple):
    """Outcome of `paired_bootstrap`; float64 [metrics] each.

    Attributes:
        difference: mean of a minus mean of b.
        low: lower bound of the 95% interval of the difference.
        high: upper bound.
        p_value: two-sided; at least 1 / (resamples + 1).
    """

    difference: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p_value: NDArray[np.float64]


def bootstrap_interval(values: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """95% percentile interval of the mean over documents: the 2.5% and 97.5% quantiles of the resampled means.

    Args:
        values: float64 [documents, metrics], at least one document, no NaN.
        resamples: number of samples of as many documents, drawn with replacement.
        seed: of the generator; the same seed and number of documents draw the same documents.
    """
    means = _resampled_means(values, resamples, seed)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return Interval(low, high)


def paired_bootstrap(
    a: NDArray[np.float64], b: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0
) -> PairedTest:
    """Difference of two runs' means on the same documents, with its interval and the test of "there is none".

    Documents are resampled with both their scores. With d the difference of the means and d* that of a resample, the
    p-value is the share of resamples with |d* - d| >= |d|, the observed one counted among them (so never 0).

    Args:
        a: float64 [documents, metrics], at least one document, no NaN.
        b: likewise, of the same shape and for the same documents in the same order.
        resamples: number of resamples.
        seed: of the generator.

    Raises:
        ValueError: when the shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"scores of shapes {a.shape} and {b.shape} cannot be of the same documents and metrics")
    difference = (a - b).mean(axis=0)
    means = _resampled_means(a - b, resamples, seed)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    extreme = (np.abs(means - difference) >= np.abs(difference)).sum(axis=0)
    return PairedTest(difference, low, high, (extreme + 1) / (resamples + 1))


def _resampled_means(values: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Means of resampled documents, float64 [resamples, metrics]; all metrics share the documents drawn."""
    # Not scipy.stats.bootstrap, which gives the same means: it copies the metrics of each drawn document (20,000
    # documents with 30 metrics: 120 MiB and 2.3 s; here 6 MiB and 1.7 s), refuses one document, and has no p-value.
    documents, metrics = values.shape
    generator = np.random.default_rng(seed)
    means = np.empty((resamples, metrics))
    block = max(1, _BLOCK // documents)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = generator.integers(documents, size=(rows, documents))
        drawn += documents * np.arange(rows)[:, np.newaxis]  # apart, so that one count serves all rows
        times_drawn = np.bincount(drawn.ravel(), minlength=rows * documents).reshape(rows, documents)
        means[start : start + rows] = times_drawn.astype(np.float64) @ values / documents
    return means
