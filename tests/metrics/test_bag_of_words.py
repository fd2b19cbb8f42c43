"""Bag-of-words error and distance, worked by hand."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.metrics.bag_of_words import bag_of_words_distance, bag_of_words_error

phrases = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3).map(" ".join), max_size=6)


def test_by_hand() -> None:
    gold = ["neural network", "deep network"]  # neural 1, network 2, deep 1
    predicted = ["network", "graph"]  # network 1, graph 1
    # The words are neural, network, deep and graph.
    assert bag_of_words_error(predicted, gold) == pytest.approx(((0 - 1) ** 2 + (1 - 2) ** 2 + (0 - 1) ** 2 + 1**2) / 4)
    assert bag_of_words_distance(predicted, gold) == abs(0 - 1) + abs(1 - 2) + abs(0 - 1) + abs(1 - 0)


def test_counts_are_squared_in_the_error_only() -> None:
    assert bag_of_words_error(["a a a"], ["b"]) == pytest.approx((3**2 + 1**2) / 2)
    assert bag_of_words_distance(["a a a"], ["b"]) == 3 + 1


def test_the_divisor_includes_words_without_error() -> None:
    assert bag_of_words_error(["a", "b"], ["a"]) == pytest.approx((0**2 + 1**2) / 2)


def test_no_words_at_all() -> None:
    assert bag_of_words_error([], []) == 0
    assert bag_of_words_distance([], []) == 0


@given(phrases, phrases)
def test_agrees_with_a_loop_over_the_vocabulary(predicted: list[str], gold: list[str]) -> None:
    predicted_counts, gold_counts = (Counter(" ".join(side).split()) for side in (predicted, gold))
    vocabulary = set(predicted_counts) | set(gold_counts)
    squares = sum((predicted_counts[word] - gold_counts[word]) ** 2 for word in vocabulary)
    assert bag_of_words_error(predicted, gold) == pytest.approx(squares / max(len(vocabulary), 1))
    assert bag_of_words_distance(predicted, gold) == sum(
        abs(predicted_counts[word] - gold_counts[word]) for word in vocabulary
    )


@given(phrases)
def test_predicting_the_gold_has_no_error(gold: list[str]) -> None:
    assert bag_of_words_error(reversed(gold), gold) == 0
    assert bag_of_words_distance(reversed(gold), gold) == 0
