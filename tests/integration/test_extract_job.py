"""The extract job on a real local Ray. However it is stopped, no record is lost and none is written twice."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from random import Random

import duckdb
import pandas
import polars
import pyarrow.parquet as pq
import pytest
from pyarrow.dataset import dataset

from tests.commands import ROOT, Finished, RunHere
from tests.integration.conftest import StartJob
from tests.integration.jobs import Corpus, contents, parts


@pytest.fixture
def extract_here(run_here: RunHere, extract_options: list[str]) -> RunHere:
    """Run the extract job over the corpus in this process."""
    return lambda *arguments: run_here("extract.py", *extract_options, *arguments)


def test_each_record_is_in_the_output_or_rejected_once(uninterrupted: tuple[Path, Finished], corpus: Corpus) -> None:
    output, finished = uninterrupted
    assert finished.code == 0, finished.err
    written, rejected = len(corpus.ids), len(corpus.rejects)
    assert finished.out == f"{written} documents written to {output}, {rejected} rejected (_rejects.jsonl)\n"
    assert len(parts(output)) == corpus.parts()

    rows = [row for name in parts(output) for row in pq.read_table(output / name).to_pylist()]
    assert sorted(row["id"] for row in rows) == sorted(corpus.ids)
    assert all(1 <= len(row["keyphrases"]) <= 10 for row in rows)

    lines = [json.loads(line) for line in (output / "_rejects.jsonl").read_text("utf-8").splitlines()]
    reasons = {(reject["source"], reject["line"]): reject["reason"] for reject in lines}
    assert len(lines) == len(reasons)
    assert reasons.keys() == corpus.rejects.keys()
    for line, reason in corpus.rejects.items():
        assert reason in reasons[line]


def test_standard_error_has_only_progress(uninterrupted: tuple[Path, Finished]) -> None:
    # Without NLTK's data, a line says that TextBlob's tagger is used.
    known = (
        "kpray: starting Ray, ",
        "kpray: checking the nodes, ",
        "kpray: predicting keyphrases",
        "kpray: loading Ray",
        "using TextBlob's tagger",
    )
    assert [line for line in uninterrupted[1].err.splitlines() if not any(part in line for part in known)] == []


def test_configuration_and_versions_are_in_the_output_folder(
    uninterrupted: tuple[Path, Finished], corpus: Corpus, extract_here: RunHere
) -> None:
    output, _ = uninterrupted
    assert contents(output)["others"] == ["_config.yaml", "_kpray", "_rejects.jsonl", "_versions.json"]
    assert json.loads((output / "_versions.json").read_text("utf-8")).keys() >= {"kpray", "torch", "ray", "python"}
    again = extract_here("--config", output / "_config.yaml", "--output", output, "--dry-run")
    assert f"output: {output}" in again.out
    assert "dry_run: true" in again.out
    assert (output / "_config.yaml").read_text("utf-8").replace("dry_run: false", "dry_run: true") in again.out


def test_other_tools_can_read_the_output_folder(uninterrupted: tuple[Path, Finished], corpus: Corpus) -> None:
    output, _ = uninterrupted
    assert set(pandas.read_parquet(output)["id"]) == corpus.ids
    assert set(dataset(output).to_table()["id"].to_pylist()) == corpus.ids
    assert set(polars.read_parquet(output / "*.parquet")["id"]) == corpus.ids  # Polars needs a pattern
    assert {id for (id,) in duckdb.execute(f"select id from read_parquet('{output}')").fetchall()} == corpus.ids


@pytest.mark.slow
def test_finished_job_writes_nothing_again(
    uninterrupted: tuple[Path, Finished], start_shared: StartJob, extract_options: list[str]
) -> None:
    output, first = uninterrupted
    before = {path: path.stat().st_mtime_ns for path in output.rglob("part-*")}
    second = start_shared(ROOT / "jobs/extract.py", *extract_options, "--output", output).finish()
    assert (second.code, second.out) == (0, first.out)
    assert {path: path.stat().st_mtime_ns for path in output.rglob("part-*")} == before


@pytest.mark.slow
def test_result_is_the_same_after_any_interruption(
    uninterrupted: tuple[Path, Finished], corpus: Corpus, start_extract: StartJob, tmp_path: Path
) -> None:
    output, seed = tmp_path / "output", int.from_bytes(os.urandom(2))
    print(f"seed {seed}")  # pytest shows it when the test fails
    first, second, third = sorted(Random(seed).sample(range(1, corpus.parts() // 2), 3))

    job = start_extract(output)  # Ctrl-C
    job.wait_for_parts(output, first)
    job.process.send_signal(signal.SIGINT)
    stopped = job.finish()
    assert stopped.code == 130
    assert stopped.err.splitlines()[-1] == "kpray: interrupted; run the same command again"
    assert "Traceback" not in stopped.err
    assert len(parts(output)) < corpus.parts()

    job = start_extract(output)  # a crash of the machine
    job.wait_for_parts(output, max(second, len(parts(output)) + 1))
    job.kill()

    job = start_extract(output)  # a worker dies, and the job itself recovers
    job.wait_for_parts(output, max(third, len(parts(output)) + 1))
    job.workers()[0].kill()
    finished = job.finish()
    assert finished.code == 0, finished.err
    assert finished.out == uninterrupted[1].out.replace(str(uninterrupted[0]), str(output))
    assert contents(output) == contents(uninterrupted[0])


@pytest.mark.slow
def test_head_that_does_not_exist(start_shared: StartJob, extract_options: list[str], tmp_path: Path) -> None:
    options = [*extract_options, "--output", tmp_path / "output", "--samrank.heads", "9-1"]
    finished = start_shared(ROOT / "jobs/extract.py", *options).finish()
    message = "heads: the model has no head 9-1 (it has 3 layers of 4 heads: choose from 1-1 to 3-4)"
    assert (finished.code, finished.out) == (2, "")
    assert finished.err.splitlines()[-1] == f"kpray: error: {message}"
    assert "Traceback" not in finished.err
    assert parts(tmp_path / "output") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--top", "3"), "made with top = 10, not 3"),
        (("--lang", "fr"), "made with lang = 'auto', not 'fr'"),
        (("--samrank.score", "global"), "made with config = "),
        (("--limits.max-characters", "100"), "made with limits = "),
        (("--batch.chunk-records", "9"), "made with chunk_records = 8, not 9"),
    ],
)
def test_other_configuration_in_the_same_folder(
    arguments: tuple[str, str], message: str, uninterrupted: tuple[Path, Finished], extract_here: RunHere
) -> None:
    output, _ = uninterrupted
    before = (output / "_config.yaml").read_bytes()
    finished = extract_here("--output", output, *arguments)
    assert finished.code == 2
    [line] = finished.err.splitlines()
    assert line.startswith(f"kpray: error: {output}: the folder holds output {message}")
    assert (output / "_config.yaml").read_bytes() == before


def test_dry_run_starts_nothing(corpus: Corpus, extract_here: RunHere, tmp_path: Path) -> None:
    finished = extract_here("--output", tmp_path / "output", "--dry-run")
    assert finished.code == 0
    assert "top: 10" in finished.out
    assert "cores" in finished.out
    for line in ("1 csv files, 121 records", "1 jsonl files, 126 records", "1 jsonl.gz files, 120 records"):
        assert line in finished.out
    assert not (tmp_path / "output").exists()


def test_output_that_is_a_file(extract_here: RunHere, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file/below"):
        finished = extract_here("--output", output)
        assert finished.code == 2
        [line] = finished.err.splitlines()
        assert line.startswith(f"kpray: error: {output}: cannot write: ")


def test_address_without_a_cluster(extract_here: RunHere, tmp_path: Path) -> None:
    finished = extract_here("--output", tmp_path / "output", "--address", "127.0.0.1:1")
    assert finished.code == 2
    [line] = finished.err.splitlines()
    assert line.startswith("kpray: error: 127.0.0.1:1: cannot connect to Ray: ")
