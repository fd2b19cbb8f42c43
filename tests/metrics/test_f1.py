"""Precision, recall and F1 of one document, worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.metrics.f1 import Cutoff, precision_recall_f1

phrases = st.lists(st.sampled_from("abcdefghij"), unique=True)
cutoffs: st.SearchStrategy[Cutoff] = st.one_of(st.integers(1, 12), st.just("M"), st.just("O"))


def test_cut_at_k() -> None:
    # One of the first two predictions is correct; one of three gold phrases is found.
    score = precision_recall_f1(["a", "x", "b"], {"a", "b", "c"}, 2)
    assert score == pytest.approx((1 / 2, 1 / 3, 2 * (1 / 2 * 1 / 3) / (1 / 2 + 1 / 3)))


def test_fewer_than_k_predictions_divide_by_their_number() -> None:
    score = precision_recall_f1(["a", "x"], {"a", "b", "c"}, 5)
    assert score == pytest.approx((1 / 2, 1 / 3, 2 * (1 / 2 * 1 / 3) / (1 / 2 + 1 / 3)))


def test_fewer_than_k_predictions_padded_divide_by_k() -> None:
    score = precision_recall_f1(["a", "x"], {"a", "b", "c"}, 5, padded=True)
    assert score == pytest.approx((1 / 5, 1 / 3, 2 * (1 / 5 * 1 / 3) / (1 / 5 + 1 / 3)))


def test_m_takes_all_predictions() -> None:
    score = precision_recall_f1(["x", "y", "z", "a", "b", "c", "d"], {"a", "b"}, "M")
    assert score == pytest.approx((2 / 7, 2 / 2, 2 * (2 / 7 * 2 / 2) / (2 / 7 + 2 / 2)))


def test_o_takes_the_number_of_gold_phrases() -> None:
    score = precision_recall_f1(["a", "x", "b"], {"a", "b"}, "O")
    assert score == pytest.approx((1 / 2, 1 / 2, 2 * (1 / 2 * 1 / 2) / (1 / 2 + 1 / 2)))


def test_o_with_fewer_predictions_divides_by_their_number() -> None:
    score = precision_recall_f1(["a"], {"a", "b"}, "O")
    assert score == pytest.approx((1 / 1, 1 / 2, 2 * (1 / 1 * 1 / 2) / (1 / 1 + 1 / 2)))


@pytest.mark.parametrize("cutoff", [5, "M", "O"])
@pytest.mark.parametrize(("predicted", "gold"), [([], {"a"}), (["a"], set()), ([], set()), (["x"], {"a"})])
def test_no_correct_prediction_scores_0(predicted: list[str], gold: set[str], cutoff: Cutoff) -> None:
    assert precision_recall_f1(predicted, gold, cutoff) == (0, 0, 0)


@given(phrases, phrases, cutoffs)
def test_scores_lie_between_0_and_1_and_f1_between_precision_and_recall(
    predicted: list[str], gold: list[str], cutoff: Cutoff
) -> None:
    precision, recall, f1 = precision_recall_f1(predicted, set(gold), cutoff)
    assert 0 <= precision <= 1
    assert 0 <= recall <= 1
    assert min(precision, recall) - 1e-12 <= f1 <= max(precision, recall) + 1e-12


@given(phrases, phrases, st.integers(1, 12))
def test_padding_never_raises_a_score(predicted: list[str], gold: list[str], k: int) -> None:
    actual = precision_recall_f1(predicted, set(gold), k)
    padded = precision_recall_f1(predicted, set(gold), k, padded=True)
    assert padded.precision <= actual.precision
    assert padded.recall == actual.recall
    assert padded.f1 <= actual.f1 + 1e-12
    if len(predicted) >= k:
        assert padded == actual


@given(phrases, phrases)
def test_f1_is_the_dice_coefficient_of_the_two_sets(predicted: list[str], gold: list[str]) -> None:
    sizes = len(predicted) + len(gold)
    dice = 2 * len(set(predicted) & set(gold)) / sizes if sizes else 0
    assert precision_recall_f1(predicted, set(gold), "M").f1 == pytest.approx(dice)
