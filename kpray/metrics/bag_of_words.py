"""How far the words of the predicted keyphrases are from the words of the gold ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def bag_of_words_error(predicted: Iterable[str], gold: Iterable[str]) -> float:
    """Mean squared difference of word counts of one document: UniKeyphrase, Eq. 11, with counts for probabilities.

    1 / |V| * sum over w in V of (predicted(w) - gold(w))^2, where V holds the words of gold and predicted phrases; 0
    when there is none.

    Args:
        predicted: normalized phrases, present and absent, without repeats.
        gold: likewise.
    """
    differences = _count_differences(predicted, gold)
    return sum([difference**2 for difference in differences]) / len(differences) if differences else 0.0


def bag_of_words_distance(predicted: Iterable[str], gold: Iterable[str]) -> int:
    """Sum of absolute differences of word counts of one document: UniKeyphrase, Fig. 5.

    Section 4.5.2 calls it "how many tokens are incorrectly predicted": a word predicted once too often counts one, and
    so does a word missed once. The paper gives no formula; the figure's numbers, up to 20, fit this one and not Eq. 11.

    Args:
        predicted: normalized phrases, present and absent, without repeats.
        gold: likewise.
    """
    return sum([abs(difference) for difference in _count_differences(predicted, gold)])


def _count_differences(predicted: Iterable[str], gold: Iterable[str]) -> list[int]:
    counts = Counter(word for phrase in predicted for word in phrase.split())
    counts.subtract(Counter(word for phrase in gold for word in phrase.split()))
    return list(counts.values())
