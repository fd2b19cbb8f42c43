"""The retriever's loss (Sec. 4.1): negative log-likelihood of the positive passage among the passages of all workers.

Shape legend: Q queries and P passages of this worker, G passages of all workers, C candidates, D vector size.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy


def contrastive_loss(
    queries_QD: Tensor, passages_PD: Tensor, passage_ids_P: Tensor, positive_ids_Q: Tensor
) -> tuple[Tensor, Tensor]:
    """Sum over this worker's queries of -log(exp(q . p+) / sum over candidates p of exp(q . p)).

    The candidates are the passages of all workers, both positives and sampled negatives. A passage that occurs several
    times counts once, and its first occurrence gets the gradient. So the sum over all workers, and the gradients, are
    the same as for one worker with all queries and passages. This function is a collective: all workers of the process
    group must call it, and must run its backward pass.

    Args:
        queries_QD: [Q, D].
        passages_PD: [P, D]; P may differ between workers.
        passage_ids_P: int64 [P], ids of the passages; equal ids are the same passage.
        positive_ids_Q: int64 [Q], id of each query's positive, which is a passage of some worker.

    Returns:
        The loss, float32 [] with gradients; and the number of queries whose positive has a higher score than all other
        candidates, int64 [].
    """
    ids_G, vectors_GD = passage_ids_P, passages_PD.float()
    if dist.is_initialized() and dist.get_world_size() > 1:
        counts = _gather_counts(ids_G)
        ids_G = _gather_rows(ids_G, counts)
        vectors_GD = _GatherVectors.apply(vectors_GD, counts)  # type: ignore[no-untyped-call]
    unique_C, indices_G = torch.unique(ids_G, return_inverse=True)  # sorted by id, regardless of the split
    occurrences_G = torch.arange(len(ids_G), device=ids_G.device)
    first_C = torch.full_like(unique_C, len(ids_G)).scatter_reduce(0, indices_G, occurrences_G, "amin")
    assert torch.isin(positive_ids_Q, unique_C).all(), "a query's positive is not among the passages"
    gold_Q = torch.searchsorted(unique_C, positive_ids_Q)
    scores_QC = queries_QD.float() @ vectors_GD[first_C].T
    loss = cross_entropy(scores_QC, gold_Q, reduction="sum")
    reached_QC = scores_QC.detach() >= scores_QC.detach().gather(1, gold_Q[:, None])
    return loss, (reached_QC.sum(1) == 1).sum()


def _gather_counts(rows: Tensor) -> list[int]:
    """Number of rows of each worker."""
    count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(count) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, count)
    return torch.cat(counts).tolist()


def _gather_rows(rows: Tensor, counts: list[int]) -> Tensor:
    """Concatenate the rows of all workers: [P, ...] -> [G, ...]."""
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


class _GatherVectors(torch.autograd.Function):
    """`_gather_rows` with gradients: each worker's rows get the sum of their gradients from all workers' losses."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        return _gather_rows(rows, counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        start = sum(ctx.counts[: dist.get_rank()])
        return total[start : start + ctx.counts[dist.get_rank()]], None
