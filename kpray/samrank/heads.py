"""F1 of every head of a model from one pass over the documents (the paper's Fig. 3 and 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from kpray.document import Record
from kpray.errors import RejectedDocument, UserError
from kpray.metrics.evaluate import gold_phrases
from kpray.metrics.protocols import PROTOCOLS
from kpray.report.heat_map import draw_heads
from kpray.report.progress import Progress
from kpray.samrank.attention import HeadScores
from kpray.samrank.config import SAMRankConfig, head_name
from kpray.samrank.predictor import PreparedDocument, SAMRank, group_scores
from kpray.samrank.scores import Redistribution, Weighting
from kpray.text.candidates import CandidateRule
from kpray.text.tagging import Tagger

CUTOFFS = (5, 10, 15)
_DOCUMENTS_AT_ONCE, _CHARACTERS_AT_ONCE = 64, 200_000
_SENTENCES_KEPT = 10_000  # more than those documents have

Mode = tuple[Redistribution, Weighting]


def all_heads(model: str) -> tuple[str, ...]:
    """Names of all heads of a model, layer by layer."""
    from transformers import AutoConfig

    from kpray.pretrained import load_pretrained

    architecture = load_pretrained(AutoConfig, model)
    layers, heads = architecture.num_hidden_layers, architecture.num_attention_heads
    return tuple(head_name(layer, head) for layer in range(layers) for head in range(heads))


@dataclass(frozen=True, slots=True)
class Scoring:
    """A way to score phrases, which one pass gives beside others: the fields of `SAMRankConfig` of these names."""

    candidates: CandidateRule
    score: Literal["both", "global", "proportional"]
    redistribution: Redistribution
    weighting: Weighting

    @classmethod
    def of(cls, config: SAMRankConfig) -> Scoring:
        """The one that is configured."""
        return cls(config.candidates, config.score, config.redistribution, config.weighting)


@dataclass(frozen=True, slots=True)
class ScoredDocument:
    """The candidates of a document with gold keyphrases, scored by every head.

    Attributes:
        parts: float64 [1 + modes, heads, phrases], Eq. 8 of the global scores, and of the proportional ones by mode.
        groups: int64 [phrases], equal for equal stems, counted from 0 in order of appearance.
        correct: bool [groups], whether its stems are gold.
        gold: number of gold phrases.
    """

    parts: np.ndarray
    groups: np.ndarray
    correct: np.ndarray
    gold: int

    def scores(self, scoring: Scoring, modes: Sequence[Mode]) -> np.ndarray:
        """float64 [heads, phrases] of one way to score; `modes` are those of `parts`."""
        global_: np.ndarray = self.parts[0]
        if scoring.score == "global":
            return global_
        proportional: np.ndarray = self.parts[1 + list(modes).index((scoring.redistribution, scoring.weighting))]
        return proportional if scoring.score == "proportional" else global_ + proportional

    def f1(self, scores: np.ndarray, merge: bool) -> np.ndarray:
        """F1 at each cutoff, in [0, 1], under the protocol `samrank`.

        Args:
            scores: float64 [rankings, phrases].
            merge: as `group_scores`.

        Returns:
            float64 [rankings, cutoffs].
        """
        if not len(self.groups):
            return np.zeros((len(scores), len(CUTOFFS)))
        by_group = group_scores(scores, self.groups, merge)
        correct = self.correct[np.argsort(-by_group, axis=1, kind="stable")]
        hits = np.cumsum(correct, axis=1)
        predicted = np.minimum(CUTOFFS, hits.shape[1])
        # F1 = 2 P R / (P + R) with P = hits / predicted and R = hits / |gold|
        f1: np.ndarray = 2 * hits[:, predicted - 1] / (predicted + self.gold)
        return f1


def score_documents(
    predictor: SAMRank, records: Iterable[Record], rules: Sequence[CandidateRule], modes: Sequence[Mode]
) -> Iterator[dict[CandidateRule, ScoredDocument]]:
    """Score the documents that have gold, with any number of modes and candidate rules in one pass of the model.

    Args:
        predictor: built with the heads that are scored.
        records: documents with gold keyphrases; those without are skipped. A document that is rejected has no
            candidates, which counts as an empty prediction, as in `evaluate`.
        rules: of candidates, at least one.
        modes: see `head_scores`.
    """
    preparers = _preparers(predictor, rules)
    heads = len(predictor.config.heads)
    for batch in _batches(records):
        labelled = [(record, gold) for record in batch if (gold := gold_phrases(record, PROTOCOLS["samrank"]))]
        prepared = [_prepare(preparers, record) for record, _ in labelled]
        # The tokens are the same with every rule; a document without candidates has none.
        segments = [next((own.segments for own in document.values() if own.segments), []) for document in prepared]
        scores = iter(predictor.score_segments([segment for own in segments for segment in own], modes))
        for (_, gold), document, own in zip(labelled, prepared, segments, strict=True):
            found = [next(scores) for _ in own]
            tokens = _tokens(found) if found else np.zeros((1 + len(modes), heads, 0))
            yield {rule: _score(predictor, document.get(rule), tokens, set(gold)) for rule in rules}


def f1_of_heads(config: SAMRankConfig, records: Iterable[Record]) -> np.ndarray:
    """Mean F1@5, F1@10 and F1@15, each head by itself, under the protocol `samrank`.

    Words, tags, stems, tokens and the forward pass of a document serve all heads.

    Args:
        config: its `heads` are ignored.
        records: documents with gold keyphrases; those without are skipped.

    Returns:
        float64 [layers, heads, 3], in percent.

    Raises:
        UserError: no record has gold keyphrases.
    """
    return f1_by_head(SAMRank(config.model_copy(update={"heads": all_heads(config.model)})), records)


def f1_by_head(predictor: SAMRank, records: Iterable[Record]) -> np.ndarray:
    """`f1_of_heads` with a predictor that was built with all heads of its model."""
    scoring, merge = Scoring.of(predictor.config), predictor.config.merge_stems
    modes = [(scoring.redistribution, scoring.weighting)]
    records = [record for record in records if record.keyphrases]
    documents = []
    with Progress("scoring attention heads", total=len(records), first="the first documents") as progress:
        for document in score_documents(predictor, records, [scoring.candidates], modes):
            scored = document[scoring.candidates]
            documents.append(scored.f1(scored.scores(scoring, modes), merge))
            progress.advance(1, 1, new=True)
    if not documents:
        raise UserError("no record has gold keyphrases", fix="score heads on data with a field `keyphrases`")
    means: np.ndarray = 100 * np.mean(documents, axis=0)
    return means.reshape(predictor.model.config.num_hidden_layers, -1, len(CUTOFFS))


def draw_f1_of_heads(
    config: SAMRankConfig, data: Mapping[str, Sequence[Record]], path: Path
) -> dict[str, list[dict[str, str | int | float | None]]]:
    """Draw F1@15 of all heads on every data set, and give all their scores.

    Args:
        config: as `f1_of_heads`.
        data: name of the data set -> its records.
        path: PNG file to write.

    Returns:
        Name of the data set -> `head_rows`.

    Raises:
        OSError: the file cannot be written.
        UserError: as `f1_of_heads`.
    """
    scores = {name: f1_of_heads(config, records) for name, records in data.items()}
    draw_heads({name: of_heads[:, :, -1] for name, of_heads in scores.items()}, path, f"F1@{CUTOFFS[-1]}")
    return {name: head_rows(of_heads) for name, of_heads in scores.items()}


def head_rows(scores: np.ndarray) -> list[dict[str, str | int | float | None]]:
    """The result of `f1_of_heads` as rows of a table, the best head at the last cutoff first."""
    rows: list[dict[str, str | int | float | None]] = [
        {"head": head_name(layer, head)}
        | {f"F1@{cutoff}": float(f1) for cutoff, f1 in zip(CUTOFFS, scores[layer, head], strict=True)}
        for layer, head in np.ndindex(scores.shape[:2])
    ]
    best_first = np.argsort(-scores[:, :, -1], axis=None, kind="stable")
    return [rows[place] for place in best_first]


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Records to score together: the scores of all heads in all modes take much memory in long documents."""
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
    """The predictor with each rule; all share its model, and a sentence is tagged once."""
    preparers = {}
    tagger = predictor.tagger
    if len(rules) > 1:
        tag_sentence = tagger.tag_sentence
        tag = lru_cache(_SENTENCES_KEPT)(lambda words: tag_sentence(list(words)))
        tagger = Tagger(tagger.name, lambda sentence: tag(tuple(sentence)))
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
    """float64 [1 + modes, heads, tokens of the document]: the global scores, and the proportional ones."""
    parts = [np.concatenate([own.global_[None], own.proportional]) for own in segments]
    return np.concatenate(parts, axis=2, dtype=np.float64)


def _score(predictor: SAMRank, document: PreparedDocument | None, tokens: np.ndarray, gold: set[str]) -> ScoredDocument:
    rows = tokens.shape[:2]
    if document is None or not document.phrases:
        nothing = np.zeros(0, dtype=np.int64)
        return ScoredDocument(np.zeros((*rows, 0)), nothing, nothing.astype(bool), len(gold))
    parts = predictor.phrase_scores(tokens.reshape(-1, tokens.shape[2]), document.occurrences)
    correct = np.array([stem in gold for stem in document.stems])
    return ScoredDocument(parts.reshape(*rows, -1), document.groups, correct, len(gold))
