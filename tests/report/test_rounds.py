"""The tables of RGIT's paper from a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kpray.report.page import Section
from kpray.report.rounds import RoundRow, draw_seed_pairs, recall_rows, round_rows, rounds_report, run_rows, score_rows


def score(f1: float) -> dict[str, list[float]]:
    return {name: [f1, f1 - 1, f1 + 1] for name in ("precision@M", "recall@M", "f1@M")}


REPORT: dict[str, Any] = {
    "rounds": [
        RoundRow(1, {1: 50.0, 5: 75.0}, 10, 80.0, 4, 25.0).to_json(),
        RoundRow(2, {1: 60.0, 5: 80.0}, 12, None, 0, None).to_json(),
    ],
    "recall": {"ramkg": {"1": 50.0, "2": 55.0, "5": 57.0, "10": 58.0}, "rgit": {"1": 60.0, "2": 65.0, "5": 67.0}},
    "systems": {
        "generator": {"name": "generator without retrieval", "scores": {"average": score(20.0), "de": score(20.0)}},
        "ramkg": {"name": "RAMKG", "scores": {"average": score(25.0), "de": score(24.0), "fr": score(26.0)}},
        "rgit": {"name": "RAMKG + RGIT", "scores": {"average": score(30.0), "de": score(30.0)}},
    },
    "case": None,
    "rgit": {"tau": 5.0, "mining": "gain"},
    "target": "P2P",
    "parallel": 300,
}


def test_rounds() -> None:
    first, second = round_rows(REPORT)
    assert first == {
        "round": 1,
        "@1": 50.0,
        "@5": 75.0,
        "pseudo pairs": 10,
        "correct, %": 80.0,
        "validation pairs": 4,
        "correct of these, %": 25.0,
    }
    assert second["correct, %"] is None


def test_retrieval() -> None:
    assert recall_rows(REPORT) == [
        {"system": "RAMKG", "@1": 50.0, "@2": 55.0, "@5": 57.0, "@10": 58.0},
        {"system": "RAMKG + RGIT", "@1": 60.0, "@2": 65.0, "@5": 67.0},
    ]


def test_languages_stand_beside_the_average() -> None:
    generator, ramkg, _ = score_rows(REPORT)
    assert [name for name in generator if name.endswith("F1")] == ["average F1", "95% interval of F1"]
    assert (ramkg["de F1"], ramkg["fr F1"], ramkg["average F1"]) == (24.0, 26.0, 25.0)
    assert generator["95% interval of F1"] == "19.00 to 21.00"


def test_runs_side_by_side() -> None:
    generator, ramkg, rgit = run_rows({"tau 5": REPORT})
    assert ramkg == {
        "run": "tau 5",
        "target": "P2P",
        "tau": 5.0,
        "mining": "gain",
        "parallel": 300,
        "pseudo pairs": 12,
        "system": "RAMKG",
        "@1": 50.0,
        "@2": 55.0,
        "@5": 57.0,
        "P": 25.0,
        "R": 25.0,
        "F1": 25.0,
    }
    assert (rgit["system"], rgit["@1"], rgit["@2"], rgit["@5"], rgit["F1"]) == ("RAMKG + RGIT", 60.0, 65.0, 67.0, 30.0)
    assert (generator["system"], generator["@1"], generator["F1"]) == ("generator without retrieval", None, 20.0)
    without = {**REPORT, "rounds": []}
    assert run_rows({"RAMKG alone": without})[0]["pseudo pairs"] is None


def test_page() -> None:
    sections = rounds_report(REPORT, {"tau 5": REPORT})
    assert [section.title for section in sections] == [
        "Rounds (Table 5: recall@k on the validation pairs, in percent)",
        "Retrieval (Table 4: recall@k on the validation pairs, in percent)",
        "Keyphrases (Tables 2 and 3: protocol ramkg, in percent)",
        "Runs (Tables 6 and 7, Fig. 3)",
    ]
    assert [section.rows for section in sections] == [
        round_rows(REPORT),
        recall_rows(REPORT),
        score_rows(REPORT),
        run_rows({"tau 5": REPORT}),
    ]
    assert len(rounds_report(REPORT)) == 3  # without other runs


def test_case_study_is_the_last_section() -> None:
    rows = [
        {"system": "gold", "present": "baer", "absent": "grau"},
        {"system": "RAMKG", "present": "baer ✓", "absent": "", "retrieved English keyphrases": "bear; jimmy"},
    ]
    case = {"id": "de-7", "about": "The first one.", "text": "Der Bär.", "rows": rows}
    *others, section = rounds_report({**REPORT, "case": case})
    assert len(others) == 3
    assert section == Section("Case study (Fig. 4): de-7", "The first one.\nDer Bär.", rows)


def test_figure_of_the_number_of_parallel_pairs(tmp_path: Path) -> None:
    """Fig. 3: a point for each number of pairs, with the mean over runs that have the same one."""
    other_tau = {**REPORT, "parallel": 900, "rgit": {"tau": 9.0, "mining": "gain"}}
    runs = {"300": REPORT, "300 again": REPORT, "600": {**REPORT, "parallel": 600}, "other tau": other_tau}
    images = draw_seed_pairs(runs, tmp_path)
    assert list(images) == ["figures/parallel_pairs_recall.svg", "figures/parallel_pairs_f1.svg"]
    recall, f1 = ((tmp_path / name).read_text("utf-8") for name in images)
    assert ("RAMKG + RGIT" in recall, "generator without retrieval" in recall) == (True, False)
    assert "generator without retrieval" in f1
    assert "900" not in recall
    assert rounds_report(REPORT, runs, images)[-1].images == images
    assert draw_seed_pairs({"300": REPORT, "again": REPORT}, tmp_path) == {}
    assert draw_seed_pairs({}, tmp_path) == {}
