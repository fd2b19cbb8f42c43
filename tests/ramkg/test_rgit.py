"""Algorithm 1 compared with a literal transcription of its lines, on steps with random numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from kpray.ramkg.config import RGITConfig
from kpray.ramkg.rgit import NO_PAIRS, can_qualify, final_pairs, run_rounds, select_pairs

PASSAGES, ENGLISH = 40, 12


@dataclass
class ToySteps:
    """A retriever is the number of pairs it learnt and their sum; F1 and recall are hashes of that."""

    seed: int = 0
    recalls: list[float] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    schedules: list[str] = field(default_factory=list)

    def base_f1(self) -> np.ndarray:
        f1: np.ndarray = np.random.default_rng([self.seed, 1]).choice([0.0, 20, 40, 60, 95, 96, 100], PASSAGES)
        return f1

    def train_retriever(self, pseudo: np.ndarray, schedule: str) -> int:
        self.schedules.append(schedule)
        return int(pseudo.sum()) + 1000 * len(pseudo)

    def recall(self, retriever: int) -> float:
        return self.recalls[len(self.schedules) - 1]

    def english_passages(self) -> int:
        return ENGLISH

    def retrieve(self, retriever: int) -> np.ndarray:
        found: np.ndarray = np.random.default_rng([self.seed, 2, retriever]).integers(-1, ENGLISH, PASSAGES)
        return found

    def retrieved_f1(self, retriever: int, rows: np.ndarray) -> np.ndarray:
        self.asked.append(len(rows))
        f1: np.ndarray = np.random.default_rng([self.seed, 3, retriever]).choice([0.0, 25, 50, 100], PASSAGES)[rows]
        return f1


def transcription(steps: ToySteps, rounds: int, tau: float) -> list[set[tuple[int, int]]]:
    """Lines 5 to 26, for every passage; D_PSEUDO after each round."""
    base = steps.base_f1()  # lines 4 and 21
    pseudo: set[tuple[int, int]] = set()  # line 5
    after = []
    for _ in range(rounds):  # line 6
        pairs = np.array(sorted(pseudo), np.int64).reshape(-1, 2)
        retriever = steps.train_retriever(pairs, "union")  # line 8
        found = steps.retrieve(retriever)  # line 18
        f1 = steps.retrieved_f1(retriever, np.arange(PASSAGES))  # lines 10-14 and 22
        pseudo = set()  # line 16
        for passage in range(PASSAGES):  # line 17
            if found[passage] >= 0 and f1[passage] - base[passage] > tau:  # line 24
                pseudo |= {(passage, int(found[passage]))}  # line 25
        after.append(pseudo)
    return after


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tau", [0.0, 5.0, 10.0, 15.0])
def test_rounds_agree_with_the_algorithm(seed: int, tau: float) -> None:
    steps = ToySteps(seed, [0.1, 0.2, 0.3])
    rounds = list(run_rounds(steps, RGITConfig(rounds=3, tau=tau)))
    expected = transcription(ToySteps(seed), 3, tau)
    assert [set(map(tuple, round_.mined.tolist())) for round_ in rounds if round_.mined is not None] == expected
    assert len(rounds[0].learnt) == 0
    for before, after in pairwise(rounds):
        assert before.mined is after.learnt
    assert final_pairs(rounds) is rounds[-1].mined
    # A passage whose base score is above 100 - tau is never evaluated.
    assert set(steps.asked) == {int((steps.base_f1() < 100 - tau).sum())}


def test_rounds_end_when_recall_does_not_increase() -> None:
    steps = ToySteps(0, [0.3, 0.5, 0.5, 0.9])
    rounds = list(run_rounds(steps, RGITConfig(rounds=4)))
    assert [round_.recall for round_ in rounds] == [0.3, 0.5, 0.5]
    assert rounds[2].mined is None
    assert final_pairs(rounds) is rounds[1].learnt
    assert len(steps.asked) == 2


def test_patience_waits_for_a_better_round() -> None:
    rounds = list(run_rounds(ToySteps(0, [0.5, 0.4, 0.6]), RGITConfig(rounds=3, patience=2)))
    assert [round_.mined is None for round_ in rounds] == [False, False, False]


def test_the_control_draws_the_same_number_of_random_pairs() -> None:
    mined = [
        next(run_rounds(ToySteps(0, [0.1]), RGITConfig.model_validate({"mining": mining, "seed": seed}))).mined
        for mining, seed in (("gain", 0), ("random", 0), ("random", 0), ("random", 1))
    ]
    gain, random, again, other = (pairs for pairs in mined if pairs is not None)
    assert random.tolist() == again.tolist() != other.tolist()
    assert gain.shape == random.shape
    assert len(set(random[:, 0])) == len(random)
    assert 0 <= random.min() <= random[:, 1].max() < ENGLISH


def test_rounds_go_on_with_the_empty_set() -> None:
    class Useless(ToySteps):
        """Retrieval helps in the second round only, after a worse first retriever."""

        def retrieved_f1(self, retriever: int, rows: np.ndarray) -> np.ndarray:
            super().retrieved_f1(retriever, rows)
            return np.full(len(rows), 100.0 if len(self.schedules) == 2 else 0.0)

    steps = Useless(0, [0.1, 0.2, 0.3])
    rounds = list(run_rounds(steps, RGITConfig(rounds=3)))
    assert [round_.mined is not None and len(round_.mined) > 0 for round_ in rounds] == [False, True, False]
    assert [len(round_.learnt) > 0 for round_ in rounds] == [False, False, True]
    assert len(final_pairs(rounds)) == 0  # D_PSEUDO of the last round


def test_rounds_without_passages_that_can_qualify() -> None:
    class Perfect(ToySteps):
        def base_f1(self) -> np.ndarray:
            return np.full(PASSAGES, 100.0)

    steps = Perfect(0, [0.1, 0.1])
    rounds = list(run_rounds(steps, RGITConfig(rounds=3)))
    assert [round_.mined is None for round_ in rounds] == [False, True]
    assert steps.asked == []  # nothing is generated
    assert len(final_pairs(rounds)) == 0


def test_no_rounds() -> None:
    assert final_pairs(list(run_rounds(ToySteps(), RGITConfig(rounds=0)))) is NO_PAIRS


def test_the_schedule_is_passed_on() -> None:
    steps = ToySteps(0, [0.1])
    list(run_rounds(steps, RGITConfig(rounds=1, schedule="sequential")))
    assert steps.schedules == ["sequential"]


def test_selection_by_hand() -> None:
    base = np.array([50.0, 50.0, 50.0, 96.0])
    rows = can_qualify(base, 5)
    assert rows.tolist() == [0, 1, 2]
    english, f1 = (
        np.array([7, 8, -1]),
        np.array([55.0, 55.5, 100.0]),
    )  # exactly tau does not qualify; -1: nothing was found
    assert select_pairs(rows, english, f1, base, 5).tolist() == [[1, 8]]
