"""The `Report` of an evaluation, its table rows, and the comparison of two reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kpray.errors import UserError
from kpray.metrics.bootstrap import bootstrap_interval, paired_bootstrap
from kpray.metrics.f1 import Cutoff
from kpray.metrics.protocols import Protocol

DocumentKey = tuple[str, str]  # (lang, id): ids repeat across languages
Row = dict[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class Score:
    """One metric over a set of documents.

    Attributes:
        mean: mean over the counted documents; None if there are none.
        low: lower bound of the 95% bootstrap interval of the mean; None if there are no counted documents.
        high: upper bound of the interval; None if there are no counted documents.
        documents: number of counted documents.
        unit: unit of mean, low and high: `percent`, or `count` for numbers of phrases or words.
    """

    mean: float | None
    low: float | None
    high: float | None
    documents: int
    unit: Literal["percent", "count"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of runs a and b in one metric, over the documents that count in both.

    Attributes:
        difference: mean of a minus mean of b, in the metric's unit (percentage points for `percent`).
        low: lower bound of the 95% bootstrap interval of the difference.
        high: upper bound of the interval.
        p_value: two-sided p-value of the paired bootstrap test.
        documents: number of documents that count in both runs.
    """

    difference: float
    low: float
    high: float
    p_value: float
    documents: int


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of one run on one dataset under one protocol.

    Attributes:
        protocol: the protocol, with all its fields.
        seed: random seed of the bootstrap.
        scores: metric -> score over all scored documents, with `micro_f1` if it was requested. Under `ramkg` the mean
            is the document-weighted average over the languages, which the papers report.
        languages: language -> metric -> score over the documents of that language.
        keys: (lang, id) of the scored documents, in the order of the records.
        documents: metric -> value for each of `keys`, in the metric's unit; None if the document does not count.
        records: number of records.
        without_gold: (lang, id) of records without gold, which were skipped.
        missing: (lang, id) of scored documents without a prediction, which count as an empty prediction.
        unknown: (lang, id) of predictions whose document is not among the records.
    """

    protocol: Protocol
    seed: int
    scores: dict[str, Score]
    languages: dict[str, dict[str, Score]]
    keys: tuple[DocumentKey, ...]
    documents: dict[str, list[float | None]]
    records: int
    without_gold: tuple[DocumentKey, ...]
    missing: tuple[DocumentKey, ...]
    unknown: tuple[DocumentKey, ...]

    def to_json(self) -> str:
        """The whole report, per-document values included, as one JSON object; `from_json` reads it back."""
        from pydantic import TypeAdapter

        return TypeAdapter(Report).dump_json(self).decode()

    @staticmethod
    def from_json(text: str, source: str = "report") -> Report:
        """Read what `to_json` wrote.

        Args:
            text: the JSON object.
            source: name of the text in errors.

        Raises:
            UserError: the text is not a report.
        """
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(Report).validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            what = f"this is not an evaluation report ({field + ': ' if field else ''}{first['msg']})"
            raise UserError(what, where=source, fix="give an --output of jobs/evaluate.py") from error

    def score_rows(self) -> list[Row]:
        """One row for each side and cutoff: precision, recall, F1 with 95% interval, number of counted documents."""
        return [
            {
                "score": label,
                "precision": self.scores[f"{side}precision{at}"].mean,
                "recall": self.scores[f"{side}recall{at}"].mean,
                "F1": self.scores[f"{side}f1{at}"].mean,
                "95% low": self.scores[f"{side}f1{at}"].low,
                "95% high": self.scores[f"{side}f1{at}"].high,
                **({"micro F1": micro.mean} if (micro := self.scores.get(f"{side}micro_f1{at}")) else {}),
                "documents": self.scores[f"{side}f1{at}"].documents,
            }
            for side, at, label in score_names(self.protocol)
        ]

    def quantity_rows(self) -> list[Row]:
        """One row for each metric that is not in percent, with its 95% interval."""
        return [
            {"quantity": name, "mean": of.mean, "95% low": of.low, "95% high": of.high, "documents": of.documents}
            for name, of in self.scores.items()
            if of.unit == "count"
        ]

    def language_rows(self) -> list[Row]:
        """One row with all F1 scores for each language, and a last row over all documents."""
        rows = [(lang, scores, self._documents(lang)) for lang, scores in self.languages.items()]
        return [
            {"language": lang}
            | {f"{label} F1": scores[f"{side}f1{at}"].mean for side, at, label in score_names(self.protocol)}
            | {"documents": documents}
            for lang, scores, documents in [*rows, ("all, by document", self.scores, len(self.keys))]
        ]

    def document_rows(self) -> list[Row]:
        """Numbers of documents that were scored, skipped, without a prediction or unknown, with their first few ids."""
        groups = {
            "scored": self.keys,
            "without gold: skipped": self.without_gold,
            "without a prediction: counted as an empty one": self.missing,
            "prediction for a document not among the records: ignored": self.unknown,
        }
        records: Row = {"documents": "records", "number": self.records, "first": ""}
        return [records] + [
            {"documents": name, "number": len(keys), "first": "" if name == "scored" else _first(keys)}
            for name, keys in groups.items()
        ]

    def _documents(self, lang: str) -> int:
        return sum(key_lang == lang for key_lang, _ in self.keys)


def score_names(protocol: Protocol) -> list[tuple[str, str, str]]:
    """(prefix, suffix, label) of each score of a protocol, such as `("present_", "@5_padded", "present @5 padded")`.

    The name of a metric is the prefix, then `precision`, `recall` or `f1`, then the suffix.
    """
    names = []
    for side in protocol.sides:
        prefix, words = ("", "") if side == "all" else (f"{side}_", f"{side} ")
        for cutoff, padded in cutoffs_with_padding(protocol):
            suffix = f"@{cutoff}_padded" if padded else f"@{cutoff}"
            names.append((prefix, suffix, words + suffix.replace("_", " ")))
    return names


def cutoffs_with_padding(protocol: Protocol) -> list[tuple[Cutoff, bool]]:
    """All pairs of cutoff and padding (True: padded) of a protocol."""
    return [
        (cutoff, padding == "padded")
        for cutoff in protocol.cutoffs
        for padding in (("actual",) if isinstance(cutoff, str) else protocol.padding)
    ]


def summarize(
    documents: Mapping[str, Sequence[float | None]], units: Mapping[str, Literal["percent", "count"]], seed: int
) -> dict[str, Score]:
    """Mean and 95% interval of each metric.

    Args:
        documents: metric -> value per document, None if the document does not count; at least one document.
        units: metric -> unit.
        seed: random seed of the bootstrap.
    """
    values = _as_array(documents)
    counted = ~np.isnan(values)
    # Metrics that count the same documents are resampled together.
    groups: dict[bytes, list[int]] = {}
    for metric in range(len(documents)):
        groups.setdefault(counted[:, metric].tobytes(), []).append(metric)
    names = list(documents)
    scores = {name: Score(None, None, None, 0, units[name]) for name in names}
    for metrics in groups.values():
        block = values[counted[:, metrics[0]]][:, metrics]
        if not len(block):
            continue
        means, (low, high) = block.mean(axis=0), bootstrap_interval(block, seed=seed)
        for column, metric in enumerate(metrics):
            scores[names[metric]] = replace(
                scores[names[metric]],
                mean=float(means[column]),
                low=float(low[column]),
                high=float(high[column]),
                documents=len(block),
            )
    return scores


def compare(a: Report, b: Report, seed: int = 0) -> dict[str, Comparison]:
    """Paired bootstrap test of each metric, run a minus run b, over the documents that count in both.

    Returns:
        Metric -> comparison. Metrics without a common document are left out.

    Raises:
        UserError: the protocols differ, or no document is in both reports.
    """
    if a.protocol != b.protocol:
        raise UserError(
            f"the reports have different protocols, {a.protocol.name} and {b.protocol.name}",
            fix="evaluate both runs under the same protocol with the same version of kpray",
        )
    index_in_b = {key: index for index, key in enumerate(b.keys)}
    pairs = [(index, index_in_b[key]) for index, key in enumerate(a.keys) if key in index_in_b]
    if not pairs:
        raise UserError("the reports have no document in common", fix="compare runs on the same data")
    in_a, in_b = np.array(pairs).T
    names = [name for name in a.documents if name in b.documents]
    values_a = _as_array({name: a.documents[name] for name in names})[in_a]
    values_b = _as_array({name: b.documents[name] for name in names})[in_b]
    counted = ~(np.isnan(values_a) | np.isnan(values_b))
    comparisons = {}
    for metric, name in enumerate(names):
        rows = counted[:, metric]
        if rows.any():
            test = paired_bootstrap(values_a[rows, metric : metric + 1], values_b[rows, metric : metric + 1], seed=seed)
            difference, low, high, p_value = (float(number[0]) for number in test)
            comparisons[name] = Comparison(difference, low, high, p_value, int(rows.sum()))
    return comparisons


def _as_array(documents: Mapping[str, Sequence[float | None]]) -> NDArray[np.float64]:
    """Values as float64 [documents, metrics], NaN for None."""
    return np.array(list(documents.values()), dtype=np.float64).T


def _first(keys: Sequence[DocumentKey], number: int = 3) -> str:
    return ", ".join(f"{lang}/{id_}" for lang, id_ in keys[:number]) + (", ..." if len(keys) > number else "")
