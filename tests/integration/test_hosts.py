"""Jobs on a simulated cluster of three machines, one of which is lost or disconnected for a while.

These tests take minutes and need root. Set KPRAY_TEST_HOSTS=1 to run them. `pytest -s` shows the times of recovery.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.commands import ROOT, Finished
from tests.integration.hosts import Hosts, why_not
from tests.integration.jobs import Corpus, Job, contents, parts
from tests.train.tiny_runs import difference
from tests.train.tiny_task import make_records, write_records

REASON = why_not() if os.environ.get("KPRAY_TEST_HOSTS") else "slow tests: set KPRAY_TEST_HOSTS=1"
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

CUT = 8.0  # seconds; short enough for Ray to keep the node
LONG_CUT = 45.0  # seconds; long enough for Ray to declare the node dead


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with Hosts(2) as started:
        yield started


def longest_wait(files: list[Path], since: float) -> float:
    """Longest time in seconds, after the time `since`, in which no file was finished."""
    times = sorted(time for time in (file.stat().st_mtime for file in files) if time > since)
    return max(after - before for before, after in pairwise([since, *times]))


def disturb(hosts: Hosts, how: str) -> None:
    """Remove the second worker and bring it back. The job may finish meanwhile with the first worker alone."""
    if how == "kill":
        hosts.kill_node(2)
        time.sleep(5)
        hosts.start_node(2)
        return
    hosts.unplug(2)
    time.sleep(CUT if how == "cut" else LONG_CUT)
    hosts.plug(2)
    if how == "long cut":  # its Ray has ended, because the head had declared it dead
        hosts.nodes[2].process.wait(120)
        hosts.kill_node(2)
        hosts.start_node(2)


HOWS = ("kill", "cut", "long cut")
HOW = pytest.mark.parametrize("how", HOWS)


@HOW
def test_extract(
    how: str,
    hosts: Hosts,
    uninterrupted: tuple[Path, Finished],
    corpus: Corpus,
    extract_options: list[str],
    tmp_path: Path,
) -> None:
    output = tmp_path / "output"
    job = hosts.start(0, ROOT / "jobs/extract.py", *extract_options, "--output", output, "--address", hosts.address)
    job.wait_for_parts(output, corpus.parts() // 4)
    since = time.time()
    disturb(hosts, how)
    finished = job.finish()
    assert finished.code == 0, finished.err
    assert contents(output) == contents(uninterrupted[0])
    print(f"extract, {how}: {longest_wait([output / name for name in parts(output)], since):.1f} s without a part")


@pytest.fixture(scope="module")
def training_options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("records")
    write_records(make_records(400, seed=1), folder / "train.jsonl")
    write_records(make_records(30, seed=2), folder / "valid.jsonl")
    optim = ["--optim.epochs", "2", "--optim.batch", "8", "--optim.lr", "0.01", "--run.workers", "2"]
    run = ["--run.micro-tokens", "100", "--run.validate-every", "10", "--run.log-every", "5", "--task.masked", "0.2"]
    files = ["--train", str(folder / "train.jsonl"), "--valid", str(folder / "valid.jsonl")]
    return [str(Path(__file__).with_name("train_tiny.py")), *files, *optim, *run]


@pytest.fixture(scope="module")
def trained(
    start_job: Callable[..., Job], training_options: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Output of the same training with two workers on this machine."""
    output = tmp_path_factory.mktemp("trained") / "output"
    finished = start_job(*training_options, "--output", output, variables={"PYTHONPATH": str(ROOT)}).finish()
    assert finished.code == 0, finished.err
    return output


@HOW
def test_training(how: str, hosts: Hosts, trained: Path, training_options: list[str], tmp_path: Path) -> None:
    output = tmp_path / "output"
    slow = ["--task.seconds", "0.2", "--address", hosts.address]
    job = hosts.start(0, *training_options, "--output", output, *slow)

    def steps() -> list[int]:
        file = output / "metrics.jsonl"
        lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []
        return [line["step"] for line in lines if "loss" in line]

    job.wait_until(lambda: len(steps()) > 3)
    since, before = time.monotonic(), max(steps())
    disturb(hosts, how)
    job.wait_until(lambda: max(steps()) > before + 10)
    waited = time.monotonic() - since
    finished = job.finish()
    assert finished.code == 0, finished.err
    assert difference(output, trained) == 0
    print(f"training, {how}: ten steps further after {waited:.1f} s")


def report_of(output: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((output / "report.json").read_text("utf-8"))
    return {name: report[name] for name in ("rounds", "recall", "systems")}


@pytest.fixture(scope="module")
def mined(start_job: Callable[..., Job], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of the same round of RGIT on this machine."""
    output = tmp_path_factory.mktemp("mined") / "output"
    finished = start_job(ROOT / "jobs/rgit.py", *RGIT, "--output", output).finish()
    assert finished.code == 0, finished.err
    return output


RGIT = ("--config", "planted-small", "--rgit.rounds", "1")


@pytest.mark.parametrize("how", ["undisturbed", *HOWS])
def test_rgit(how: str, hosts: Hosts, mined: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    began = time.monotonic()
    job = hosts.start(0, ROOT / "jobs/rgit.py", *RGIT, "--output", output, "--address", hosts.address)
    job.wait_until(lambda: list(output.glob("steps/retriever-*/metrics.jsonl")))
    if how != "undisturbed":
        disturb(hosts, how)
    finished = job.finish()
    assert finished.code == 0, finished.err
    assert report_of(output) == report_of(mined)
    print(f"rgit, {how}: {time.monotonic() - began:.1f} s in all")
