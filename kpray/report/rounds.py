"""Results of RGIT as the tables of its paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kpray.report.page import Section
from kpray.report.tables import Cell

_METRICS = {"P": "precision", "R": "recall", "F1": "f1"}


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round.

    Attributes:
        number: number of the round, counted from 1.
        recall: k -> recall@k of the round's retriever on the validation pairs, in percent.
        pairs: number of mined pseudo pairs.
        accuracy: share of correct pseudo pairs, in percent; None if the correct pairs are unknown.
        valid_pairs: number of validation pairs that the round would have mined.
        valid_accuracy: share of them that are correct, in percent; None if there are none.
    """

    number: int
    recall: Mapping[int, float]
    pairs: int
    accuracy: float | None
    valid_pairs: int
    valid_accuracy: float | None

    def to_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        return asdict(self)


def round_rows(report: Mapping[str, Any]) -> list[dict[str, Cell]]:
    """Table 5 with the recall@k: a row for each round."""
    return [
        {
            "round": row["number"],
            **{f"@{k}": value for k, value in row["recall"].items()},
            "pseudo pairs": row["pairs"],
            "correct, %": row["accuracy"],
            "validation pairs": row["valid_pairs"],
            "correct of these, %": row["valid_accuracy"],
        }
        for row in report["rounds"]
    ]


def recall_rows(report: Mapping[str, Any]) -> list[dict[str, Cell]]:
    """Table 4, recall@k: a row for each system with a retriever."""
    return [
        {"system": report["systems"][system]["name"], **{f"@{k}": value for k, value in recall.items()}}
        for system, recall in report["recall"].items()
    ]


def score_rows(report: Mapping[str, Any]) -> list[dict[str, Cell]]:
    """Tables 2 and 3: P, R and F1 for each language and their average, and the interval of the average F1."""
    rows: list[dict[str, Cell]] = []
    for system in report["systems"].values():
        row: dict[str, Cell] = {"system": system["name"]}
        languages = [name for name in system["scores"] if name != "average"]
        for lang in (*languages, "average") if len(languages) > 1 else ("average",):
            for short, metric in _METRICS.items():
                row[f"{lang} {short}"] = system["scores"][lang][f"{metric}@M"][0]
        _, low, high = system["scores"]["average"]["f1@M"]
        row["95% interval of F1"] = f"{low:.2f} to {high:.2f}"
        rows.append(row)
    return rows


def run_rows(reports: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Cell]]:
    """Tables 6 and 7 and Fig. 3: a row for each system of each run, with the settings that the runs may differ in.

    Args:
        reports: name of a run -> report.
    """
    rows: list[dict[str, Cell]] = []
    for name, report in reports.items():
        for system, values in report["systems"].items():
            recall = {int(k): value for k, value in report["recall"].get(system, {}).items()}
            scores = values["scores"]["average"]
            rows.append(
                {
                    "run": name,
                    "target": report["target"],
                    "tau": report["rgit"]["tau"],
                    "mining": report["rgit"]["mining"],
                    "parallel": report["parallel"],
                    "pseudo pairs": report["rounds"][-1]["pairs"] if report["rounds"] else None,
                    "system": values["name"],
                    **{f"@{k}": recall.get(k) for k in (1, 2, 5)},
                    **{short: scores[f"{metric}@M"][0] for short, metric in _METRICS.items()},
                }
            )
    return rows


def draw_seed_pairs(reports: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, str]:
    """Draw recall@1 and F1@M of each system over the number of parallel pairs (Fig. 3), if the runs differ in it.

    Runs with another target, tau or mining than the first one are left out.

    Args:
        reports: name of a run -> report.
        folder: output folder of the figures, in a subfolder `figures`.

    Returns:
        Path of each figure, relative to the folder -> its description; empty if there is nothing to draw.
    """
    names = ("target", "tau", "mining")
    rows = run_rows(reports)
    rows = [row for row in rows if all(row[name] == rows[0][name] for name in names)]
    if len({row["parallel"] for row in rows}) < 2:
        return {}
    from kpray.report.sweep_figures import Point, draw_curves

    images: dict[str, str] = {}
    for column, name, label in (("@1", "recall", "recall@1"), ("F1", "f1", "F1@M")):
        values: dict[str, dict[int, list[float]]] = {}
        for row in rows:
            if (value := row[column]) is not None:
                of_system = values.setdefault(str(row["system"]), {})
                of_system.setdefault(int(row["parallel"] or 0), []).append(float(value))
        curves = {
            system: [Point(x, found, sum(found) / len(found), None, None) for x, found in sorted(of_system.items())]
            for system, of_system in values.items()
        }
        if curves:
            file, title = f"figures/parallel_pairs_{name}.svg", f"{label} over the number of parallel pairs"
            (folder / "figures").mkdir(exist_ok=True)
            draw_curves(curves, folder / file, title, "parallel pairs", label)
            images[file] = title
    return images


def rounds_report(
    report: Mapping[str, Any],
    others: Mapping[str, Mapping[str, Any]] | None = None,
    images: Mapping[str, str] | None = None,
) -> list[Section]:
    """All these tables as sections of a page.

    Args:
        report: result of `run_rgit`.
        others: name of a run -> its report, to compare with.
        images: result of `draw_seed_pairs`.
    """
    case = report["case"]
    tables = {
        "Rounds (Table 5: recall@k on the validation pairs, in percent)": round_rows(report),
        "Retrieval (Table 4: recall@k on the validation pairs, in percent)": recall_rows(report),
        "Keyphrases (Tables 2 and 3: protocol ramkg, in percent)": score_rows(report),
        "Runs (Tables 6 and 7, Fig. 3)": run_rows(others or {}),
    }
    sections = [Section(title, rows=rows) for title, rows in tables.items() if rows]
    if images:
        sections.append(Section("Number of parallel pairs (Fig. 3)", images=images))
    if case:
        sections.append(Section(f"Case study (Fig. 4): {case['id']}", f"{case['about']}\n{case['text']}", case["rows"]))
    return sections
