"""F1 of every head of a model from one pass over the documents (the paper's Fig. 3 and 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from kpray.document import Record
from kpray.errors import RejectedDocument, UserError
from kpray.metrics.evaluate import gold_phrases
from kpray.metrics.protocols import PROTOCOLS
from kpray.report.heat_map import draw_heads
from kpray.samrank.config import SAMRankConfig, head_name
from kpray.samrank.predictor import PreparedDocument, SAMRank, group_scores

CUTOFFS = (5, 10, 15)
_DOCUMENTS_AT_ONCE = 64


def all_heads(model: str) -> tuple[str, ...]:
    """Names of all heads of a model, layer by layer."""
    from transformers import AutoConfig

    from kpray.pretrained import load_pretrained

    architecture = load_pretrained(AutoConfig, model)
    layers, heads = architecture.num_hidden_layers, architecture.num_attention_heads
    return tuple(head_name(layer, head) for layer in range(layers) for head in range(heads))


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
    waiting = iter(records)
    documents: list[np.ndarray] = []
    while batch := list(islice(waiting, _DOCUMENTS_AT_ONCE)):
        labelled = [(record, gold) for record in batch if (gold := gold_phrases(record, PROTOCOLS["samrank"]))]
        prepared: list[tuple[PreparedDocument, dict[str, str]]] = []
        for record, gold in labelled:
            try:
                prepared.append((predictor.prepare(record.document), gold))
            except RejectedDocument:  # no prediction, which counts as an empty one, as in `evaluate`
                documents.append(np.zeros((len(predictor.config.heads), len(CUTOFFS))))
        scores = iter(predictor.score_segments([segment for document, _ in prepared for segment in document.segments]))
        for document, gold in prepared:
            tokens = [next(scores) for _ in document.segments]
            if tokens:
                by_phrase = predictor.phrase_scores(predictor.token_scores(tokens), document.occurrences)
                documents.append(_f1(by_phrase, document, set(gold), predictor.config.merge_stems))
            else:
                documents.append(np.zeros((len(predictor.config.heads), len(CUTOFFS))))
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


def _f1(scores: np.ndarray, document: PreparedDocument, gold: set[str], merge: bool) -> np.ndarray:
    """F1 at each cutoff, float64 [heads, cutoffs], of the scores [heads, phrases] of one document."""
    by_group = group_scores(scores, document.groups, merge)
    correct = np.array([stem in gold for stem in document.stems])[np.argsort(-by_group, axis=1, kind="stable")]
    hits = np.cumsum(correct, axis=1)
    predicted = np.minimum(CUTOFFS, hits.shape[1])
    # F1 = 2 P R / (P + R) with P = hits / predicted and R = hits / |gold|
    f1: np.ndarray = 2 * hits[:, predicted - 1] / (predicted + len(gold))
    return f1
