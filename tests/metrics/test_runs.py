"""Several systems on several datasets: tables as in the papers, files of reports, comparisons, figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kpray.document import Document, Keyphrase, Record
from kpray.errors import UserError
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import PROTOCOLS
from kpray.metrics.runs import (
    Run,
    bag_of_words_distances,
    comparison_tables,
    console_tables,
    document_rows,
    draw_figures,
    notes,
    paper_tables,
    read_runs,
    report_sections,
    report_title,
)
from kpray.report.page import RunDetails, markdown_page

DATA: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "inspec": [("graph networks", ("graph", "physics")), ("heat flow", ("heat", "flow"))],
    "nus": [("tides of the moon", ("tides", "moon", "sea"))],
}


def run(system: str, data: str, *phrases: str, protocol: str = "meng", predictor: str = "", full: int = 0) -> Run:
    """A system that predicts the same phrases for every document."""
    records = [Record(Document(f"{data}{index}", text), gold) for index, (text, gold) in enumerate(DATA[data])]
    predictions = {("en", record.document.id): [Keyphrase(text, 1.0, True) for text in phrases] for record in records}
    report = evaluate(records, predictions, PROTOCOLS[protocol])
    return Run(system, data, report, {"predictor": system}, predictor, 5 if full else None, full)


@pytest.fixture
def runs() -> list[Run]:
    return [
        *(run("broad", name, "heat", "physics", "moon", predictor="/runs/broad/best") for name in DATA),
        *(run("narrow", name, "moon") for name in DATA),
    ]


def test_tables_of_the_paper(runs: list[Run]) -> None:
    present, absent, total, numbers = paper_tables(runs).values()
    assert [list(row) for row in present] == [["system", "inspec F1@5", "inspec F1@M", "nus F1@5", "nus F1@M"]] * 2
    # One of three predictions is correct for "heat flow", which has two gold phrases; none for "graph networks".
    f1 = 100 * (0 + 2 * (1 / 1 * 1 / 2) / (1 / 1 + 1 / 2)) / 2
    moon = 100 * 2 * (1 / 1 * 1 / 2) / (1 / 1 + 1 / 2)
    assert present[0] == pytest.approx(
        {"system": "broad", "inspec F1@5": f1, "inspec F1@M": f1, "nus F1@5": moon, "nus F1@M": moon}
    )
    assert [row["inspec F1@M"] for row in absent] == [pytest.approx(100 * 2 * (1 / 3 * 1) / (1 / 3 + 1)), 0]
    assert [row["nus F1@M"] for row in total] == [
        pytest.approx(100 * 2 * (1 / 3 * 1 / 3) / (1 / 3 + 1 / 3)),
        pytest.approx(100 * 2 * (1 / 1 * 1 / 3) / (1 / 1 + 1 / 3)),
    ]
    assert numbers == [
        {"system": "gold", "inspec #PK": 3 / 2, "inspec #AK": 1 / 2, "nus #PK": 2, "nus #AK": 1},
        {"system": "broad", "inspec #PK": 1 / 2, "inspec #AK": 5 / 2, "nus #PK": 1, "nus #AK": 2},
        {"system": "narrow", "inspec #PK": 0, "inspec #AK": 1, "nus #PK": 1, "nus #AK": 0},
    ]


def test_a_side_without_gold_is_empty_in_the_tables() -> None:
    texts = Run("x", "none", evaluate([Record(Document("1", "heat"), ("heat",))], {}, PROTOCOLS["meng"]), {})
    for intervals in (False, True):
        assert paper_tables([texts], intervals=intervals)["absent keyphrases, F1 in percent"][0]["none F1@M"] is None


def test_cells_may_have_intervals(runs: list[Run]) -> None:
    score = runs[0].report.scores["present_f1@5"]
    cell = console_tables(runs)["present keyphrases, F1 in percent"][0]["inspec F1@5"]
    assert cell == f"{score.mean:.2f}\n{score.low:.1f} to {score.high:.1f}"


@pytest.mark.parametrize(("protocol", "columns"), [("samrank", ["F1@5", "F1@10", "F1@15"]), ("ramkg", ["F1@M"])])
def test_protocols_that_do_not_split_have_one_table(protocol: str, columns: list[str]) -> None:
    [[row]] = paper_tables([run("x", "nus", "moon", protocol=protocol)]).values()
    assert list(row) == ["system", *(f"nus {column}" for column in columns)]


def test_console_tables_of_one_run(runs: list[Run]) -> None:
    tables = console_tables(runs[:1])
    assert tables["protocol meng"] == runs[0].report.score_rows()
    assert tables["quantities"] == runs[0].report.quantity_rows()


def test_document_rows_count_all_documents(runs: list[Run]) -> None:
    row = document_rows(runs)[2]
    assert list(row.values()) == ["narrow", "inspec", 2, 2, 0, 0, 0]


def test_notes_name_lists_that_may_be_cut() -> None:
    cut = [run("x", "nus", "moon", full=1), run("x", "nus", "moon", protocol="samrank", full=1)]
    assert len(notes(cut[:1])) == 2
    assert "x on nus: 1 documents have 5 keyphrases, the requested maximum" in notes(cut[:1])[1]
    assert len(notes(cut[1:])) == 1  # this protocol has no score @M


def test_markdown_says_what_the_scores_are(runs: list[Run]) -> None:
    run_by = RunDetails("kpray evaluate", "2026-01-02 03:04 UTC", 5.0, "seed: 0\n", {"kpray": "1"})
    page = markdown_page(report_title(runs), run_by, report_sections(runs))
    assert page.startswith("# Keyphrases under the protocol meng\n\n```\nkpray evaluate\n```\n")
    assert "\n## Protocol\n\nKP20k family" in page
    assert "\n| narrow |" in page
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Protocol",
        *(f"## {title}" for title in paper_tables(runs)),
        "## documents",
        "## Notes",
        "## Configuration of this run",
    ]
    assert '\nbroad: predictions by {"predictor": "broad"}\n' in page


def test_file_of_reports(runs: list[Run], tmp_path: Path) -> None:
    path = tmp_path / "reports.json"
    path.write_text("".join(run.to_json({"heads": [], "odd": "\u2028"}) + "\n" for run in runs), encoding="utf-8")
    read = read_runs(path)
    assert [(one.system, one.data, one.report, one.made_by) for one in read] == [
        (one.system, one.data, one.report, one.made_by) for one in runs
    ]
    assert (
        json.loads(path.read_text("utf-8").split("\n")[0])["scores"]["#PK"]["mean"] == 1 / 2
    )  # the fields of the report


@pytest.mark.parametrize(("text", "message"), [("", "not an evaluation report"), ("{}\n", "not an evaluation report")])
def test_other_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "reports.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_runs(tmp_path / "reports.json")
    with pytest.raises(UserError, match="cannot be read"):
        read_runs(tmp_path / "absent.json")


def test_each_run_is_compared_on_its_dataset(runs: list[Run]) -> None:
    of_one = comparison_tables(runs, runs[2:], "old.json", 0)
    assert list(of_one) == [
        "broad on inspec minus narrow of old.json",
        "broad on nus minus narrow of old.json",
        "narrow on inspec minus narrow of old.json",
        "narrow on nus minus narrow of old.json",
    ]
    numbers = {row["metric"]: row["difference"] for row in of_one["broad on inspec minus narrow of old.json"]}
    assert numbers["#AK"] == 5 / 2 - 1
    assert "broad on nus minus broad of old.json" in comparison_tables(runs, runs, "old.json", 0)
    assert list(comparison_tables(runs[:1], [run("", "inspec", "heat")], "old.json", 0)) == [
        "broad on inspec minus that of old.json"
    ]
    assert comparison_tables(runs, [], "None", 0) == {}


def test_ambiguous_comparisons_are_refused(runs: list[Run]) -> None:
    third = run("third", "nus", "moon")
    with pytest.raises(
        UserError, match=r"old\.json: one report on nus is needed to compare third with, but there are 2"
    ):
        comparison_tables([third], runs, "old.json", 0)
    with pytest.raises(UserError, match=r"one report on nus .* but there are 0"):
        comparison_tables([third], [runs[0], runs[2]], "old.json", 0)


def test_figures(runs: list[Run], tmp_path: Path) -> None:
    distances = bag_of_words_distances(runs)
    assert {system: list(of_system) for system, of_system in distances.items()} == {
        "broad": ["inspec", "nus"],
        "narrow": ["inspec", "nus"],
    }
    assert distances["narrow"]["nus"] == (0 + 1 + 1, 2, 2)  # moon is correct, tides and sea are missing
    (tmp_path / "training").mkdir()
    metrics = '{"step": 1, "extraction": 3.0, "generation": 2.0}\n'
    (tmp_path / "training" / "metrics.jsonl").write_text(metrics, encoding="utf-8")
    trained = run("trained", "nus", "moon", protocol="samrank", predictor=str(tmp_path / "training" / "best"))
    assert draw_figures(runs, tmp_path / "a/b") == [tmp_path / "a/b/bag_of_words_error.svg"]
    assert draw_figures([trained], tmp_path / "c") == [tmp_path / "c/training_loss.svg"]
    assert draw_figures([run("x", "nus", "moon", protocol="samrank", predictor="samrank")], tmp_path / "d") == []
    assert sorted(path.name for path in tmp_path.rglob("*.svg")) == ["bag_of_words_error.svg", "training_loss.svg"]
