"""The evaluate job gives the same scores whether it reads predictions or makes them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from kpray.corpus.writing import write_predictions
from tests.commands import ROOT, Finished, RunHere
from tests.integration.conftest import StartJob
from tests.integration.jobs import MAX_RECORD_BYTES, Corpus

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def options(corpus: Corpus) -> list[str]:
    limits = ["--limits.max-record-bytes", str(MAX_RECORD_BYTES)]
    return ["--input", str(corpus.folder), "--protocol", "samrank", *limits]


@pytest.fixture
def evaluate_here(run_here: RunHere, options: list[str]) -> RunHere:
    """Run the evaluate job over the corpus in this process."""
    return lambda *arguments: run_here("evaluate.py", *options, *arguments)


def read(report: Path) -> dict[str, Any]:
    contents: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return contents


def test_predictor_scores_as_its_predictions_do(
    uninterrupted: tuple[Path, Finished],
    options: list[str],
    model_options: list[str],
    evaluate_here: RunHere,
    start_shared: StartJob,
    tmp_path: Path,
) -> None:
    arguments = ["--predictor", "samrank", "--top", "10", *model_options, "--output", tmp_path / "predictor.json"]
    with_predictor = start_shared(ROOT / "jobs/evaluate.py", *options, *arguments).finish()
    assert with_predictor.code == 0, with_predictor.err
    from_folder = evaluate_here("--predictions", uninterrupted[0], "--output", tmp_path / "predictions.json")
    assert from_folder.code == 0
    one, other = read(tmp_path / "predictor.json"), read(tmp_path / "predictions.json")
    for field in ("scores", "documents", "keys", "missing", "unknown", "made_by"):
        assert one[field] == other[field]
    assert one["scores"]["f1@5"]["documents"] == 480  # all but note.txt, which has no gold
    assert 0 < one["scores"]["f1@5"]["mean"] < 100
    assert "F1" in from_folder.out
    assert '"predictor": "samrank"' in from_folder.out


def test_comparison_with_another_run(
    uninterrupted: tuple[Path, Finished], evaluate_here: RunHere, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    evaluate_here("--predictions", uninterrupted[0], "--output", report)
    finished = evaluate_here("--predictions", uninterrupted[0], "--compare", report)
    assert finished.code == 0
    rows = [line.split() for line in finished.out.splitlines()]
    assert ["f1@5", "0.00", "0.00", "0.00", "1.00", "480"] in rows  # a run does not differ from itself


def test_heat_map_of_all_heads(
    uninterrupted: tuple[Path, Finished], evaluate_here: RunHere, model_options: list[str], tmp_path: Path
) -> None:
    picture, report = tmp_path / "heads.png", tmp_path / "report.json"
    arguments = ["--heat-map", picture, "--output", report, *model_options]
    finished = evaluate_here("--predictions", uninterrupted[0], *arguments)
    assert finished.code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    heads = read(report)["heads"]
    assert {row["head"] for row in heads} == {f"{layer}-{head}" for layer in (1, 2, 3) for head in (1, 2, 3, 4)}
    assert [row["F1@15"] for row in heads] == sorted((row["F1@15"] for row in heads), reverse=True)
    assert heads[0]["head"] in finished.out


def test_tables_of_systems_and_data_sets(
    uninterrupted: tuple[Path, Finished], run_here: RunHere, corpus: Corpus, tmp_path: Path
) -> None:
    output = uninterrupted[0]
    inputs = [corpus.folder / "packed.jsonl.gz", corpus.folder / "table.csv"]
    (tmp_path / "none").mkdir()
    write_predictions([("packed-1", "en", [])], tmp_path / "none" / "part.parquet")
    systems = ["--predictions", output, tmp_path / "none"]
    files = [
        "--tables",
        tmp_path / "tables.md",
        "--output",
        tmp_path / "reports.json",
        "--figures",
        tmp_path / "figures",
    ]
    finished = run_here("evaluate.py", "--input", *inputs, *systems, "--protocol", "meng", *files)
    assert finished.code == 0, finished.err
    reports = [json.loads(line) for line in (tmp_path / "reports.json").read_text("utf-8").splitlines()]
    assert [(one["system"], one["data"]) for one in reports] == [
        *(("output", "packed"), ("output", "table"), ("none", "packed"), ("none", "table")),
    ]
    assert [(one["records"], len(one["missing"]), len(one["unknown"])) for one in reports] == [
        (120, 0, 481 - 2 * 120),  # the folder has predictions for the whole corpus
        (120, 0, 481 - 2 * 120),
        (120, 119, 0),
        (120, 120, 0),
    ]
    page = (tmp_path / "tables.md").read_text("utf-8")
    shown = f"{reports[0]['scores']['present_f1@M']['mean']:.2f}"
    row = next(line.split() for line in page.splitlines() if line.startswith("| output |"))
    assert (row[5], len(row)) == (shown, 2 * 5 + 1)  # the system, F1@5 and F1@M of two data sets, and six bars
    assert "| gold " in page
    assert shown in finished.out
    full = [int(number) for number in re.findall(r"output on packed: (\d+) documents have 10 keyphrases", finished.out)]
    assert full == [reports[0]["full"]]
    assert 0 < full[0] < 120
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["bag_of_words_error.svg"]


def test_html_report_contains_the_figures(
    uninterrupted: tuple[Path, Finished], run_here: RunHere, corpus: Corpus, tmp_path: Path
) -> None:
    (tmp_path / "pages").mkdir()
    page, figures = tmp_path / "pages/report.html", tmp_path / "figures"
    inputs = ["--input", corpus.folder / "packed.jsonl.gz", "--protocol", "meng"]
    files = ["--tables", page, "--figures", figures]
    finished = run_here("evaluate.py", *inputs, "--predictions", uninterrupted[0], *files)
    assert finished.code == 0, finished.err
    html = page.read_text("utf-8")
    assert html.count("<svg ") == 1
    assert "<span>--figures</span>" in html  # the command line is at the top
    assert "<h2>present keyphrases, F1 in percent</h2>" in html


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "either --predictions or --predictor is needed"),
        (("--predictions", "{output}", "--predictor", "samrank"), "either --predictions or --predictor is needed"),
        (("--predictions", "{empty}"), "{empty}: the folder has no predictions (*.parquet)"),
        (("--predictions", "{output}", "--compare", "{empty}/none.json"), "{empty}/none.json: the file cannot be read"),
        (("--predictions", "{output}", "--compare", "{output}/_config.yaml"), "{output}/_config.yaml: this is no"),
        (("--predictions", "{output}", "--output", "{empty}/no/report.json"), "{empty}/no/report.json: cannot write"),
        (("--predictions", "{output}", "--tables", "{empty}/no/tables.md"), "{empty}/no/tables.md: cannot write"),
        (("--predictions", "{output}", "--figures", "{output}/_config.yaml"), "{output}/_config.yaml: cannot write"),
        (("--predictions", "{output}", "{output}"), "{output}: the path is given twice"),
    ],
)
def test_mistakes_are_one_line(
    arguments: tuple[str, ...],
    message: str,
    uninterrupted: tuple[Path, Finished],
    evaluate_here: RunHere,
    tmp_path: Path,
) -> None:
    names = {"output": uninterrupted[0], "empty": tmp_path}
    finished = evaluate_here(*(argument.format(**names) for argument in arguments))
    assert finished.code == 2
    [line] = finished.err.splitlines()
    assert line.startswith("kpray: error: " + message.format(**names))
