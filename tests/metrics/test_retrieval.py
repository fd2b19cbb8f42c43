"""Recall of retrieved passages, worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.metrics.retrieval import count_hits, mean_recall, recall_at, sum_reciprocal_ranks


@pytest.mark.parametrize(("k", "recall"), [(1, 0), (2, 1 / 2), (3, 1 / 2), (4, 2 / 2), (99, 2 / 2)])
def test_recall_at(k: int, recall: float) -> None:
    assert recall_at(["x", "a", "y", "b"], {"a", "b"}, k) == recall


def test_a_repeated_id_counts_once() -> None:
    assert recall_at(["a", "a"], ["a", "b"], 2) == 1 / 2


def test_mean_over_queries_at_the_papers_cutoffs() -> None:
    ranked = [f"p{rank}" for rank in range(1, 31)]
    recall = mean_recall([ranked, ranked, ranked, []], [["p1"], ["p6"], ["p30"], ["p1"]])
    assert recall == {1: 1 / 4, 2: 1 / 4, 5: 1 / 4, 10: 2 / 4, 20: 2 / 4}


def test_ids_of_two_languages_differ() -> None:
    assert recall_at([("ko", "1")], [("zh", "1")], 1) == 0


def test_undefined_recall_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one relevant"):
        recall_at(["a"], [], 1)
    with pytest.raises(ValueError, match="at least one query"):
        mean_recall([], [])
    with pytest.raises(ValueError, match="shorter"):
        mean_recall([["a"], ["b"]], [["a"]])


@given(st.lists(st.integers(0, 9)), st.sets(st.integers(0, 9), min_size=1), st.integers(1, 12))
def test_recall_lies_between_0_and_1_and_grows_with_k(retrieved: list[int], relevant: set[int], k: int) -> None:
    assert 0 <= recall_at(retrieved, relevant, k) <= recall_at(retrieved, relevant, k + 1) <= 1


def test_count_hits() -> None:
    assert count_hits([1, 2, 2, 6, 21]) == {1: 1, 2: 3, 5: 3, 10: 4, 20: 4}
    assert count_hits([], (1,)) == {1: 0}
    assert sum_reciprocal_ranks([1, 2, 5]) == 1 + 1 / 2 + 1 / 5


@given(st.lists(st.integers(1, 30), min_size=1))
def test_hits_agree_with_the_recall_of_lists_with_these_ranks(ranks: list[int]) -> None:
    found = [[f"other {index}" for index in range(1, rank)] + ["relevant"] for rank in ranks]
    recall = mean_recall(found, [["relevant"]] * len(ranks))
    assert {k: hits / len(ranks) for k, hits in count_hits(ranks).items()} == pytest.approx(recall)
