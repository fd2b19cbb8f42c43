"""Sizes of datasets, and a document with the keyphrases of several systems (UniKeyphrase, Table 6 and Fig. 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def dataset_rows(datasets: Mapping[str, Sequence[Record]]) -> list[Row]:
    """Sizes of datasets (UniKeyphrase, Table 6): one row each.

    Tokens are words and punctuation marks; text without spaces between words is one token a character. A dataset
    without documents has no maxima and means.

    Args:
        datasets: name -> records.
    """
    rows: list[Row] = []
    for name, records in datasets.items():
        texts = [record.document.text for record in records]
        counts = {
            "tokens": [len(_TOKEN.findall(text)) for text in texts],
            "sentences": [len(sentence_spans(text)) for text in texts],
        }
        row: Row = {"data": name, "documents": len(records)}
        for unit, numbers in counts.items():
            row[f"{unit}, maximum"] = max(numbers, default=None)
            row[f"{unit}, mean"] = sum(numbers) / len(numbers) if numbers else None
        rows.append(row)
    return rows


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
