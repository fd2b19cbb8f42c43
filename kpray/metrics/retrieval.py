"""Recall of retrieved passages, and the mean reciprocal rank."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

CUTOFFS = (1, 2, 5, 10, 20)  # RAMKG, Table 4


def recall_at(retrieved: Sequence[Hashable], relevant: Collection[Hashable], k: int) -> float:
    """Fraction of a query's relevant passages among the first k retrieved; passages are the same when their ids are.

    With one relevant passage, as in RAMKG, this is 1 when it is among them, else 0.

    Args:
        retrieved: ids, best first; a repeated id fills a place and counts once.
        relevant: at least one id.
        k: at least 1.

    Raises:
        ValueError: when no passage is relevant, for then recall is undefined.
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
        retrieved: for each query the retrieved ids, best first.
        relevant: for each query, in the same order, the ids that are relevant.
        cutoffs: values of k.

    Returns:
        Cutoff -> mean recall, a fraction in [0, 1].

    Raises:
        ValueError: when there is no query, when the lists are of unequal length, or a query has no relevant passage.
    """
    if not retrieved:
        raise ValueError("recall needs at least one query")
    pairs = list(zip(retrieved, relevant, strict=True))
    return {k: sum(recall_at(found, wanted, k) for found, wanted in pairs) / len(pairs) for k in cutoffs}


def count_hits(ranks: Sequence[int], cutoffs: Sequence[int] = CUTOFFS) -> dict[int, int]:
    """Queries whose one relevant passage is among the first k; recall@k is their share of all: |{q: rank(q) <= k}| / n.

    Args:
        ranks: of each query's relevant passage, counted from 1.
        cutoffs: values of k.

    Returns:
        Cutoff -> number of queries.
    """
    return {k: sum(rank <= k for rank in ranks) for k in cutoffs}


def sum_reciprocal_ranks(ranks: Sequence[int]) -> float:
    """Sum over queries of 1 / rank of the one relevant passage; their mean is the mean reciprocal rank, MRR."""
    return sum(1 / rank for rank in ranks)
