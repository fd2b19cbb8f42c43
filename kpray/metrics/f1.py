"""Precision, recall and F1 of one document's ranked keyphrases."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple

Cutoff = int | Literal["M", "O"]


class PrecisionRecallF1(NamedTuple):
    """Precision, recall and F1, in [0, 1]."""

    precision: float
    recall: float
    f1: float


def precision_recall_f1(
    predicted: Sequence[str], gold: AbstractSet[str], cutoff: Cutoff, *, padded: bool = False
) -> PrecisionRecallF1:
    """Score the first k predictions of one document.

    Let C be the number of gold phrases among the first k predictions. Then P = C / min(k, |predicted|), R = C / |gold|
    and F1 = 2 P R / (P + R); each is 0 if its divisor is 0. k is `cutoff`, or |predicted| for `M`, or |gold| for `O`
    (Yuan et al., "One Size Does Not Fit All", ACL 2020). With `padded`, P = C / k even if there are fewer than k
    predictions, as if the list were filled up with wrong phrases.

    Args:
        predicted: normalized phrases without duplicates, best first.
        gold: normalized phrases.
        cutoff: at least 1, or `M` or `O`.
        padded: allowed only if `cutoff` is a number.
    """
    assert not (padded and isinstance(cutoff, str)), "padded needs a number as cutoff"
    k = {"M": len(predicted), "O": len(gold)}[cutoff] if isinstance(cutoff, str) else cutoff
    top = predicted[:k]
    correct = sum([phrase in gold for phrase in top])
    if not correct:
        return PrecisionRecallF1(0.0, 0.0, 0.0)
    precision = correct / (k if padded else len(top))
    recall = correct / len(gold)
    return PrecisionRecallF1(precision, recall, 2 * precision * recall / (precision + recall))
