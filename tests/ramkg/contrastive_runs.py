"""The contrastive loss and its gradients over the workers of a process group."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from kpray.ramkg.contrastive import contrastive_loss

QUERIES, PASSAGES, INPUTS, SIZE = 7, 12, 5, 4
# The positive of each query, then its negatives. Some are positives of other queries; two queries share a positive.
ROWS = [[3, 7, 11], [0, 3, 7], [5, 1, 2], [9, 0, 4], [10, 6, 7], [5, 9, 8], [1, 11, 6]]
ALL = list(range(QUERIES))
CLOSE = 1e-6  # tolerance for a loss of about 13 and gradients up to 5


@dataclass(frozen=True)
class Share:
    """A worker's share of a step: indices of queries. A worker with weight 0 only takes part in the collectives."""

    queries: list[int]
    weight: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """Sum over all workers."""

    loss: float
    right: float
    gradient: Tensor


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Queries [QUERIES, INPUTS], passages [PASSAGES, INPUTS], and the encoder's weights [INPUTS, SIZE], float64."""
    random = torch.Generator().manual_seed(11)
    sizes = ((QUERIES, INPUTS), (PASSAGES, INPUTS), (INPUTS, SIZE))
    queries, passages, weights = (torch.randn(size, generator=random, dtype=torch.float64) for size in sizes)
    return queries + passages[[rows[0] for rows in ROWS]], passages, weights / 6


def run_share(share: Share) -> Outcome:
    """Loss and gradient of this worker's share, added up over all workers of the group, if there is one."""
    queries, passages, weights = (values.float() for values in inputs())
    weights.requires_grad_()
    ids = torch.tensor([row for query in share.queries for row in ROWS[query]])
    positives = torch.tensor([ROWS[query][0] for query in share.queries])
    loss, right = contrastive_loss(queries[share.queries] @ weights, passages[ids] @ weights, ids, positives)
    assert loss.dtype == torch.float32
    (loss * share.weight).backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    total = torch.cat([torch.stack([loss.detach(), right]) * share.weight, weights.grad.flatten()])
    if dist.is_initialized():
        dist.all_reduce(total)
    return Outcome(float(total[0]), float(total[1]), total[2:].view(INPUTS, SIZE))


def run_shares(cases: list[list[Share]]) -> list[Outcome]:
    """This worker's share of each case."""
    return [run_share(shares[dist.get_rank()]) for shares in cases]


def assert_same(found: Outcome, expected: Outcome) -> None:
    assert found.loss == pytest.approx(expected.loss, rel=CLOSE)
    assert found.right == expected.right
    torch.testing.assert_close(found.gradient, expected.gradient.to(found.gradient.dtype), atol=CLOSE, rtol=CLOSE)
