"""Retrieval metrics: recall at k and mean reciprocal rank."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

CUTOFFS = (1, 2, 5, 10, 20)  # RAMKG, Table 4


def recall_at(retrieved: Sequence[Hashable], relevant: Collection[Hashable], k: int) -> float:
    """Recall at k of one query: the fraction of its relevant passages among the first k retrieved passages.

    With one relevant passage, as in RAMKG, this is 1 if it is among the first k, else 0.

    Args:
        retrieved: ids, best first. A duplicate uses up a rank but counts once.
        relevant: at least one id.
        k: at least 1.

    Raises:
        ValueError: there is no relevant passage.
    """
    wanted = set(relevant)
    if not wanted:
        raise ValueError("recall needs at least one relevant passage")
    return len(wanted.intersection(retrieved[:k])) / len(wanted)


def mean_recall(
    retrieved: Sequence[Sequence[Hashable]], relevant: Sequence[Collection[Hashable]], cutoffs: Sequence[int] = CUTOFFS
) -> dict[int, float]:
    """Recall at each cutoff, averaged over the queries: RAMKG, section 6.1 and Table 4.

    Args:
        retrieved: for each query, the retrieved ids, best first.
        relevant: for each query, in the same order, the relevant ids.
        cutoffs: values of k.

    Returns:
        Cutoff -> mean recall, in [0, 1].

    Raises:
        ValueError: there is no query, the lists have different lengths, or a query has no relevant passage.
    """
    if not retrieved:
        raise ValueError("recall needs at least one query")
    pairs = list(zip(retrieved, relevant, strict=True))
    return {k: sum(recall_at(found, wanted, k) for found, wanted in pairs) / len(pairs) for k in cutoffs}


def count_hits(ranks: Sequence[int], cutoffs: Sequence[int] = CUTOFFS) -> dict[int, int]:
    """Number of queries whose relevant passage is among the first k. Recall at k is |{q: rank(q) <= k}| / n.

    Args:
        ranks: rank of each query's only relevant passage, counted from 1.
        cutoffs: values of k.

    Returns:
        Cutoff -> number of queries.
    """
    return {k: sum(rank <= k for rank in ranks) for k in cutoffs}


def sum_reciprocal_ranks(ranks: Sequence[int]) -> float:
    """Sum over queries of 1 / rank of the relevant passage; divided by their number, it is the MRR."""
    return sum(1 / rank for rank in ranks)
