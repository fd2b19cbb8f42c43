"""Retriever-generator iterative training: Algorithm 1 as logic alone. What its steps do is elsewhere.

Paper symbols: D_PAR `parallel`, D_NP `passages`, D_LS the English passages, D_PSEUDO `pseudo`, G_B the base generator,
R_t and G_t a round's retriever and generator, tau the threshold. Documents are rows of their store.
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
    """What Algorithm 1 asks of the machines."""

    def base_f1(self) -> np.ndarray:
        """F1 in percent of what G_B, trained on the parallel documents, predicts (lines 4 and 21), float64 [N]."""

    def train_retriever(self, pseudo: np.ndarray, schedule: str) -> Retriever:
        """R_t, of pseudo pairs int64 [n, 2] and the parallel ones (line 8); see `RGITConfig.schedule`."""

    def recall(self, retriever: Retriever) -> float:
        """Share of the validation documents whose English passage is found first, in [0, 1]."""

    def english_passages(self) -> int:
        """Number of English passages."""

    def retrieve(self, retriever: Retriever) -> np.ndarray:
        """The first English passage of each passage (line 18), int64 [N]; -1 where there is none."""

    def retrieved_f1(self, retriever: Retriever, rows: np.ndarray) -> np.ndarray:
        """F1 of G_t, trained on the parallel documents with what is retrieved for them, for these passages.

        Lines 10-14, 19 and 22.

        Args:
            retriever: R_t.
            rows: int64 [n], of the passages that can qualify.

        Returns:
            float64 [n], in percent.
        """


@dataclass(frozen=True, slots=True)
class Round(Generic[Retriever]):
    """What one round gave.

    Attributes:
        number: 0, 1, ...
        retriever: R_t.
        recall: of R_t on the validation documents, in [0, 1].
        learnt: the pseudo pairs that R_t learnt from, int64 [n, 2] of passages and English passages.
        mined: the pseudo pairs that the round found; None where the rounds ended because recall did not rise.
    """

    number: int
    retriever: Retriever
    recall: float
    learnt: np.ndarray
    mined: np.ndarray | None


def run_rounds(steps: Steps[Retriever], config: RGITConfig) -> Iterator[Round[Retriever]]:
    """Algorithm 1; what it returns is `final_pairs` of the rounds.

    A round's retriever is measured before the costly rest of the round: when it is not better than the best so far for
    `config.patience` rounds, the rounds end.
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
        mined = select_pairs(
            rows, steps.retrieve(retriever)[rows], steps.retrieved_f1(retriever, rows), base, config.tau
        )
        if config.mining == "random":
            mined = random_pairs(len(mined), len(base), steps.english_passages(), config.seed, number)
        yield Round(number, retriever, recall, pseudo, mined)
        pseudo = mined


def can_qualify(base_f1: np.ndarray, tau: float) -> np.ndarray:
    """Rows of the passages for which the difference can still exceed tau, since no F1 is above 100, int64 [n]."""
    return np.flatnonzero(base_f1 < 100 - tau)


def select_pairs(rows: np.ndarray, english: np.ndarray, f1: np.ndarray, base_f1: np.ndarray, tau: float) -> np.ndarray:
    """Pairs of passages and what was retrieved first for them, where that helps by more than tau (lines 24-25).

    Args:
        rows: int64 [n], of the passages.
        english: int64 [n], the first retrieved English passage of each; -1: none.
        f1: float64 [n], of G_t with what was retrieved, in percent.
        base_f1: float64 [N], of G_B, for all passages.
        tau: in percent points.

    Returns:
        int64 [pairs, 2].
    """
    helped = (f1 - base_f1[rows] > tau) & (english >= 0)
    return np.stack([rows[helped], english[helped]], axis=1).astype(np.int64)


def random_pairs(pairs: int, passages: int, english: int, seed: int, number: int) -> np.ndarray:
    """As many pairs at random, each of another passage, int64 [pairs, 2]: what mining must be better than."""
    random = np.random.default_rng([seed, number])
    rows = np.sort(random.choice(passages, pairs, replace=False))
    return np.stack([rows, random.integers(english, size=pairs)], axis=1).astype(np.int64)


def final_pairs(rounds: Sequence[Round[Retriever]]) -> np.ndarray:
    """D_PSEUDO as the rounds leave it: what the last one mined; where recall fell, what the best retriever learnt."""
    if not rounds:
        return NO_PAIRS
    if rounds[-1].mined is not None:
        return rounds[-1].mined
    return max(rounds, key=lambda round_: (round_.recall, -round_.number)).learnt
