"""The contrastive loss compared with a loop; tests/integration runs it on two workers."""

from __future__ import annotations

import math

import pytest
import torch

from kpray.ramkg.contrastive import contrastive_loss
from tests.ramkg.contrastive_runs import ALL, QUERIES, ROWS, SIZE, Outcome, Share, assert_same, inputs, run_share


def naive() -> Outcome:
    """Sec. 4.1 in float64, one query and one passage at a time; the candidates are a set."""
    queries, passages, weights = inputs()
    weights.requires_grad_()
    candidates = sorted({row for rows in ROWS for row in rows})
    loss, right = torch.zeros((), dtype=torch.float64), 0
    for query, (positive, *_) in enumerate(ROWS):
        scores = {row: (queries[query] @ weights) @ (passages[row] @ weights) for row in candidates}
        loss = loss - torch.log(scores[positive].exp() / sum(score.exp() for score in scores.values()))
        right += all(scores[positive] > score for row, score in scores.items() if row != positive)
    loss.backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    return Outcome(float(loss.detach()), right, weights.grad)


def test_one_worker_agrees_with_a_loop() -> None:
    expected = naive()
    assert 0 < expected.right < QUERIES
    assert_same(run_share(Share(ALL)), expected)
    assert_same(run_share(Share(ALL[::-1])), expected)


def test_by_hand() -> None:
    queries = torch.tensor([[1.0, 0.0]])
    passages = torch.tensor([[2.0, 5.0], [1.0, 5.0]])
    loss, right = contrastive_loss(queries, passages, torch.tensor([40, 2]), torch.tensor([40]))
    assert float(loss) == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + math.exp(1))))
    assert int(right) == 1


def test_half_precision_is_scored_in_float32() -> None:
    random = torch.Generator().manual_seed(2)
    queries, passages = (torch.randn((4, 64), generator=random).mul(3).half() for _ in range(2))
    ids = torch.arange(4)
    half = contrastive_loss(queries, passages, ids, ids)[0]
    assert half.dtype == torch.float32
    assert float(half) == float(contrastive_loss(queries.float(), passages.float(), ids, ids)[0])


def test_equal_scores_are_not_right() -> None:
    vectors = torch.ones(3, 2)
    loss, right = contrastive_loss(vectors, vectors, torch.arange(3), torch.arange(3))
    assert float(loss) == pytest.approx(3 * math.log(3))
    assert int(right) == 0


def test_gradient_goes_to_the_first_of_equal_passages() -> None:
    queries, passages = torch.randn(2, SIZE), torch.randn(4, SIZE).requires_grad_()
    ids, positives = torch.tensor([8, 8, 3, 8]), torch.tensor([8, 3])
    contrastive_loss(queries, passages, ids, positives)[0].backward()  # type: ignore[no-untyped-call]
    assert passages.grad is not None
    assert passages.grad.abs().sum(1).gt(0).tolist() == [True, False, True, False]


def test_a_positive_that_is_not_a_candidate_is_an_error() -> None:
    with pytest.raises(AssertionError):
        contrastive_loss(torch.ones(1, 2), torch.ones(2, 2), torch.tensor([1, 2]), torch.tensor([7]))
