"""F1 of every attention head of a model, from one pass over the documents (SAMRank, Fig. 3 and 4)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from kpray.document import Record
from kpray.errors import RejectedDocument, UserError
from kpray.metrics.evaluate import gold_phrases
from kpray.metrics.protocols import PROTOCOLS
from kpray.report.heat_map import draw_heads
from kpray.report.progress import Progress
from kpray.samrank.attention import load_architecture
from kpray.samrank.config import SAMRankConfig, head_name
from kpray.samrank.predictor import SAMRank, best_of_groups, group_scores
from kpray.samrank.prepared import PreparedDocument
from kpray.samrank.scores import HeadScores, Redistribution, Weighting
from kpray.text.candidates import CandidateRule
from kpray.text.tagging import remembering

CUTOFFS = (5, 10, 15)
_DOCUMENTS_AT_ONCE, _CHARACTERS_AT_ONCE = 64, 200_000
_SENTENCES_KEPT = 10_000  # more than the documents of one batch have

Mode = tuple[Redistribution, Weighting]


def all_heads(model: str) -> tuple[str, ...]:
    """Names of all heads of a model (`1-1`, `1-2`, ...), layer by layer."""
    architecture = load_architecture(model)
    layers, heads = architecture.num_hidden_layers, architecture.num_attention_heads
    return tuple(head_name(layer, head) for layer in range(layers) for head in range(heads))


@dataclass(frozen=True, slots=True)
class Scoring:
    """One way to score phrases; the fields are those of `SAMRankConfig`. One forward pass serves many scorings."""

    candidates: CandidateRule
    score: Literal["both", "global", "proportional"]
    redistribution: Redistribution
    weighting: Weighting

    @classmethod
    def of(cls, config: SAMRankConfig) -> Scoring:
        """The scoring of a configuration."""
        return cls(config.candidates, config.score, config.redistribution, config.weighting)


@dataclass(frozen=True, slots=True)
class ScoredDocument:
    """The candidates of a document with gold keyphrases, scored by every head.

    Attributes:
        parts: float64 [1 + modes, heads, phrases], Eq. 8: of the global scores, then of the proportional scores in each
            mode.
        groups: int64 [phrases], group of each phrase. Phrases with equal stems share a group; groups are numbered from
            0 in order of appearance.
        correct: bool [phrases], whether the stems of the phrase are gold.
        gold: number of gold phrases.
    """

    parts: np.ndarray
    groups: np.ndarray
    correct: np.ndarray
    gold: int

    def scores(self, scoring: Scoring, modes: Sequence[Mode]) -> np.ndarray:
        """Phrase scores under one scoring: float64 [heads, phrases]; `modes` are the modes of `parts`."""
        global_: np.ndarray = self.parts[0]
        if scoring.score == "global":
            return global_
        proportional: np.ndarray = self.parts[1 + list(modes).index((scoring.redistribution, scoring.weighting))]
        return proportional if scoring.score == "proportional" else global_ + proportional

    def f1(self, scores: np.ndarray, merge: bool) -> np.ndarray:
        """F1 at each cutoff, in [0, 1], under the protocol `samrank`.

        Args:
            scores: float64 [rankings, phrases].
            merge: see `group_scores`.

        Returns:
            float64 [rankings, cutoffs].
        """
        if not len(self.groups):
            return np.zeros((len(scores), len(CUTOFFS)))
        by_group = group_scores(scores, self.groups, merge)
        order = np.argsort(-by_group, axis=1, kind="stable")
        correct = np.take_along_axis(self.correct[best_of_groups(scores, self.groups)], order, axis=1)
        hits = np.pad(np.cumsum(correct, axis=1), ((0, 0), (1, 0)))
        # A phrase with the score 0 is no prediction.
        predicted = np.minimum(CUTOFFS, np.count_nonzero(by_group > 0, axis=1)[:, None])
        # F1 = 2 P R / (P + R) with P = hits / predicted and R = hits / |gold|
        f1: np.ndarray = 2 * np.take_along_axis(hits, predicted, axis=1) / (predicted + self.gold)
        return f1


def score_documents(
    predictor: SAMRank, records: Iterable[Record], rules: Sequence[CandidateRule], modes: Sequence[Mode]
) -> Iterator[dict[CandidateRule, ScoredDocument]]:
    """Score documents with all modes and candidate rules in one forward pass.

    Args:
        predictor: built with the heads to score.
        records: documents with gold keyphrases; documents without gold are skipped. A rejected document has no
            candidates, which counts as an empty prediction, as in `evaluate`.
        rules: candidate rules, at least one.
        modes: see `head_scores`.

    Yields:
        For each document with gold: candidate rule -> scores.
    """
    preparers = _preparers(predictor, rules)
    heads = len(predictor.config.heads)
    for batch in _batches(records):
        labelled = [(record, gold) for record in batch if (gold := gold_phrases(record, PROTOCOLS["samrank"]))]
        prepared = [_prepare(preparers, record) for record, _ in labelled]
        # Every rule gives the same segments, or none if it finds no candidates.
        segments = [next((one.segments for one in document.values() if one.segments), []) for document in prepared]
        flat = [segment for of_document in segments for segment in of_document]
        scores = iter(predictor.score_segments(flat, modes))
        for (_, gold), document, of_document in zip(labelled, prepared, segments, strict=True):
            found = [next(scores) for _ in of_document]
            tokens = _tokens(found) if found else np.zeros((1 + len(modes), heads, 0))
            yield {rule: _score(predictor, document.get(rule), tokens, set(gold)) for rule in rules}


def f1_of_heads(config: SAMRankConfig, records: Iterable[Record]) -> np.ndarray:
    """Mean F1@5, F1@10 and F1@15 of each single head under the protocol `samrank`.

    Each document is tagged, tokenized and read by the model once for all heads.

    Args:
        config: configuration; `heads` is ignored.
        records: documents with gold keyphrases; documents without gold are skipped.

    Returns:
        float64 [layers, heads, 3], in percent.

    Raises:
        UserError: no record has gold keyphrases.
    """
    return f1_by_head(SAMRank(config.model_copy(update={"heads": all_heads(config.model)})), records)


def f1_by_head(predictor: SAMRank, records: Iterable[Record]) -> np.ndarray:
    """`f1_of_heads` for a predictor that was built with all heads of its model."""
    scoring, merge = Scoring.of(predictor.config), predictor.config.merge_stems
    modes = [(scoring.redistribution, scoring.weighting)]
    records = [record for record in records if record.keyphrases]
    documents = []
    with Progress("scoring attention heads", total=len(records), first="the first documents") as progress:
        for document in score_documents(predictor, records, [scoring.candidates], modes):
            scored = document[scoring.candidates]
            documents.append(scored.f1(scored.scores(scoring, modes), merge))
            progress.advance(1, 1, seconds=time.monotonic() - progress.started, new=True)
    if not documents:
        raise UserError("no record has gold keyphrases", fix="score heads on data with a field `keyphrases`")
    means: np.ndarray = 100 * np.mean(documents, axis=0)
    return means.reshape(predictor.model.layers, -1, len(CUTOFFS))


def draw_f1_of_heads(
    config: SAMRankConfig, data: Mapping[str, Sequence[Record]], path: Path
) -> dict[str, list[dict[str, str | int | float | None]]]:
    """Draw a heat map of every head's F1@15 on each dataset, and return the scores.

    Args:
        config: see `f1_of_heads`.
        data: name of the dataset -> its records.
        path: PNG file to write.

    Returns:
        Name of the dataset -> `head_rows`.

    Raises:
        OSError: the file cannot be written.
        UserError: see `f1_of_heads`.
    """
    scores = {name: f1_of_heads(config, records) for name, records in data.items()}
    draw_heads({name: of_heads[:, :, -1] for name, of_heads in scores.items()}, path, f"F1@{CUTOFFS[-1]}")
    return {name: head_rows(of_heads) for name, of_heads in scores.items()}


def head_rows(scores: np.ndarray) -> list[dict[str, str | int | float | None]]:
    """Table rows for the result of `f1_of_heads`, sorted by F1@15, best head first."""
    rows: list[dict[str, str | int | float | None]] = [
        {"head": head_name(layer, head)}
        | {f"F1@{cutoff}": float(f1) for cutoff, f1 in zip(CUTOFFS, scores[layer, head], strict=True)}
        for layer, head in np.ndindex(scores.shape[:2])
    ]
    best_first = np.argsort(-scores[:, :, -1], axis=None, kind="stable")
    return [rows[index] for index in best_first]


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Batches of records, limited in characters: the scores of all heads in all modes take much memory."""
    batch: list[Record] = []
    characters = 0
    for record in records:
        batch.append(record)
        characters += len(record.document.text)
        if len(batch) == _DOCUMENTS_AT_ONCE or characters >= _CHARACTERS_AT_ONCE:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _preparers(predictor: SAMRank, rules: Sequence[CandidateRule]) -> dict[CandidateRule, SAMRank]:
    """One copy of the predictor for each rule. The copies share the model and a cache of tagged sentences."""
    preparers = {}
    tagger = predictor.tagger if len(rules) == 1 else remembering(predictor.tagger, _SENTENCES_KEPT)
    for rule in rules:
        preparers[rule] = copy(predictor)
        preparers[rule].config = predictor.config.model_copy(update={"candidates": rule})
        preparers[rule].tagger = tagger
    return preparers


def _prepare(preparers: Mapping[CandidateRule, SAMRank], record: Record) -> dict[CandidateRule, PreparedDocument]:
    try:
        return {rule: preparer.prepare(record.document) for rule, preparer in preparers.items()}
    except RejectedDocument:
        return {}


def _tokens(segments: Sequence[HeadScores]) -> np.ndarray:
    """Token scores of a document: float64 [1 + modes, heads, tokens], the global scores first."""
    parts = [np.concatenate([segment.global_[None], segment.proportional]) for segment in segments]
    return np.concatenate(parts, axis=2, dtype=np.float64)


def _score(predictor: SAMRank, document: PreparedDocument | None, tokens: np.ndarray, gold: set[str]) -> ScoredDocument:
    rows = tokens.shape[:2]
    if document is None or not document.phrases:
        nothing = np.zeros(0, dtype=np.int64)
        return ScoredDocument(np.zeros((*rows, 0)), nothing, nothing.astype(bool), len(gold))
    parts = predictor.phrase_scores(tokens.reshape(-1, tokens.shape[2]), document.occurrences)
    correct = np.array([stem in gold for stem in document.stems], dtype=bool)
    return ScoredDocument(parts.reshape(*rows, -1), document.groups, correct, len(gold))
