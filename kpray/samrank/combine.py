"""Which heads, one or several together: chosen on validation documents from what one pass over them gave.

Several heads score as `SAMRank` scores with several: each head's phrase scores divided by their maximum, then averaged.
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
    """Documents of a data set, scored by all heads in every way that is looked at.

    Attributes:
        documents: rule of candidates -> the documents.
        f1: float64 [documents, scorings, heads, cutoffs], of each head alone, in [0, 1].
    """

    documents: Mapping[CandidateRule, Sequence[ScoredDocument]]
    f1: np.ndarray

    def __len__(self) -> int:
        return len(self.f1)


@dataclass(frozen=True, slots=True)
class Choice:
    """Heads that were chosen.

    Attributes:
        how: `one head`, `best alone` (those that score highest by themselves), or
            `greedy` (each the one that helps most).
        scoring: how they score.
        heads: int, places among all heads.
        score: mean F1 of the data sets that they were chosen on, in [0, 1].
    """

    how: str
    scoring: Scoring
    heads: tuple[int, ...]
    score: float


def all_scorings(rules: Iterable[CandidateRule], scores: Iterable[str], modes: Sequence[Mode]) -> list[Scoring]:
    """Every way to score; the global part alone knows no direction, so it comes once for each rule."""
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
    """Score each head alone, as the documents come from `score_documents`."""
    documents: dict[CandidateRule, list[ScoredDocument]] = {scoring.candidates: [] for scoring in scorings}
    f1 = []
    for own in scored:
        by_scoring: dict[Scoring, np.ndarray] = {}
        for rule, kept in documents.items():
            document = own[rule]
            kept.append(document)
            mine = [scoring for scoring in scorings if scoring.candidates == rule]
            stacked = np.concatenate([document.scores(scoring, modes) for scoring in mine])
            found = document.f1(stacked, merge).reshape(len(mine), -1, len(CUTOFFS))
            by_scoring |= dict(zip(mine, found, strict=True))
        f1.append(np.stack([by_scoring[scoring] for scoring in scorings]))
    heads = next((own.parts.shape[1] for kept in documents.values() for own in kept), 0)
    return HeadTable(documents, np.array(f1).reshape(len(f1), len(scorings), heads, len(CUTOFFS)))


def save_table(table: HeadTable, path: Path) -> None:
    """Write a table as one file (`.npz`)."""
    arrays = {"f1": table.f1}
    for rule, documents in table.documents.items():
        heads = table.f1.shape[2]
        modes = documents[0].parts.shape[0] if documents else 1
        arrays |= {
            f"{rule}_parts": np.concatenate([own.parts for own in documents] or [np.zeros((modes, heads, 0))], axis=2),
            f"{rule}_groups": np.concatenate([own.groups for own in documents] or [np.zeros(0, np.int64)]),
            f"{rule}_correct": np.concatenate([own.correct for own in documents] or [np.zeros(0, bool)]),
            f"{rule}_phrases": np.array([len(own.groups) for own in documents], dtype=np.int64),
            f"{rule}_stems": np.array([len(own.correct) for own in documents], dtype=np.int64),
            f"{rule}_gold": np.array([own.gold for own in documents], dtype=np.int64),
        }
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_tables(paths: Sequence[Path]) -> HeadTable:
    """Read tables of `save_table` as one, in order."""
    documents: dict[CandidateRule, list[ScoredDocument]] = {}
    f1 = []
    for path in paths:
        with np.load(path) as arrays:
            f1.append(arrays["f1"])
            for rule in (name.removesuffix("_gold") for name in arrays.files if name.endswith("_gold")):
                parts, groups, correct = (arrays[f"{rule}_{name}"] for name in ("parts", "groups", "correct"))
                phrase = np.concatenate([[0], np.cumsum(arrays[f"{rule}_phrases"])])
                stem = np.concatenate([[0], np.cumsum(arrays[f"{rule}_stems"])])
                documents.setdefault(rule, []).extend(
                    ScoredDocument(
                        parts[:, :, phrase[place] : phrase[place + 1]],
                        groups[phrase[place] : phrase[place + 1]],
                        correct[stem[place] : stem[place + 1]],
                        int(gold),
                    )
                    for place, gold in enumerate(arrays[f"{rule}_gold"])
                )
    return HeadTable(documents, np.concatenate(f1))


def f1_of_heads_together(
    table: HeadTable, scoring: Scoring, modes: Sequence[Mode], heads: Sequence[int], merge: bool
) -> np.ndarray:
    """F1 of several heads (or of one) as `SAMRank` combines them, in [0, 1].

    Returns:
        float64 [documents, cutoffs].
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
    most: int,
    cutoff: int,
    merge: bool,
) -> list[Choice]:
    """Choose one head, and several together, by mean F1 over the data sets, each of which counts alike.

    Several are chosen in two ways: for each scoring the n best heads by themselves, n = 2 .. `most`; and, in the
    scoring where that is best, heads are added one by one, each the one that helps most, as long as one helps.

    Args:
        tables: of the validation data; what is reported later has no part in it.
        scorings: ways to score, those of the tables' `f1`.
        modes: of the tables' documents.
        most: heads together, at least 1.
        cutoff: of `CUTOFFS`, that is chosen by.
        merge: as `group_scores`.

    Returns:
        The best `one head`, and the best of the other two where `most` is above 1; the best of all first.
    """
    column = CUTOFFS.index(cutoff)
    alone = np.mean([table.f1[..., column].mean(axis=0) for table in tables], axis=0)  # [scorings, heads]
    scoring, head = np.unravel_index(int(alone.argmax()), alone.shape)
    choices = [Choice("one head", scorings[int(scoring)], (int(head),), float(alone.max()))]
    if most > 1:
        by_scoring = [
            _best_alone(tables, each, modes, alone[place], most=most, column=column, merge=merge)
            for place, each in enumerate(scorings)
        ]
        best = max(by_scoring, key=lambda choice: choice.score)
        choices.append(best)
        choices.append(_greedy(tables, best.scoring, modes, most=most, column=column, merge=merge))
    return sorted(choices, key=lambda choice: -choice.score)


def _best_alone(
    tables: Sequence[HeadTable],
    scoring: Scoring,
    modes: Sequence[Mode],
    alone: np.ndarray,
    *,
    most: int,
    column: int,
    merge: bool,
) -> Choice:
    order = np.argsort(-alone, kind="stable")[:most]
    numbers = np.arange(1, len(order) + 1)[:, None]

    def rankings(document: ScoredDocument) -> np.ndarray:
        together: np.ndarray = np.cumsum(_shares(document.scores(scoring, modes)[order]), axis=0) / numbers
        return together

    means = _mean_f1(tables, scoring, rankings, column, merge)
    number = 1 + int(means[1:].argmax()) if len(means) > 1 else 0
    return Choice("best alone", scoring, tuple(order[: number + 1].tolist()), float(means[number]))


def _greedy(
    tables: Sequence[HeadTable], scoring: Scoring, modes: Sequence[Mode], *, most: int, column: int, merge: bool
) -> Choice:
    chosen: list[int] = []
    best = -1.0
    while len(chosen) < most:

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
    """Mean F1 of each ranking that a function makes of a document, over the data sets: float64 [rankings]."""
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
    """Each head's scores divided by their maximum; a document without candidates has none."""
    return share_of_best(scores) if scores.shape[1] else scores
