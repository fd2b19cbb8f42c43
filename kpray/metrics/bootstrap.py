"""Bootstrap over documents: confidence interval of a mean, and paired test of two runs on the same documents.

Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 13 (percentile interval) and 16 (tests).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95
_BLOCK = 2**18  # documents drawn at once, which take a few MB


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
        resamples: number of bootstrap samples. Each has `documents` documents, drawn with replacement.
        seed: random seed; the same seed and number of documents give the same samples.
    """
    means = _resampled_means(values, resamples, seed)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return Interval(low, high)


def paired_bootstrap(
    a: NDArray[np.float64], b: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0
) -> PairedTest:
    """Difference of two runs' means on the same documents, with its interval and a test of the null hypothesis 0.

    Each drawn document contributes its scores in both runs. Let d be the difference of the means and d* the difference
    in one bootstrap sample. The p-value is the share of samples with |d* - d| >= |d|, where the observed data counts as
    one more sample, so it is never 0.

    Args:
        a: float64 [documents, metrics], at least one document, no NaN.
        b: same shape as `a`, for the same documents in the same order.
        resamples: number of bootstrap samples.
        seed: random seed.

    Raises:
        ValueError: the shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"the scores have different shapes, {a.shape} and {b.shape}: documents and metrics must agree")
    difference = (a - b).mean(axis=0)
    means = _resampled_means(a - b, resamples, seed)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    extreme = (np.abs(means - difference) >= np.abs(difference)).sum(axis=0)
    return PairedTest(difference, low, high, (extreme + 1) / (resamples + 1))


def bootstrap_micro_f1(counts_D3: NDArray[np.float64], seed: int = 0) -> tuple[float, float, float]:
    """F1 of the sums over all documents, in [0, 1], and its 95% interval.

    Args:
        counts_D3: for each document the numbers of correct, predicted and gold phrases, at least one document.
        seed: random seed of the samples, which are those of `bootstrap_interval`.

    Returns:
        F1 = 2 correct / (predicted + gold), lower and upper bound.
    """
    means = np.concatenate([counts_D3.mean(axis=0)[np.newaxis], _resampled_means(counts_D3, RESAMPLES, seed)])
    f1, *resampled = 2 * means[:, 0] / np.maximum(means[:, 1] + means[:, 2], 1e-30)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(f1), float(low), float(high)


def _resampled_means(values: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Means of the bootstrap samples, float64 [resamples, metrics]; all metrics use the same samples."""
    # scipy.stats.bootstrap gives the same means, but it copies the metrics of each drawn document (20,000 documents
    # with 30 metrics: 120 MiB and 2.3 s; here 6 MiB and 1.7 s), refuses a single document, and gives no p-value.
    documents, metrics = values.shape
    generator = np.random.default_rng(seed)
    means = np.empty((resamples, metrics))
    block = max(1, _BLOCK // documents)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = generator.integers(documents, size=(rows, documents))
        drawn += (
            documents * np.arange(rows)[:, np.newaxis]
        )  # distinct ids for each row, so that one bincount counts all rows
        times_drawn = np.bincount(drawn.ravel(), minlength=rows * documents).reshape(rows, documents)
        means[start : start + rows] = times_drawn.astype(np.float64) @ values / documents
    return means
