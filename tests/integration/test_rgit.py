"""RGIT on a planted corpus and a real local Ray: a run that is killed and resumed, its output, and user errors."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kpray.corpus.records import Reject, read_records
from kpray.registry import open_predictor
from tests.commands import ROOT, Finished, RunHere
from tests.integration.conftest import StartJob

JOB = ROOT / "jobs/rgit.py"
# With two threads, the models train many times slower while other tests keep the cores busy.
OPTIONS = ("--config", "planted-small", "--rgit.rounds", "1", "--local", "--run.cpus", "1")


def report_of(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "report.json").read_text("utf-8"))
    return found


def finished_steps(output: Path) -> list[str]:
    return sorted(path.parent.name for path in output.glob("steps/*/finished.json"))


@dataclass(frozen=True)
class Run:
    """A run that was killed after its first generation and resumed.

    Attributes:
        output: its output folder.
        finished: result of the second run.
        before: steps that the first run had finished.
    """

    output: Path
    finished: Finished
    before: frozenset[str]


@pytest.fixture(scope="module")
def run(start_job: StartJob, start_shared: StartJob, tmp_path_factory: pytest.TempPathFactory) -> Run:
    output = tmp_path_factory.mktemp("rgit") / "output"
    job = start_job(JOB, *OPTIONS, "--output", output)
    job.wait_until(lambda: any(name.startswith("generate-") for name in finished_steps(output)))
    before = frozenset(finished_steps(output))
    job.kill()
    finished = start_shared(JOB, *OPTIONS, "--output", output).finish()
    assert finished.code == 0, finished.err
    return Run(output, finished, before)


@pytest.mark.slow
def test_report(run: Run) -> None:
    output, finished = run.output, run.finished
    report = report_of(output)
    [row] = report["rounds"]
    hidden = {record["id"]: record["english_ids"][0] for record in read_lines(output / "planted/hidden.jsonl")}
    foreign = [record["id"] for record in read_lines(output / "planted/passages.jsonl")]
    english = [record["id"] for record in read_lines(output / "planted/english.jsonl")]
    manifest = json.loads((output / "rounds/00.json").read_text("utf-8"))
    assert manifest["learnt"] == []
    assert row["number"] == 1
    assert 0 < row["pairs"] == len(manifest["mined"]) <= len(foreign)
    right = sum(hidden[foreign[passage]] == english[row] for passage, row in manifest["mined"])
    assert row["accuracy"] == pytest.approx(100 * right / row["pairs"])
    assert 0 <= row["valid_pairs"] <= 16
    assert (row["valid_accuracy"] is None) == (row["valid_pairs"] == 0)
    for system in report["systems"]:
        for mean, low, high in report["systems"][system]["scores"]["average"].values():
            assert 0 <= low <= mean <= high <= 100
    page = (output / "report.md").read_text("utf-8")
    assert "## Rounds" in page
    assert "RAMKG + RGIT" in page
    case = report["case"]
    assert f"## Case study (Fig. 4): {case['id']}" in page
    assert [row["system"] for row in case["rows"]] == ["gold", "RAMKG + RGIT"]
    known = {phrase for record in read_lines(output / "planted/english.jsonl") for phrase in record["keyphrases"]}
    assert set(case["rows"][1]["retrieved English keyphrases"].split("; ")) <= known
    assert str(output / "best") in finished.out


@pytest.mark.slow
def test_predictions_and_predictor(run: Run, tmp_path: Path) -> None:
    output = run.output
    shutil.move(output / "best", tmp_path / "model")  # it does not need the output folder
    try:
        predictor = open_predictor(str(tmp_path / "model"), {"generate": {"beams": 2}})
        records = [r for r in read_records([str(output / "planted/test.jsonl")]) if not isinstance(r, Reject)]
        documents = [record.document for record in records]
        explained = predictor.predict(documents, top=5, explain=True)
        predicted = predictor.predict(documents, top=5)
        predictor.save(tmp_path / "copy")
        again = open_predictor(str(tmp_path / "copy"), {"generate": {"beams": 2}})
        assert again.predict(documents[:1], top=5) == predicted[:1]
    finally:
        shutil.move(tmp_path / "model", output / "best")
    assert [explanation.keyphrases for explanation in explained] == predicted
    assert any(predicted)
    english = {record["id"]: record for record in read_lines(output / "planted/english.jsonl")}
    for explanation in explained:
        [evidence] = explanation.evidence
        assert list(evidence.keyphrases) == english[evidence.document.id]["keyphrases"]
    table = pq.read_table(output / "predictions/rgit/part-00000.parquet").to_pylist()
    assert [row["id"] for row in table] == [record.document.id for record in records]
    for row, phrases in zip(table, predicted, strict=True):
        assert [phrase["text"] for phrase in row["keyphrases"]][:5] == [phrase.text for phrase in phrases]


@pytest.mark.slow
def test_finished_steps_are_not_repeated(run: Run) -> None:
    log = report_of(run.output)["steps"]
    first_use: dict[str, bool] = {}
    for line in log:
        first_use.setdefault(f"{line['step']}-{line['key']}", line["reused"])
    assert {name for name, reused in first_use.items() if reused} == run.before
    assert {name.split("-")[0] for name in run.before} >= {"generator", "generate", "retriever", "index", "search"}


@pytest.mark.slow
def test_another_threshold_reuses_independent_steps(run: Run, start_shared: StartJob, tmp_path: Path) -> None:
    shared = run.output / "steps"
    before = finished_steps(run.output)
    options = ("--rgit.tau", "99", "--systems", "rgit", "--steps", shared)
    finished = start_shared(JOB, *OPTIONS, *options, "--output", tmp_path / "output").finish()
    assert finished.code == 0, finished.err
    assert "no pair mined, because retrieval added more than 99 points of F1 to no passage" in finished.err
    report = report_of(tmp_path / "output")
    assert [row["pairs"] for row in report["rounds"]] == [0]
    assert "f1@M" in report["systems"]["rgit"]["scores"]["average"]
    # Fewer passages can qualify, so the generation with retrieval is a new step, for the foreign passages and for the
    # validation pairs. Without pseudo pairs, the final retriever is that of the first round, so only the final
    # generator and its predictions are new.
    new = sorted({*finished_steps(run.output)} - {*before})
    assert [name.split("-")[0] for name in new] == ["generate", "generate", "generate", "generator"]


def test_dry_run(run_here: RunHere, tmp_path: Path) -> None:
    finished = run_here("rgit.py", *OPTIONS, "--output", tmp_path / "output", "--dry-run")
    assert finished.code == 0, finished.err
    assert "a planted corpus: 48 pairs, 40 records without a pair" in finished.out
    assert not (tmp_path / "output").exists()


def test_comparison_with_an_unfinished_run(run_here: RunHere, tmp_path: Path) -> None:
    finished = run_here("rgit.py", *OPTIONS, "--output", tmp_path / "output", "--compare", tmp_path / "other")
    assert finished.code == 2
    assert f"--compare: {tmp_path / 'other/report.json'}: this is not the report of a finished run" in finished.err
    assert not (tmp_path / "output").exists()


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
