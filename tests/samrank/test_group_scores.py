"""Phrases with equal stems share one score, and scores are rounded so that ranks do not depend on the batch."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.samrank.predictor import group_scores


def in_order_of_appearance(names: list[int]) -> np.ndarray:
    numbered: dict[int, int] = {}
    return np.array([numbered.setdefault(name, len(numbered)) for name in names], dtype=np.int64)


def step(best: float) -> float:
    """The smallest difference between scores that are rounded to five digits of the best one."""
    return 10.0 ** (math.ceil(math.log10(best)) - 5)


@st.composite
def groupings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores [heads, phrases] and groups [phrases]."""
    names = draw(st.lists(st.integers(0, 5), min_size=1, max_size=12))
    number = st.integers(0, 10**7).map(float)  # sums of these are exact, in any order
    row = st.lists(number, min_size=len(names), max_size=len(names))
    return np.array(draw(st.lists(row, min_size=1, max_size=3))), in_order_of_appearance(names)


def test_equal_stems_are_added_up_or_the_best_is_kept() -> None:
    scores, groups = np.array([[1.0, 2.0, 4.0, 8.0]]), np.array([0, 1, 0, 2])
    assert group_scores(scores, groups, merge=True).tolist() == [[1.0 + 4.0, 2.0, 8.0]]
    assert group_scores(scores, groups, merge=False).tolist() == [[4.0, 2.0, 8.0]]


@pytest.mark.parametrize("merge", [True, False])
@given(grouping=groupings())
def test_group_scores_equal_those_of_a_loop(merge: bool, grouping: tuple[np.ndarray, np.ndarray]) -> None:
    scores, groups = grouping
    found = group_scores(scores, groups, merge)
    assert found.shape == (len(scores), groups.max() + 1)
    for head, row in enumerate(scores.tolist()):
        members = [[s for s, g in zip(row, groups, strict=True) if g == group] for group in range(groups.max() + 1)]
        expected = [sum(values) if merge else max(values) for values in members]
        assert found[head].tolist() == pytest.approx(expected, rel=1e-12, abs=0.5001 * step(max(*expected, 1e-30)))


@pytest.mark.parametrize("merge", [True, False])
@given(grouping=groupings(), random=st.randoms(use_true_random=False))
def test_order_of_phrases_within_groups_does_not_matter(
    merge: bool, grouping: tuple[np.ndarray, np.ndarray], random: Random
) -> None:
    scores, groups = grouping
    order = list(range(len(groups)))
    random.shuffle(order)
    expected = group_scores(scores, groups, merge)
    # `group_scores` requires groups that are numbered in order of appearance.
    renumbered = in_order_of_appearance(groups[order].tolist())
    found = group_scores(scores[:, order], renumbered, merge)
    old = [groups[order].tolist()[renumbered.tolist().index(group)] for group in range(renumbered.max() + 1)]
    assert found.tolist() == expected[:, old].tolist()


@given(
    scores=st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=10),
)
def test_scores_have_five_digits_of_the_best(scores: list[float]) -> None:
    [rounded] = group_scores(np.array([scores]), np.arange(len(scores)), merge=True).tolist()
    for score, found in zip(scores, rounded, strict=True):
        steps = found / step(max(scores))
        assert steps == pytest.approx(round(steps), abs=1e-6)
        assert abs(found - score) <= 0.5001 * step(max(scores))
    again = group_scores(np.array([rounded]), np.arange(len(scores)), merge=True)
    assert again.tolist() == [pytest.approx(rounded, rel=1e-12)]


def test_each_head_is_rounded_by_its_own_best() -> None:
    scores = np.array([[123456.0, 1.26], [1.23456, 0.00126]])
    assert group_scores(scores, np.array([0, 1]), merge=True).tolist() == [[123460.0, 0.0], [1.2346, 0.0013]]


def test_sums_that_differ_in_their_last_bits_are_equal_and_keep_reading_order() -> None:
    assert 0.1 + 0.2 != 0.3
    scores, groups = np.array([[0.3, 0.1, 0.2, 0.3 + 1e-12, 0.9]]), np.array([0, 1, 1, 2, 3])
    [found] = group_scores(scores, groups, merge=True)
    assert found[0] == found[1] == found[2]
    assert np.argsort(-found, kind="stable").tolist() == [3, 0, 1, 2]


def test_scores_of_0_stay_0() -> None:
    assert group_scores(np.zeros((2, 3)), np.array([0, 1, 0]), merge=True).tolist() == [[0.0, 0.0], [0.0, 0.0]]
