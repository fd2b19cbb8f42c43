"""Select attention heads, alone or combined, on validation documents.

The model reads the documents once. All heads, and combinations of heads, are then evaluated from the stored scores.
Heads are combined as in `SAMRank`: each head's phrase scores are divided by their maximum, then averaged over heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kpray.samrank.heads import CUTOFFS, Mode, ScoredDocument, Scoring
from kpray.samrank.predictor import share_of_best
from kpray.text.candidates import CandidateRule


@dataclass(frozen=True, slots=True)
class HeadTable:
    """Documents of one dataset, scored by all heads with every scoring.

    Attributes:
        documents: candidate rule -> the scored documents.
        f1: float64 [documents, scorings, heads, cutoffs], F1 of each single head, in [0, 1].
    """

    documents: Mapping[CandidateRule, Sequence[ScoredDocument]]
    f1: np.ndarray

    def __len__(self) -> int:
        return len(self.f1)


@dataclass(frozen=True, slots=True)
class Choice:
    """The heads that one selection method found.

    Attributes:
        how: selection method: `one head`; `best alone` (the n heads with the highest F1 each); or
            `greedy` (repeatedly adds the head that raises F1 most).
        scoring: how the heads score phrases.
        heads: indices among all heads of the model.
        score: mean F1 over the validation datasets, in [0, 1].
    """

    how: str
    scoring: Scoring
    heads: tuple[int, ...]
    score: float


def all_scorings(rules: Iterable[CandidateRule], scores: Iterable[str], modes: Sequence[Mode]) -> list[Scoring]:
    """All combinations of rule, score and mode. The score `global` has no mode, so it occurs once for each rule."""
    found = []
    for rule in rules:
        for score in scores:
            for mode in modes[:1] if score == "global" else modes:
                found.append(Scoring(rule, score, *mode))  # type: ignore[arg-type]
    return found


def make_table(
    scored: Iterable[Mapping[CandidateRule, ScoredDocument]],
    scorings: Sequence[Scoring],
    modes: Sequence[Mode],
    merge: bool,
) -> HeadTable:
    """Compute the F1 of each single head for the documents that `score_documents` yields."""
    documents: dict[CandidateRule, list[ScoredDocument]] = {scoring.candidates: [] for scoring in scorings}
    f1 = []
    for by_rule in scored:
        by_scoring: dict[Scoring, np.ndarray] = {}
        for rule, kept in documents.items():
            document = by_rule[rule]
            kept.append(document)
            of_rule = [scoring for scoring in scorings if scoring.candidates == rule]
            stacked = np.concatenate([document.scores(scoring, modes) for scoring in of_rule])
            found = document.f1(stacked, merge).reshape(len(of_rule), -1, len(CUTOFFS))
            by_scoring |= dict(zip(of_rule, found, strict=True))
        f1.append(np.stack([by_scoring[scoring] for scoring in scorings]))
    heads = next((document.parts.shape[1] for kept in documents.values() for document in kept), 0)
    return HeadTable(documents, np.array(f1).reshape(len(f1), len(scorings), heads, len(CUTOFFS)))


def save_table(table: HeadTable, path: Path) -> None:
    """Write a table to one `.npz` file."""
    arrays = {"f1": table.f1}
    for rule, documents in table.documents.items():
        heads = table.f1.shape[2]
        modes = documents[0].parts.shape[0] if documents else 1
        arrays |= {
            f"{rule}_parts": np.concatenate(
                [document.parts for document in documents] or [np.zeros((modes, heads, 0))], axis=2
            ),
            f"{rule}_groups": np.concatenate([document.groups for document in documents] or [np.zeros(0, np.int64)]),
            f"{rule}_correct": np.concatenate([document.correct for document in documents] or [np.zeros(0, bool)]),
            f"{rule}_phrases": np.array([len(document.groups) for document in documents], dtype=np.int64),
            f"{rule}_gold": np.array([document.gold for document in documents], dtype=np.int64),
        }
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_tables(paths: Sequence[Path]) -> HeadTable:
    """Read files of `save_table` and concatenate their tables in order."""
    documents: dict[CandidateRule, list[ScoredDocument]] = {}
    f1 = []
    for path in paths:
        with np.load(path) as arrays:
            f1.append(arrays["f1"])
            for rule in (name.removesuffix("_gold") for name in arrays.files if name.endswith("_gold")):
                parts, groups, correct = (arrays[f"{rule}_{name}"] for name in ("parts", "groups", "correct"))
                phrase = np.concatenate([[0], np.cumsum(arrays[f"{rule}_phrases"])])
                documents.setdefault(rule, []).extend(
                    ScoredDocument(
                        parts[:, :, phrase[index] : phrase[index + 1]],
                        groups[phrase[index] : phrase[index + 1]],
                        correct[phrase[index] : phrase[index + 1]],
                        int(gold),
                    )
                    for index, gold in enumerate(arrays[f"{rule}_gold"])
                )
    return HeadTable(documents, np.concatenate(f1))


def f1_of_heads_together(
    table: HeadTable, scoring: Scoring, modes: Sequence[Mode], heads: Sequence[int], merge: bool
) -> np.ndarray:
    """F1 of one or more heads, combined as in `SAMRank`.

    Returns:
        float64 [documents, cutoffs], in [0, 1].
    """
    found = []
    for document in table.documents[scoring.candidates]:
        scores = document.scores(scoring, modes)[list(heads)]
        together = scores if len(heads) == 1 else _shares(scores).mean(axis=0, keepdims=True)
        found.append(document.f1(together, merge)[0])
    return np.array(found)


def choose_heads(
    tables: Sequence[HeadTable],
    scorings: Sequence[Scoring],
    modes: Sequence[Mode],
    *,
    max_heads: int,
    cutoff: int,
    merge: bool,
) -> list[Choice]:
    """Select one head, and combinations of heads, by mean F1. Every dataset has the same weight.

    Combinations are selected in two ways. `best alone` combines the n heads with the highest single F1, for
    n = 2 .. `max_heads` and every scoring. `greedy` takes the best of these scorings and adds one head at a time, the
    one that raises F1 most, until no head raises it.

    Args:
        tables: validation datasets; never the data that results are reported on.
        scorings: the scorings of the tables' `f1`.
        modes: modes of the tables' documents.
        max_heads: maximum number of heads to combine, at least 1.
        cutoff: one of `CUTOFFS`; its F1 decides.
        merge: see `group_scores`.

    Returns:
        The choice `one head`, and `best alone` and `greedy` if `max_heads` is above 1. The highest score comes first.
    """
    column = CUTOFFS.index(cutoff)
    alone = np.mean([table.f1[..., column].mean(axis=0) for table in tables], axis=0)  # [scorings, heads]
    scoring, head = np.unravel_index(int(alone.argmax()), alone.shape)
    choices = [Choice("one head", scorings[int(scoring)], (int(head),), float(alone.max()))]
    if max_heads > 1:
        by_scoring = [
            _best_alone(tables, each, modes, alone[index], max_heads=max_heads, column=column, merge=merge)
            for index, each in enumerate(scorings)
        ]
        best = max(by_scoring, key=lambda choice: choice.score)
        choices.append(best)
        choices.append(_greedy(tables, best.scoring, modes, max_heads=max_heads, column=column, merge=merge))
    return sorted(choices, key=lambda choice: -choice.score)


def _best_alone(
    tables: Sequence[HeadTable],
    scoring: Scoring,
    modes: Sequence[Mode],
    alone: np.ndarray,
    *,
    max_heads: int,
    column: int,
    merge: bool,
) -> Choice:
    order = np.argsort(-alone, kind="stable")[:max_heads]
    numbers = np.arange(1, len(order) + 1)[:, None]

    def rankings(document: ScoredDocument) -> np.ndarray:
        together: np.ndarray = np.cumsum(_shares(document.scores(scoring, modes)[order]), axis=0) / numbers
        return together

    means = _mean_f1(tables, scoring, rankings, column, merge)
    number = 1 + int(means[1:].argmax()) if len(means) > 1 else 0
    return Choice("best alone", scoring, tuple(order[: number + 1].tolist()), float(means[number]))


def _greedy(
    tables: Sequence[HeadTable], scoring: Scoring, modes: Sequence[Mode], *, max_heads: int, column: int, merge: bool
) -> Choice:
    chosen: list[int] = []
    best = -1.0
    while len(chosen) < max_heads:

        def rankings(document: ScoredDocument) -> np.ndarray:
            shares = _shares(document.scores(scoring, modes))
            together: np.ndarray = (shares + shares[chosen].sum(axis=0)) / (len(chosen) + 1)
            return together

        means = _mean_f1(tables, scoring, rankings, column, merge)
        means[chosen] = -1.0
        if means.max() <= best:
            break
        best = float(means.max())
        chosen.append(int(means.argmax()))
    return Choice("greedy", scoring, tuple(chosen), best)


def _mean_f1(
    tables: Sequence[HeadTable],
    scoring: Scoring,
    rankings: Callable[[ScoredDocument], np.ndarray],
    column: int,
    merge: bool,
) -> np.ndarray:
    """Mean F1 over the datasets of each ranking that `rankings` returns for a document: float64 [rankings]."""
    means = [
        np.mean(
            [document.f1(rankings(document), merge)[:, column] for document in table.documents[scoring.candidates]],
            axis=0,
        )
        for table in tables
    ]
    found: np.ndarray = np.mean(means, axis=0)
    return found


def _shares(scores: np.ndarray) -> np.ndarray:
    """Each head's scores divided by their maximum; unchanged for a document without candidates."""
    return share_of_best(scores) if scores.shape[1] else scores
