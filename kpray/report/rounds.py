"""What the rounds of RGIT gave, as the tables of its paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kpray.report.tables import Cell, markdown_tables


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round.

    Attributes:
        number: counted from 1.
        recall: of its retriever on the validation documents, by k, in percent.
        pairs: pseudo pairs that it mined.
        accuracy: share of them that are right, in percent; None where nobody says.
    """

    number: int
    recall: Mapping[int, float]
    pairs: int
    accuracy: float | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def round_rows(report: Mapping[str, Any]) -> list[dict[str, Cell]]:
    """Table 5 with the recall@k of each round: a row for each."""
    return [
        {
            "round": row["number"],
            **{f"@{k}": value for k, value in row["recall"].items()},
            "pseudo pairs": row["pairs"],
            "right, %": row["accuracy"],
        }
        for row in report["rounds"]
    ]


def recall_rows(report: Mapping[str, Any]) -> list[dict[str, Cell]]:
    """Table 4, recall@k: a row for each system that retrieves."""
    return [
        {"system": report["systems"][system]["name"], **{f"@{k}": value for k, value in recall.items()}}
        for system, recall in report["recall"].items()
    ]


def score_rows(report: Mapping[str, Any]) -> list[dict[str, Cell]]:
    """Tables 2 and 3: P, R and F1 of each language and on average, and the interval of the average F1."""
    rows: list[dict[str, Cell]] = []
    for system in report["systems"].values():
        row: dict[str, Cell] = {"system": system["name"]}
        languages = [name for name in system["scores"] if name != "average"]
        for lang in (*languages, "average") if len(languages) > 1 else ("average",):
            for metric, short in (("precision@M", "P"), ("recall@M", "R"), ("f1@M", "F1")):
                row[f"{lang} {short}"] = system["scores"][lang][metric][0]
        _, low, high = system["scores"]["average"]["f1@M"]
        row["95% interval of F1"] = f"{low:.2f} to {high:.2f}"
        rows.append(row)
    return rows


def run_rows(reports: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Cell]]:
    """Tables 6 and 7 and Fig. 3 from several runs: what differs (retrieval target, tau, seed pairs) beside the outcome.

    Args:
        reports: name of a run -> its report.
    """
    rows: list[dict[str, Cell]] = []
    for name, report in reports.items():
        row: dict[str, Cell] = {
            "run": name,
            "target": report["target"],
            "tau": report["rgit"]["tau"],
            "mining": report["rgit"]["mining"],
            "parallel": report["parallel"],
            "pseudo pairs": report["rounds"][-1]["pairs"] if report["rounds"] else None,
        }
        for system, values in report["systems"].items():
            recall = report["recall"].get(system)
            if recall:
                row[f"{values['name']} recall@1"] = {int(k): value for k, value in recall.items()}[1]
            row[f"{values['name']} F1"] = values["scores"]["average"]["f1@M"][0]
        rows.append(row)
    return rows


def rounds_report(report: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """A Markdown page of all of them.

    Args:
        report: of `run_rgit`.
        others: runs to compare, by name.
    """
    return markdown_tables(
        {
            "Rounds (recall@k on the validation documents, in percent; Table 5)": round_rows(report),
            "Retrieval (recall@k on the validation documents, in percent; Table 4)": recall_rows(report),
            "Keyphrases (protocol ramkg, in percent; Tables 2 and 3)": score_rows(report),
            "Runs (Tables 6 and 7, Fig. 3)": run_rows(others or {}),
        }
    )
