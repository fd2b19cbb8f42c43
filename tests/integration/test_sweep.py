"""Sweeps on a real local Ray: a sweep that is killed and resumed, a crashing trial, ASHA, and user errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import ROOT, Finished, RunHere
from tests.integration.conftest import StartJob
from tests.train.tiny_task import make_records, write_records

SCRIPT = Path(__file__).with_name("sweep_tiny.py")


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """Script and options of the sweep, except --output and the space."""
    folder = tmp_path_factory.mktemp("records")
    write_records(make_records(80, seed=1), folder / "train.jsonl")
    write_records(make_records(20, seed=2), folder / "valid.jsonl")
    files: list[str | Path] = ["--train", folder / "train.jsonl", "--valid", folder / "valid.jsonl"]
    optim = ["--optim.epochs", "2", "--optim.batch", "8", "--task.seconds", "0.1"]  # 20 steps
    run = ["--run.micro-tokens", "100", "--run.validate-every", "5", "--run.log-every", "5"]
    return [SCRIPT, *files, *optim, *run]


@dataclass(frozen=True)
class Sweep:
    """A sweep of three trials: the first crashes once, ASHA stops the second, and a kill during the third ends the run.

    Attributes:
        output: folder of the sweep.
        keys: keys of its trials, in order.
        before: result file at the time of the kill -> its modification time.
        finished: result of the second run.
    """

    output: Path
    keys: Sequence[str]
    before: dict[Path, int]
    finished: Finished


@pytest.fixture(scope="module")
def sweep(
    start_job: StartJob, start_shared: StartJob, options: list[str | Path], tmp_path_factory: pytest.TempPathFactory
) -> Sweep:
    output, marks = (tmp_path_factory.mktemp(name) / "folder" for name in ("output", "marks"))
    marks.mkdir()
    tried = ["--space.lr", "0.01", "0.00001", "0.02", "--sweep.seeds", "0", "--sweep.at-once", "1"]
    asha = ["--sweep.asha", "--sweep.grace", "1", "--sweep.reduction", "2"]
    command = [*options, "--output", output, *tried, *asha]
    job = start_job(*command, variables={"PYTHONPATH": str(ROOT), "KPRAY_CRASH": str(marks)})
    job.wait_until(lambda: len(started(output)) == 3 and events(output)[-1]["name"] == "report")
    job.kill()
    keys, before = started(output), results(output)
    return Sweep(output, keys, before, start_shared(*command).finish())


def events(output: Path) -> list[dict[str, Any]]:
    path = output / "_kpray/events.jsonl"
    text = path.read_text("utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def started(output: Path) -> list[str]:
    return list(dict.fromkeys(event["key"] for event in events(output) if event["name"] == "started"))


def results(output: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in output.glob("trials/*/finished.json")}


def history(sweep: Sweep, index: int) -> list[str]:
    names = [event["name"] for event in events(sweep.output) if event["key"] == sweep.keys[index]]
    return [name for name in names if name != "report"]


@pytest.mark.slow
def test_each_trial_of_a_killed_sweep_is_done_once(sweep: Sweep) -> None:
    output, finished = sweep.output, sweep.finished
    assert finished.code == 0, finished.err
    assert "Traceback" not in finished.err
    assert "kpray: 3 settings of 3 lr: 3 trials, 2 already finished" in finished.err
    assert {path.parent.name for path in sweep.before} == {f"trial-{key}" for key in sweep.keys[:2]}
    after = results(output)
    assert len(after) == 3
    assert sweep.before.items() <= after.items()  # finished trials were not changed
    assert history(sweep, 2) == ["started", "started", "finished"]
    assert not list(output.glob("trials/*/checkpoints"))


@pytest.mark.slow
def test_a_crashed_trial_is_retried_and_reported(sweep: Sweep) -> None:
    assert history(sweep, 0) == ["started", "crashed", "started", "finished"]
    [crash] = [event for event in events(sweep.output) if event["name"] == "crashed"]
    assert "actor" in crash["text"]
    assert "Trials that crashed or failed" in (sweep.output / "report.md").read_text("utf-8")


@pytest.mark.slow
def test_asha_stops_a_trial_and_the_next_one_starts(sweep: Sweep) -> None:
    assert history(sweep, 1) == ["started", "stopped"]
    order = [(event["name"], event["key"]) for event in events(sweep.output) if event["name"] != "report"]
    assert order[order.index(("stopped", sweep.keys[1])) + 1] == ("started", sweep.keys[2])
    values = json.loads((sweep.output / "report.json").read_text("utf-8"))
    assert [row["state"] for row in values["trials"]] == ["finished", "stopped", "finished"]
    third = [event["step"] for event in events(sweep.output) if event["key"] == sweep.keys[2]]
    assert max(third) == 20  # its worker got the cores of the stopped trial


@pytest.mark.slow
def test_best_configuration(sweep: Sweep) -> None:
    values = json.loads((sweep.output / "report.json").read_text("utf-8"))
    best = yaml.safe_load((sweep.output / "best.yaml").read_text("utf-8"))
    assert best["optim"]["lr"] == values["settings"][0]["lr"]
    assert best.keys() >= {"train", "valid", "optim", "run", "output"}
    assert f"train_tiny.py --config {sweep.output / 'best.yaml'}" in sweep.finished.out


def test_trial_larger_than_the_cluster(start_shared: StartJob, options: list[str | Path], tmp_path: Path) -> None:
    output = tmp_path / "output"
    finished = start_shared(*options, "--output", output, "--run.workers", "500", "--run.cpus", "2").finish()
    assert (finished.code, finished.out) == (2, "")
    *_, error = finished.err.splitlines()
    assert error.startswith(
        "kpray: error: sweep: one trial does not fit: it needs 500 x 2 = 1000 cores, but the cluster has"
    )
    assert not list(output.glob("trials/*"))


@pytest.mark.parametrize(
    ("name", "trials"),
    [
        ("sweep_relation_depth.py", "5 settings of 5 relation_layers x 1 relation_mask x 1 relation_scale"),
        ("sweep_bow_weight.py", "5 settings of 5 bow_weight, each with 3 seeds: 15 trials; at most 2 hours"),
    ],
)
def test_dry_runs_over_trainings(name: str, trials: str, run_here: RunHere, tmp_path: Path) -> None:
    write_records(make_records(5, seed=1), tmp_path / "records.jsonl")
    files = ["--train", tmp_path / "records.jsonl", "--valid", tmp_path / "records.jsonl"]
    budget = ["--sweep.hours", "2"]
    finished = run_here(name, "--config", "small", *files, *budget, "--output", tmp_path / "output", "--dry-run")
    assert finished.code == 0, finished.err
    assert "to validate on 1 jsonl files, 5 records" in finished.out
    assert trials in finished.out
    assert not (tmp_path / "output").exists()


def test_dry_run_over_heads(run_here: RunHere, tmp_path: Path) -> None:
    write_records(make_records(5, seed=1), tmp_path / "records.jsonl")
    options = ["--valid", tmp_path / "records.jsonl", "--output", tmp_path / "output", "--dry-run"]
    finished = run_here("sweep_samrank_heads.py", *options)
    assert finished.code == 0, finished.err
    assert "to choose on 1 jsonl files, 5 records" in finished.out
    refused = run_here("sweep_samrank_heads.py", *options, "--test", tmp_path / "records.jsonl")
    assert refused.code == 2
    assert "is in valid and in test: use different documents" in refused.err


def test_dry_run_over_thresholds(run_here: RunHere, tmp_path: Path) -> None:
    options = ["--config", "planted-small", "--output", tmp_path / "output", "--dry-run"]
    finished = run_here("sweep_rgit_threshold.py", *options, "--sweep.seeds", "0", "1")
    assert finished.code == 0, finished.err
    assert "a planted corpus for each seed: 48 pairs, 40 records without a pair" in finished.out
    assert "4 settings of 4 tau, each with 2 seeds: 8 trials" in finished.out
    refused = run_here("sweep_rgit_threshold.py", *options, "--sweep.at-once", "2")
    assert refused.code == 2
    assert "trials share their steps" in refused.err
