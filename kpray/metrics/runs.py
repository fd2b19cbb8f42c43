"""Reports of several systems on several datasets, in one file and in tables as in the papers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kpray.errors import UserError
from kpray.metrics.results import Report, Row, Score, compare
from kpray.report.bow_error import draw_bow_error
from kpray.report.page import Section
from kpray.report.tables import with_interval
from kpray.report.training_curves import draw_training_curves, read_curve

SIDE_TITLES = {
    "present": "present keyphrases, F1 in percent",
    "absent": "absent keyphrases, F1 in percent",
    "total": "present and absent keyphrases together, F1 in percent",
    "all": "keyphrases, F1 in percent",
}


@dataclass(frozen=True, slots=True)
class Run:
    """The evaluation of one system on one dataset.

    Attributes:
        system: name of the system in tables.
        data: name of the dataset.
        report: the scores.
        made_by: what the predictions depend on (`Predictor.describe`).
        predictor: the argument of `open_predictor` that gives the system; empty if unknown.
        top: maximum number of keyphrases that was requested for each document; None if unknown.
        full: number of scored documents with `top` keyphrases, whose lists may have been cut off.
    """

    system: str
    data: str
    report: Report
    made_by: Mapping[str, Any]
    predictor: str = ""
    top: int | None = None
    full: int = 0

    def to_json(self, extra: Mapping[str, Any]) -> str:
        """One JSON object on one line, with the fields of the report, the other attributes and `extra`."""
        fields = {name: getattr(self, name) for name in ("system", "data", "made_by", "predictor", "top", "full")}
        return json.dumps({**fields, **json.loads(self.report.to_json()), **extra}, ensure_ascii=False)


def read_runs(path: Path) -> list[Run]:
    """Read a file with one object of `Run.to_json` per line.

    Raises:
        UserError: the file cannot be read, or a line is not a report.
    """
    try:
        lines = path.read_text("utf-8").strip().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        fix = "give an --output of jobs/evaluate.py"
        raise UserError(f"the file cannot be read: {error}", where=str(path), fix=fix) from error
    runs = []
    for line in lines:
        report, fields = Report.from_json(line, str(path)), json.loads(line)
        runs.append(Run(fields.get("system", ""), fields.get("data", ""), report, fields.get("made_by", {})))
    return runs


def console_tables(runs: Sequence[Run]) -> dict[str, list[Row]]:
    """Title -> table rows: for one run all tables of its report; for several, `paper_tables` and `document_rows`.

    Args:
        runs: at least one, all under one protocol.
    """
    report = runs[0].report
    if len(runs) > 1:
        return {**paper_tables(runs, intervals=True), "documents": document_rows(runs)}
    return {
        f"protocol {report.protocol.name}": report.score_rows(),
        "documents": report.document_rows(),
        "quantities": report.quantity_rows(),
        "languages": report.language_rows() if len(report.languages) > 1 else [],
    }


def paper_tables(runs: Sequence[Run], *, intervals: bool = False) -> dict[str, list[Row]]:
    """Title -> table rows, one row for each system, with a column for each dataset and metric.

    Under `meng` these are the tables of UniKeyphrase: Table 1 (present F1@5 and F1@M), Table 2 (absent), Table 5 (both
    together) and Table 3 (numbers of unique keyphrases, with those of the gold in the first row). Table 4 has the
    scores of Tables 1 and 2 on one dataset. If fewer than k keyphrases are predicted, the precision in F1@k divides by
    their number.

    Args:
        runs: at least one, all under one protocol.
        intervals: cells are strings of two lines, the mean and its 95% interval, instead of numbers.
    """
    protocol = runs[0].report.protocol
    cutoffs = [cutoff for cutoff in protocol.cutoffs if cutoff != "O"]
    tables = {}
    for side in protocol.sides:
        prefix = "" if side == "all" else f"{side}_"
        tables[SIDE_TITLES[side]] = _rows(runs, {f"F1@{k}": f"{prefix}f1@{k}" for k in cutoffs}, intervals)
    if protocol.split != "none":
        gold: Row = {"system": "gold"}
        for run in runs:
            gold |= {f"{run.data} {name}": run.report.scores[f"{name}_gold"].mean for name in ("#PK", "#AK")}
        predicted = _rows(runs, {"#PK": "#PK", "#AK": "#AK"}, intervals)
        tables["unique present (#PK) and absent (#AK) keyphrases of a document"] = [gold, *predicted]
    return tables


def _rows(runs: Sequence[Run], metrics: Mapping[str, str], intervals: bool) -> list[Row]:
    """One row for each system; `metrics`: column label -> metric."""
    rows: dict[str, Row] = {}
    for run in runs:
        row = rows.setdefault(run.system, {"system": run.system})
        for label, metric in metrics.items():
            score = run.report.scores[metric]
            row[f"{run.data} {label}"] = _cell(score) if intervals else score.mean
    return list(rows.values())


def _cell(score: Score) -> str | None:
    if score.mean is None or score.low is None or score.high is None:
        return None
    return with_interval(score.mean, score.low, score.high)


def document_rows(runs: Sequence[Run]) -> list[Row]:
    """One row for each run: numbers of documents that were scored, skipped, without a prediction or unknown."""
    return [
        {
            "system": run.system,
            "data": run.data,
            "records": run.report.records,
            "scored": len(run.report.keys),
            "without gold: skipped": len(run.report.without_gold),
            "without a prediction: empty": len(run.report.missing),
            "not among the records: ignored": len(run.report.unknown),
        }
        for run in runs
    ]


def comparison_tables(runs: Sequence[Run], others: Sequence[Run], where: str, seed: int) -> dict[str, list[Row]]:
    """Title -> table rows: paired tests of each run against an earlier run on the same dataset.

    Args:
        runs: runs of one evaluation.
        others: runs of an earlier evaluation. Each run is compared with the run of the same dataset and system, or else
            with the only run on the dataset. A single other run is compared with all runs, regardless of its names.
        where: file of the other runs.
        seed: random seed of the bootstrap.

    Raises:
        UserError: there is not exactly one other run for a run, or the two reports cannot be compared.
    """
    tables: dict[str, list[Row]] = {}
    for run in runs if others else ():
        fitting = [other for other in others if other.data == run.data] if len(others) > 1 else others
        fitting = [other for other in fitting if other.system == run.system] or fitting
        if len(fitting) != 1:
            raise UserError(
                f"one report on {run.data} is needed to compare {run.system} with, but there are {len(fitting)}",
                where=where,
                fix="give a file with the reports of one system on the same datasets",
            )
        tests = compare(run.report, fitting[0].report, seed)
        title = f"{run.system} on {run.data} minus {fitting[0].system or 'that'} of {where}"
        tables[title] = [{"metric": name, **asdict(test)} for name, test in tests.items()]
    return tables


def notes(runs: Sequence[Run]) -> list[str]:
    """Notes on the scores: what the predictions were made with, and which lists may be too short for scores @M."""
    made_by = {run.system: json.dumps(run.made_by, ensure_ascii=False) for run in runs}
    lines = [f"{system}: predictions by {description}" for system, description in made_by.items()]
    for run in runs:
        if run.full and "M" in run.report.protocol.cutoffs:
            lines.append(
                f"{run.system} on {run.data}: {run.full:,} documents have {run.top} keyphrases, the requested maximum; "
                "further keyphrases of the predictor are missing from the scores @M, #PK and #AK"
            )
    return lines


def report_title(runs: Sequence[Run]) -> str:
    """Title of the page."""
    return f"Keyphrases under the protocol {runs[0].report.protocol.name}"


def report_sections(
    runs: Sequence[Run], images: Mapping[str, str] | None = None, more: Sequence[Section] = ()
) -> list[Section]:
    """Sections of a page: the protocol, `paper_tables`, the documents, other sections, the figures and the notes.

    Args:
        runs: at least one, all under one protocol.
        images: as in `Section`.
        more: the other sections.
    """
    protocol = runs[0].report.protocol
    tables = {**paper_tables(runs), "documents": document_rows(runs)}
    return [
        Section("Protocol", protocol.description),
        *(Section(title, rows=rows) for title, rows in tables.items() if rows),
        *more,
        *([Section("Figures", images=images)] if images else []),
        Section("Notes", "\n".join(notes(runs))),
    ]


def draw_figures(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Draw the figures of UniKeyphrase for which there is data.

    `bag_of_words_error.svg` is Fig. 5; the protocol must have the metric `bag_of_words_distance`. `training_loss.svg`
    is Fig. 4, for predictors in the folder of their training, which has a file `metrics.jsonl`.

    Args:
        runs: the runs to draw.
        folder: created if needed.

    Returns:
        The written files.

    Raises:
        OSError: a file cannot be written.
        UserError: a `metrics.jsonl` is invalid.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    distances = bag_of_words_distances(runs)
    if distances:
        drawn.append(folder / "bag_of_words_error.svg")
        draw_bow_error(distances, drawn[-1])
    logs = {run.system: Path(run.predictor).with_name("metrics.jsonl") for run in runs if "/" in run.predictor}
    curves = {system: read_curve(log) for system, log in logs.items() if log.exists()}
    curves = {system: curve for system, curve in curves.items() if len(curve.steps)}
    if curves:
        drawn.append(folder / "training_loss.svg")
        draw_training_curves(curves, drawn[-1])
    return drawn


def bag_of_words_distances(runs: Sequence[Run]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """System -> dataset -> (mean, low, high) of the bag-of-words distance (UniKeyphrase, Fig. 5); may be empty."""
    distances: dict[str, dict[str, tuple[float, float, float]]] = {}
    for run in runs:
        score = run.report.scores.get("bag_of_words_distance")
        if score and score.mean is not None and score.low is not None and score.high is not None:
            distances.setdefault(run.system, {})[run.data] = (score.mean, score.low, score.high)
    return distances
