"""Retriever-generator iterative training (RGIT): the logic of Algorithm 1, independent of how its steps are executed.

Symbols of the paper: D_PAR `parallel`, D_NP `passages`, D_LS the English passages, D_PSEUDO `pseudo`, G_B the base
generator, R_t and G_t the retriever and generator of a round, tau the threshold. A document is given by its row in a
`PassageStore`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from kpray.ramkg.config import RGITConfig

Retriever = TypeVar("Retriever")
NO_PAIRS = np.empty((0, 2), np.int64)


class Steps(Protocol[Retriever]):
    """The steps of Algorithm 1: training, retrieval and evaluation."""

    def base_f1(self) -> np.ndarray:
        """F1 of G_B, trained on the parallel documents, for each passage, in percent (lines 4 and 21): float64 [N]."""

    def train_retriever(self, pseudo: np.ndarray, schedule: str) -> Retriever:
        """Train R_t on pseudo pairs, int64 [n, 2], and parallel pairs (line 8); see `RGITConfig.schedule`."""

    def recall(self, retriever: Retriever) -> float:
        """Recall@1 on the validation pairs, in [0, 1]."""

    def english_passages(self) -> int:
        """Number of English passages."""

    def retrieve(self, retriever: Retriever) -> np.ndarray:
        """Row of the first retrieved English passage of each passage (line 18), int64 [N]; -1 if there is none."""

    def retrieved_f1(self, retriever: Retriever, rows: np.ndarray) -> np.ndarray:
        """Train G_t on the parallel documents with R_t's retrieved keyphrases, and evaluate it on passages.

        Lines 10-14, 19 and 22.

        Args:
            retriever: R_t.
            rows: int64 [n], rows of the passages to evaluate.

        Returns:
            F1 of each passage, float64 [n], in percent.
        """


@dataclass(frozen=True, slots=True)
class Round(Generic[Retriever]):
    """Result of one round.

    Attributes:
        number: 0, 1, ...
        retriever: R_t.
        recall: recall@1 of R_t on the validation pairs, in [0, 1].
        learnt: pseudo pairs that R_t was trained on, int64 [n, 2], rows of passages and English passages.
        mined: pseudo pairs that the round mined; None if the rounds ended here because recall did not increase.
    """

    number: int
    retriever: Retriever
    recall: float
    learnt: np.ndarray
    mined: np.ndarray | None


def run_rounds(steps: Steps[Retriever], config: RGITConfig) -> Iterator[Round[Retriever]]:
    """Run Algorithm 1; `final_pairs` of the rounds gives its result.

    The recall of a round's retriever is measured before the costly rest of the round. The rounds end if recall has not
    exceeded its best value for `config.patience` rounds.

    Yields:
        Each round when it is finished.
    """
    pseudo = NO_PAIRS
    best, stale = -1.0, 0
    for number in range(config.rounds):
        retriever = steps.train_retriever(pseudo, config.schedule)
        recall = steps.recall(retriever)
        best, stale = (recall, 0) if recall > best else (best, stale + 1)
        if stale >= config.patience:
            yield Round(number, retriever, recall, pseudo, None)
            return
        base = steps.base_f1()
        rows = can_qualify(base, config.tau)
        mined = NO_PAIRS
        if len(rows):
            f1 = steps.retrieved_f1(retriever, rows)
            mined = select_pairs(rows, steps.retrieve(retriever)[rows], f1, base, config.tau)
        if config.mining == "random":
            mined = random_pairs(len(mined), len(base), steps.english_passages(), config.seed, number)
        yield Round(number, retriever, recall, pseudo, mined)
        pseudo = mined


def can_qualify(base_f1: np.ndarray, tau: float) -> np.ndarray:
    """Rows of the passages whose F1 can still increase by more than tau, because F1 is at most 100: int64 [n]."""
    return np.flatnonzero(base_f1 < 100 - tau)


def select_pairs(rows: np.ndarray, english: np.ndarray, f1: np.ndarray, base_f1: np.ndarray, tau: float) -> np.ndarray:
    """Pairs of a passage and its first retrieved English passage where retrieval adds more than tau (lines 24-25).

    Args:
        rows: int64 [n], rows of passages.
        english: int64 [n], row of each passage's first retrieved English passage; -1: none.
        f1: float64 [n], F1 of G_t with retrieved keyphrases, in percent.
        base_f1: float64 [N], F1 of G_B for all passages, in percent.
        tau: threshold in percentage points.

    Returns:
        int64 [pairs, 2].
    """
    helped = (f1 - base_f1[rows] > tau) & (english >= 0)
    return np.stack([rows[helped], english[helped]], axis=1).astype(np.int64)


def random_pairs(pairs: int, passages: int, english: int, seed: int, number: int) -> np.ndarray:
    """Random pairs of different passages and English passages, int64 [pairs, 2]: the control for mining."""
    random = np.random.default_rng([seed, number])
    rows = np.sort(random.choice(passages, pairs, replace=False))
    return np.stack([rows, random.integers(english, size=pairs)], axis=1).astype(np.int64)


def final_pairs(rounds: Sequence[Round[Retriever]]) -> np.ndarray:
    """Final D_PSEUDO: the pairs of the last round, or, if it mined none, those that the best retriever learnt from."""
    if not rounds:
        return NO_PAIRS
    if rounds[-1].mined is not None:
        return rounds[-1].mined
    return max(rounds, key=lambda round_: (round_.recall, -round_.number)).learnt
