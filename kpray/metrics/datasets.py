"""Sizes of datasets and their keyphrases, and a document with the keyphrases of several systems.

These are Table 2 of SAMRank, Table 6 and Fig. 6 of UniKeyphrase, and Table 1 of RAMKG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, median, pstdev

import regex

from kpray.document import Keyphrase, Record
from kpray.metrics.evaluate import gold_phrases, split_by_presence
from kpray.metrics.normalization import unique_phrases
from kpray.metrics.protocols import Protocol
from kpray.metrics.results import Row
from kpray.text.stems import UNSPACED, stemmed_words
from kpray.text.words import sentence_spans

_TOKEN = regex.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[\w\p{{M}}])+|[^\w\s]")
_SHOWN = 10  # keyphrases of each side in a case study
CASE = "The first document with present and absent gold keyphrases. A tick marks what is in the gold."


def dataset_rows(datasets: Mapping[str, Sequence[Record]]) -> list[Row]:
    """Sizes of datasets: one row each, and one for each language of a dataset that has several.

    Tokens are words and punctuation marks; text without spaces between words is one token a character. A dataset
    without documents has no maxima and means.

    Args:
        datasets: name -> records.
    """
    rows: list[Row] = []
    for name, records in _by_language(datasets).items():
        texts = [record.document.text for record in records]
        tokens = [len(_TOKEN.findall(text)) for text in texts]
        sentences = [len(sentence_spans(text)) for text in texts]
        row: Row = {"data": name, "documents": len(records), "tokens, maximum": max(tokens, default=None)}
        row |= _spread("tokens", tokens)
        row["sentences, maximum"] = max(sentences, default=None)
        row["sentences, mean"] = mean(sentences) if sentences else None
        rows.append(row)
    return rows


def gold_rows(datasets: Mapping[str, Sequence[Record]], protocol: Protocol) -> list[Row]:
    """Gold keyphrases of datasets: their number in a document, their length, and how many are absent from the text.

    The rows are as in `dataset_rows`. The number and the length are those of the gold that the protocol compares with.
    Absence is judged on the keyphrases as written.

    Args:
        datasets: name -> records.
        protocol: decides which keyphrases are equal, and so counted once.
    """
    rows: list[Row] = []
    for name, records in _by_language(datasets).items():
        gold = [gold_phrases(record, protocol) for record in records]
        words = [len(phrase.split()) for phrases in gold for phrase in phrases.values()]
        written = absent = 0
        for record in records:
            lang = record.document.lang
            phrases = unique_phrases(record.keyphrases, lang, protocol.normalization)
            written += len(phrases)
            absent += len(split_by_presence(phrases, stemmed_words(record.document.text, lang), lang)[1])
        row: Row = {"data": name, **_spread("keyphrases", [len(phrases) for phrases in gold])}
        for number, length in enumerate(("one word", "two words", "three words"), 1):
            row[f"{length}, %"] = 100 * words.count(number) / len(words) if words else None
        row["absent, %"] = 100 * absent / written if written else None
        rows.append(row)
    return rows


def _by_language(datasets: Mapping[str, Sequence[Record]]) -> dict[str, Sequence[Record]]:
    """The datasets, and the parts of each dataset that has several languages: `NAME, LANGUAGE`."""
    parts: dict[str, Sequence[Record]] = {}
    for name, records in datasets.items():
        parts[name] = records
        languages = sorted({record.document.lang for record in records})
        for lang in languages if len(languages) > 1 else ():
            parts[f"{name}, {lang}"] = [record for record in records if record.document.lang == lang]
    return parts


def _spread(unit: str, numbers: Sequence[int]) -> Row:
    """Mean, standard deviation and median; no values without numbers."""
    found = (mean(numbers), pstdev(numbers), median(numbers)) if numbers else (None, None, None)
    return {f"{unit}, {name}": value for name, value in zip(("mean", "deviation", "median"), found, strict=True)}


def choose_case(records: Sequence[Record], protocol: Protocol) -> Record | None:
    """The first document that has present and absent gold keyphrases; None without such a document."""
    for record in records:
        words = stemmed_words(record.document.text, record.document.lang)
        if all(split_by_presence(gold_phrases(record, protocol), words, record.document.lang)):
            return record
    return None


def case_rows(record: Record, predictions: Mapping[str, Sequence[Keyphrase]], protocol: Protocol) -> list[Row]:
    """A case study (UniKeyphrase, Fig. 6): the gold keyphrases of a document, and those of each system.

    Args:
        record: the document, such as from `choose_case`.
        predictions: system -> its keyphrases for this document, in rank order. At most ten of each side are shown.
        protocol: decides which keyphrases are equal.

    Returns:
        A row for the gold and for each system, with its present and its absent keyphrases. Those in the gold are marked
        with a tick.
    """
    lang = record.document.lang
    words, gold = stemmed_words(record.document.text, lang), gold_phrases(record, protocol)
    lists = {
        system: unique_phrases((keyphrase.text for keyphrase in keyphrases), lang, protocol.normalization)
        for system, keyphrases in predictions.items()
    }
    rows: list[Row] = []
    for system, phrases in {"gold": gold, **lists}.items():
        row: Row = {"system": system}
        for side, normalized in zip(("present", "absent"), split_by_presence(phrases, words, lang), strict=True):
            shown = [phrases[key] + (" ✓" if key in gold and phrases is not gold else "") for key in normalized]
            row[side] = "; ".join(shown[:_SHOWN]) + (" …" if len(shown) > _SHOWN else "")
        rows.append(row)
    return rows
