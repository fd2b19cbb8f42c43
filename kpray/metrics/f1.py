"""Precision, recall and F1 of one document's ranked keyphrases."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple

Cutoff = int | Literal["M", "O"]


class PrecisionRecallF1(NamedTuple):
    """Three fractions in [0, 1]."""

    precision: float
    recall: float
    f1: float


def precision_recall_f1(
    predicted: Sequence[str], gold: AbstractSet[str], cutoff: Cutoff, *, padded: bool = False
) -> PrecisionRecallF1:
    """Score the first k predictions of one document.

    With C the number of gold phrases among the first k predictions, P = C / min(k, |predicted|), R = C / |gold| and
    F1 = 2 P R / (P + R); each is 0 where its divisor is 0. k is `cutoff`, or |predicted| for `M`, or |gold| for `O`
    (Yuan et al., "One Size Does Not Fit All", ACL 2020). `padded` divides P by k also when fewer are predicted, as
    though the list had been filled up with wrong phrases; `M` and `O` have no such reading.

    Args:
        predicted: normalized phrases without repeats, best first.
        gold: normalized phrases.
        cutoff: at least 1, or `M` or `O`.
        padded: only with a number as cutoff.
    """
    assert not (padded and isinstance(cutoff, str)), "only a number can be padded"
    k = {"M": len(predicted), "O": len(gold)}[cutoff] if isinstance(cutoff, str) else cutoff
    top = predicted[:k]
    correct = sum([phrase in gold for phrase in top])
    if not correct:
        return PrecisionRecallF1(0.0, 0.0, 0.0)
    precision = correct / (k if padded else len(top))
    recall = correct / len(gold)
    return PrecisionRecallF1(precision, recall, 2 * precision * recall / (precision + recall))
