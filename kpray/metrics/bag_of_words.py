"""Bag-of-words error and distance between predicted and gold keyphrases (UniKeyphrase, Eq. 11 and Fig. 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def bag_of_words_error(predicted: Iterable[str], gold: Iterable[str]) -> float:
    """Mean squared difference of word counts of one document: UniKeyphrase, Eq. 11, with counts for probabilities.

    1 / |V| * sum over w in V of (predicted(w) - gold(w))^2, where V is the set of words of gold and predicted phrases;
    0 if V is empty.

    Args:
        predicted: normalized phrases, present and absent, without duplicates.
        gold: normalized phrases, present and absent, without duplicates.
    """
    differences = _count_differences(predicted, gold)
    return sum([difference**2 for difference in differences]) / len(differences) if differences else 0.0


def bag_of_words_distance(predicted: Iterable[str], gold: Iterable[str]) -> int:
    """Sum of absolute differences of word counts of one document: UniKeyphrase, Fig. 5.

    Section 4.5.2 calls it "how many tokens are incorrectly predicted": each superfluous word and each missing word
    counts 1. The paper gives no formula; the figure's numbers, up to 20, fit this one and not Eq. 11.

    Args:
        predicted: normalized phrases, present and absent, without duplicates.
        gold: normalized phrases, present and absent, without duplicates.
    """
    return sum([abs(difference) for difference in _count_differences(predicted, gold)])


def _count_differences(predicted: Iterable[str], gold: Iterable[str]) -> list[int]:
    counts = Counter(word for phrase in predicted for word in phrase.split())
    counts.subtract(Counter(word for phrase in gold for word in phrase.split()))
    return list(counts.values())
