"""Sweeps on a real local Ray: whole, killed and run again, with a trial that crashes, with ASHA, and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.tiny_task import make_records, write_records
from tests.integration.jobs import ROOT, Job

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).with_name("sweep_tiny.py")

Start = Callable[..., Job]


@pytest.fixture(scope="module")
def start(start_job: Callable[..., Job], tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Start the sweep: `start(output, "--space.hidden", "8", "16")`."""
    folder = tmp_path_factory.mktemp("records")
    write_records(make_records(80, seed=1), folder / "train.jsonl")
    write_records(make_records(20, seed=2), folder / "valid.jsonl")
    files = ["--train", folder / "train.jsonl", "--valid", folder / "valid.jsonl"]
    optim = ["--optim.epochs", "2", "--optim.batch", "8", "--optim.lr", "0.01"]  # 20 steps
    run = ["--run.micro-tokens", "100", "--run.validate-every", "5", "--run.log-every", "5"]

    def begin(output: Path, *more: str, **variables: str) -> Job:
        variables |= {"PYTHONPATH": str(ROOT)}
        return start_job(SCRIPT, *files, *optim, *run, "--output", output, *more, variables=variables)

    return begin


def events(output: Path) -> list[dict[str, Any]]:
    path = output / "_kpray/events.jsonl"
    text = path.read_text("utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def names(output: Path, *wanted: str) -> list[str]:
    return [event["name"] for event in events(output) if event["name"] in wanted]


def test_killed_and_crashed_each_trial_is_done_once(start: Start, tmp_path: Path) -> None:
    output, marks = tmp_path / "output", tmp_path / "marks"
    marks.mkdir()
    options = ["--space.hidden", "4", "8", "--sweep.seeds", "0", "1", "--sweep.at-once", "1", "--task.seconds", "0.02"]
    crash = {"KPRAY_CRASH": f"{marks}:8"}
    job = start(output, *options, **crash)
    job.wait_until(lambda: "finished" in names(output, "finished") and names(output, "report")[-1:] == ["report"])
    job.process.kill()
    job.kill()
    results = {path: path.stat().st_mtime_ns for path in output.glob("trials/*/result.json")}
    assert 1 <= len(results) < 4

    finished = start(output, *options, **crash).finish()
    assert finished.code == 0, finished.err
    assert "Traceback" not in finished.err
    assert "kpray: 2 settings of 2 hidden x 1 lr, each with 2 seeds: 4 trials" in finished.err
    after = {path: path.stat().st_mtime_ns for path in output.glob("trials/*/result.json")}
    assert len(after) == 4
    assert results.items() <= after.items()  # what was finished was left alone
    for path in after:
        own = [event["name"] for event in events(output) if event["key"] == path.parent.name]
        assert own.count("finished") <= 1
    first = [event["name"] for event in events(output) if event["key"] == next(iter(results)).parent.name]
    assert first.count("started") == 1
    [crash_event] = [event for event in events(output) if event["name"] == "crashed"]  # and it was tried again
    assert "actor" in crash_event["text"]
    page = (output / "report.md").read_text("utf-8")
    assert "Trials that crashed or failed" in page
    told = json.loads((output / "report.json").read_text("utf-8"))
    assert [row["seeds"] for row in told["settings"]] == ["2 of 2", "2 of 2"]
    best = yaml.safe_load((output / "best.yaml").read_text("utf-8"))
    assert best["task"]["hidden"] == told["settings"][0]["hidden"]
    assert best.keys() >= {"train", "valid", "optim", "run", "output"}
    assert not list(output.glob("trials/*/checkpoints"))
    assert len(list(output.glob("trials/*/best/weights.pt"))) == 4


def test_asha_stops_a_trial_and_the_next_one_starts(start: Start, tmp_path: Path) -> None:
    output = tmp_path / "output"
    options = ["--space.lr", "0.01", "0.00001", "0.02", "--sweep.seeds", "0", "--sweep.at-once", "1"]
    asha = ["--sweep.asha", "--sweep.grace", "1", "--sweep.reduction", "2", "--sweep.budget.trials", "3"]
    finished = start(output, *options, *asha, "--task.seconds", "0.1").finish()
    assert finished.code == 0, finished.err
    order = [(event["name"], event["key"]) for event in events(output) if event["name"] != "report"]
    stopped = order.index(next(event for event in order if event[0] == "stopped"))
    assert order[stopped + 1][0] == "started"  # its worker had what the stopped one's held
    assert ("finished", order[stopped + 1][1]) in order[stopped:]


def test_more_than_the_cluster_has_is_refused(start: Start, tmp_path: Path) -> None:
    output = tmp_path / "output"
    finished = start(output, "--run.workers", "500", "--run.cpus", "2").finish()
    assert (finished.code, finished.out) == (2, "")
    *_, error = finished.err.splitlines()
    assert error.startswith(
        "kpray: error: sweep: one trial does not fit: it takes 500 x 2 = 1000 cores; the cluster has"
    )
    assert not list(output.glob("trials/*"))
