"""The baselines that rank the nodes of a graph: words, topics or candidates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from benchmarks.baselines.candidates import Candidate, Ranking, TaggedText, best_first

DAMPING = 0.85
WINDOW = 10  # of SingleRank and the methods that are made from it
TOPIC_DISTANCE = 0.74  # more than a quarter of the stems in common
BOOST = 1.1  # alpha of MultipartiteRank
LONGEST = 3  # words of a candidate of PositionRank


def pagerank(weights_NN: np.ndarray, jump_N: np.ndarray | None = None) -> np.ndarray:
    """Solve s = (1 - d) j + d P s, where column i of P is how node i divides its score among its neighbours.

    Args:
        weights_NN: float64 [nodes, nodes], weight of the edge from node i to node j.
        jump_N: float64 [nodes], weight of each node as the target of a random jump; None: all are equal.

    Returns:
        float64 [nodes]; the sum is 1. The score of a node without outgoing edges goes where jumps go.
    """
    jump = np.ones(len(weights_NN)) if jump_N is None else jump_N
    jump = jump / jump.sum()
    totals = weights_NN.sum(axis=1, keepdims=True)
    divided = np.where(totals > 0, weights_NN / np.where(totals > 0, totals, 1), jump)
    scores: np.ndarray = np.linalg.solve(np.eye(len(jump)) - DAMPING * divided.T, (1 - DAMPING) * jump)
    return scores


def cooccurrences(document: TaggedText, window: int) -> tuple[dict[str, int], np.ndarray]:
    """Count how often two content words are together in a window of `window` words.

    Returns:
        The node of each stem, and float64 [nodes, nodes] with the counts.
    """
    nodes = {stem: index for index, stem in enumerate(dict.fromkeys(document.content_stems()))}
    counts = np.zeros((len(nodes), len(nodes)))
    positions = [index for index, content in enumerate(document.content) if content]
    for order, first in enumerate(positions):
        for second in positions[order + 1 :]:
            if second - first >= window:
                break
            one, other = nodes[document.stems[first]], nodes[document.stems[second]]
            if one != other:
                counts[one, other] += 1
                counts[other, one] += 1
    return nodes, counts


def textrank(document: TaggedText) -> Ranking:
    """Neighbouring words vote for each other (Mihalcea and Tarau, EMNLP 2004)."""
    return _sums_of_words(document, lambda nodes, counts: pagerank((counts > 0).astype(float)), window=2)


def singlerank(document: TaggedText) -> Ranking:
    """TextRank with counts of co-occurrence in a larger window (Wan and Xiao, AAAI 2008)."""
    return _sums_of_words(document, lambda nodes, counts: pagerank(counts))


def positionrank(document: TaggedText) -> Ranking:
    """SingleRank that jumps to words by the sum of their inverse positions (Florescu and Caragea, ACL 2017)."""

    def rank(nodes: dict[str, int], counts: np.ndarray) -> np.ndarray:
        jump = np.zeros(len(nodes))
        for index, (stem, content) in enumerate(zip(document.stems, document.content, strict=True)):
            if content:
                jump[nodes[stem]] += 1 / (index + 1)
        return pagerank(counts, jump)

    short = [phrase for phrase in document.phrases if len(phrase.stems) <= LONGEST]
    return _sums_of_words(document, rank, candidates=short)


def topicalpagerank(document: TaggedText, importance: Callable[[list[str]], np.ndarray]) -> Ranking:
    """SingleRank that jumps to words by their importance to the document's topics (Sterckx et al., WWW 2015).

    Args:
        document: the document.
        importance: topical importance of each of the stems.
    """
    return _sums_of_words(document, lambda nodes, counts: pagerank(counts, importance(list(nodes))))


def topicrank(document: TaggedText) -> Ranking:
    """Rank topics, and give the first candidate of each (Bougouin et al., IJCNLP 2013)."""
    if not document.phrases:
        return []
    topics = topics_of(document.phrases)
    of_topic = np.eye(topics.max() + 1)[topics]  # [candidates, topics]
    weights = of_topic.T @ inverse_distances(document.phrases) @ of_topic
    np.fill_diagonal(weights, 0)
    firsts = [document.phrases[int(np.argmax(topics == topic))] for topic in range(len(weights))]
    return best_first(firsts, pagerank(weights))


def multipartiterank(document: TaggedText) -> Ranking:
    """Rank candidates in a graph without edges inside a topic (Boudin, NAACL 2018).

    The first candidate of each topic gets a part of the weights of its variants. As in the author's code, the position
    in that formula is the first candidate's own.
    """
    if not document.phrases:
        return []
    topics = topics_of(document.phrases)
    same = topics[:, None] == topics
    weights = np.where(same, 0, inverse_distances(document.phrases))
    boosted = weights.copy()
    for topic in range(topics.max() + 1):
        first, *variants = np.flatnonzero(topics == topic).tolist()
        position = document.phrases[first].starts[0] + 1
        boosted[:, first] += BOOST * np.exp(1 / position) * weights[variants].sum(axis=0)
    return best_first(document.phrases, pagerank(boosted))


def topics_of(candidates: list[Candidate]) -> np.ndarray:
    """Topic of each candidate by average linkage of the Jaccard distances of their stems: int64 [candidates]."""
    if len(candidates) == 1:
        return np.zeros(1, dtype=np.int64)
    stems = {stem: index for index, stem in enumerate({stem for each in candidates for stem in each.stems})}
    has = np.zeros((len(candidates), len(stems)), dtype=bool)
    for row, candidate in enumerate(candidates):
        has[row, [stems[stem] for stem in candidate.stems]] = True
    topics: np.ndarray = fcluster(linkage(pdist(has, "jaccard"), "average"), TOPIC_DISTANCE, "distance") - 1
    return topics


def inverse_distances(candidates: list[Candidate]) -> np.ndarray:
    """Sum of the inverse distances of all occurrences of two candidates: float64 [candidates, candidates].

    The distance counts words from the end of the first occurrence to the start of the second: 1 for neighbours.
    """
    starts = np.array([start for each in candidates for start in each.starts])
    lengths = np.array([len(each.stems) for each in candidates for _ in each.starts])
    owners = np.repeat(np.arange(len(candidates)), [len(each.starts) for each in candidates])
    gaps = np.abs(starts[:, None] - starts)
    gaps -= np.where(starts[:, None] < starts, lengths[:, None], lengths) - 1
    np.fill_diagonal(gaps, 1)
    inverse = 1 / np.maximum(gaps, 1)
    np.fill_diagonal(inverse, 0)
    of_candidate = np.eye(len(candidates))[owners]  # [occurrences, candidates]
    sums: np.ndarray = of_candidate.T @ inverse @ of_candidate
    np.fill_diagonal(sums, 0)
    return sums


def _sums_of_words(
    document: TaggedText,
    rank: Callable[[dict[str, int], np.ndarray], np.ndarray],
    *,
    candidates: list[Candidate] | None = None,
    window: int = WINDOW,
) -> Ranking:
    """Candidates by the sum of the scores of their words. Without `candidates`, all noun phrases."""
    chosen = document.phrases if candidates is None else candidates
    if not chosen:
        return []
    nodes, counts = cooccurrences(document, window)
    scores = rank(nodes, counts)
    return best_first(chosen, [sum(scores[nodes[stem]] for stem in each.stems) for each in chosen])
