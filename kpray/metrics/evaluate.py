"""Evaluation of predictions against gold keyphrases under a named protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from kpray.document import Keyphrase, Record
from kpray.errors import RejectedDocument, UserError
from kpray.metrics.bag_of_words import bag_of_words_distance, bag_of_words_error
from kpray.metrics.bootstrap import bootstrap_micro_f1
from kpray.metrics.f1 import precision_recall_f1
from kpray.metrics.normalization import unique_phrases
from kpray.metrics.protocols import Protocol, Side, get_protocol
from kpray.metrics.results import DocumentKey, Report, Score, cutoffs_with_padding, summarize
from kpray.text.stems import contains_phrase, stemmed_words

# Metrics that are not in percent: numbers of unique phrases (UniKeyphrase, Table 3) and bag-of-words errors. Only
# protocols that separate present from absent phrases have them.
_QUANTITIES = ("#PK", "#AK", "#PK_gold", "#AK_gold", "bag_of_words_error", "bag_of_words_distance")

Counts: TypeAlias = tuple[int, int, int]
"""Numbers of correct, predicted and gold phrases of a document."""

Predictions: TypeAlias = Mapping[DocumentKey, Sequence[Keyphrase]] | Sequence[Sequence[Keyphrase] | RejectedDocument]


def evaluate(
    records: Sequence[Record],
    predictions: Predictions,
    protocol: Protocol | str,
    seed: int = 0,
    *,
    micro: bool = False,
) -> Report:
    """Evaluate predictions.

    Args:
        records: documents with gold keyphrases. Documents without gold are skipped.
        predictions: the keyphrases of each record, in the order of `records`, as `Predictor.predict(records)` returns
            them; or (lang, id) -> keyphrases in rank order. A record without a prediction counts as an empty
            prediction. The report lists such records, and predictions for documents that are not among the records.
        protocol: name of a protocol (`samrank`, `meng`, `ramkg`), or one from `get_protocol`.
        seed: random seed of the bootstrap.
        micro: also compute `micro_f1@k`, the F1 of the sums over all documents.

    Returns:
        The report. Its metrics are `precision@k`, `recall@k` and `f1@k`. If the protocol separates present and absent
        phrases, these names have a prefix `present_`, `absent_` or `total_`, and there are also `#PK` and `#AK`
        (numbers of unique present and absent predictions), `#PK_gold`, `#AK_gold`, `bag_of_words_error` and
        `bag_of_words_distance`.

    Raises:
        UserError: two records have the same language and id; no record has gold; there are predictions but none belongs
            to a record; a list of predictions has another length than `records`; or there is no such protocol.
    """
    if isinstance(protocol, str):
        protocol = get_protocol(protocol)
    first: dict[DocumentKey, Record] = {}
    for record in records:
        key = (record.document.lang, record.document.id)
        if key in first:
            raise UserError(
                f"the id {key[1]!r} of language {key[0]} was already used in {first[key].source}:{first[key].line}",
                where=f"{record.source}:{record.line}",
                fix="give every record of a language a unique id",
            )
        first[key] = record
    if not isinstance(predictions, Mapping):
        predictions = _by_key(records, predictions)
    _check_ids(first, predictions)

    keys: list[DocumentKey] = []
    without_gold: list[DocumentKey] = []
    documents: dict[str, list[float | None]] = {}
    counts: dict[str, list[tuple[str, Counts]]] = {}
    for key, record in first.items():
        gold = gold_phrases(record, protocol)
        if not gold:
            without_gold.append(key)
            continue
        keys.append(key)
        values, of_document = _score_document(record, gold, predictions.get(key, ()), protocol)
        for metric, value in values.items():
            documents.setdefault(metric, []).append(value)
        for metric, numbers in of_document.items():
            counts.setdefault(metric, []).append((key[0], numbers))
    if not keys:
        raise UserError("no record has gold keyphrases", fix="evaluate on data with a field `keyphrases`")

    units: dict[str, Literal["percent", "count"]] = {
        metric: "count" if metric in _QUANTITIES else "percent" for metric in documents
    }
    languages = {}
    for lang in dict.fromkeys(lang for lang, _ in keys):
        indices = [index for index, key in enumerate(keys) if key[0] == lang]
        of_lang = {metric: [values[index] for index in indices] for metric, values in documents.items()}
        languages[lang] = summarize(of_lang, units, seed) | _micro_scores(counts if micro else {}, seed, lang)
    return Report(
        protocol=protocol,
        seed=seed,
        scores=summarize(documents, units, seed) | _micro_scores(counts if micro else {}, seed),
        languages=languages,
        keys=tuple(keys),
        documents=documents,
        records=len(records),
        without_gold=tuple(without_gold),
        missing=tuple(key for key in keys if key not in predictions),
        unknown=tuple(key for key in predictions if key not in first),
    )


def _by_key(
    records: Sequence[Record], predictions: Sequence[Sequence[Keyphrase] | RejectedDocument]
) -> dict[DocumentKey, Sequence[Keyphrase]]:
    """The predictions of records by their keys; a rejected document has none."""
    if len(records) != len(predictions):
        raise UserError(
            f"there are {len(predictions)} predictions for {len(records)} records", fix="predict every record, in order"
        )
    return {
        (record.document.lang, record.document.id): keyphrases
        for record, keyphrases in zip(records, predictions, strict=True)
        if not isinstance(keyphrases, RejectedDocument)
    }


def _check_ids(records: Mapping[DocumentKey, Record], predictions: Mapping[DocumentKey, Sequence[Keyphrase]]) -> None:
    if predictions and records and not any(key in records for key in predictions):
        (lang, id_), (record_lang, record_id) = next(iter(predictions)), next(iter(records))
        raise UserError(
            f"none of the {len(predictions)} predictions belongs to a record: the first prediction is for id {id_!r} "
            f"of language {lang}, the first record has id {record_id!r} of language {record_lang}",
            fix="evaluate on the data that was predicted",
        )


def gold_phrases(record: Record, protocol: Protocol) -> dict[str, str]:
    """Unique normalized gold phrases, each with the first phrase that it came from."""
    if protocol.gold == "shipped_stems" and record.stemmed is not None:
        stems = [" ".join(stem.lower().split()) for stem in record.stemmed]
        return {stem: stem for stem in stems if stem}
    return unique_phrases(record.keyphrases, record.document.lang, protocol.normalization)


def _micro_scores(counts: Mapping[str, Sequence[tuple[str, Counts]]], seed: int, lang: str = "") -> dict[str, Score]:
    """Metric -> micro F1 over the documents of a language; empty: all languages.

    Args:
        counts: metric -> language and counts of each document that counts for it.
        seed: random seed of the bootstrap.
        lang: the language.
    """
    scores: dict[str, Score] = {}
    for metric, of_metric in counts.items():
        rows = [numbers for its, numbers in of_metric if lang in ("", its)]
        if rows:
            mean, low, high = bootstrap_micro_f1(np.array(rows, dtype=np.float64), seed)
            scores[metric] = Score(100 * mean, 100 * low, 100 * high, len(rows), "percent")
    return scores


def _score_document(
    record: Record, gold: Mapping[str, str], keyphrases: Sequence[Keyphrase], protocol: Protocol
) -> tuple[dict[str, float | None], dict[str, Counts]]:
    """Metric -> value for one document, None if the document does not count for it; and `micro_f1` -> counts."""
    lang = record.document.lang
    predicted = unique_phrases((keyphrase.text for keyphrase in keyphrases), lang, protocol.normalization)
    if protocol.split == "none":
        return _score_side("all", list(predicted), set(gold), protocol)

    words = stemmed_words(record.document.text, lang)
    present_gold, absent_gold = split_by_presence(gold, words, lang)
    present, absent = split_by_presence(predicted, words, lang)
    sides = [
        _score_side("present", present, set(present_gold), protocol),
        _score_side("absent", absent, set(absent_gold), protocol),
        _score_side("total", list(predicted), set(gold), protocol),
    ]
    values: dict[str, float | None] = {
        **{metric: value for of_side, _ in sides for metric, value in of_side.items()},
        "#PK": len(present),
        "#AK": len(absent),
        "#PK_gold": len(present_gold),
        "#AK_gold": len(absent_gold),
        "bag_of_words_error": bag_of_words_error(predicted, gold),
        "bag_of_words_distance": bag_of_words_distance(predicted, gold),
    }
    return values, {metric: counts for _, of_side in sides for metric, counts in of_side.items()}


def split_by_presence(phrases: Mapping[str, str], words: Sequence[str], lang: str) -> tuple[list[str], list[str]]:
    """Normalized phrases that are present in the document, and those that are absent, in the order of `phrases`."""
    present: list[str] = []
    absent: list[str] = []
    for normalized, phrase in phrases.items():
        (present if contains_phrase(words, stemmed_words(phrase, lang)) else absent).append(normalized)
    return present, absent


def _score_side(
    side: Side, predicted: Sequence[str], gold: set[str], protocol: Protocol
) -> tuple[dict[str, float | None], dict[str, Counts]]:
    prefix = "" if side == "all" else f"{side}_"
    counted = bool(gold) or protocol.empty_gold == "zero"
    values: dict[str, float | None] = {}
    counts: dict[str, Counts] = {}
    for cutoff, padded in cutoffs_with_padding(protocol):
        suffix = f"@{cutoff}_padded" if padded else f"@{cutoff}"
        scores = precision_recall_f1(predicted, gold, cutoff, padded=padded)
        for name, score in zip(("precision", "recall", "f1"), scores, strict=True):
            values[f"{prefix}{name}{suffix}"] = 100 * score if counted else None
        if counted:
            k = {"M": len(predicted), "O": len(gold)}[cutoff] if isinstance(cutoff, str) else cutoff
            counts[f"{prefix}micro_f1{suffix}"] = (
                round(scores.recall * len(gold)),
                k if padded else min(k, len(predicted)),
                len(gold),
            )
    return values, counts
