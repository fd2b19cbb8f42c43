"""What serving costs: documents/s and waiting times at rising load, beside the same predictor without a service."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kpray.document import Document
from kpray.errors import UserError
from kpray.registry import open_predictor

Row = dict[str, str | float | None]

_AT_ONCE = 64  # documents that the batch path predicts together
_START_SECONDS = 300.0
_OVERLOAD = 5  # times the requests that a service takes at a time


@dataclass(frozen=True, slots=True)
class Load:
    """What a number of users saw.

    Attributes:
        users: that asked at the same time, each for one document after the other.
        seconds: for how long.
        answers: by status: how many, and the 50th, 95th and 99th percentile of their waiting times in milliseconds.
    """

    users: int
    seconds: float
    answers: dict[str, tuple[int, float, float, float]]

    @property
    def rate(self) -> float:
        """Documents/s that were answered with keyphrases."""
        return self.answers.get("200", (0, 0.0, 0.0, 0.0))[0] / self.seconds

    def row(self, title: str, floor: float) -> Row:
        """Of the table."""
        nothing = (0, float("nan"), float("nan"), float("nan"))
        _, p50, p95, p99 = self.answers.get("200", nothing)
        refused, _, _, slowest = self.answers.get("503", nothing)
        others = sum(count for status, (count, *_) in self.answers.items() if status not in ("200", "503"))
        return {
            "contestant": f"{title}, {self.users} user{'s' * (self.users > 1)}",
            "documents/s": self.rate,
            "of the batch path": self.rate / floor,
            "p50 ms": p50,
            "p95 ms": p95,
            "p99 ms": p99,
            "refused/s": refused / self.seconds,
            "p99 ms of refusals": slowest,
            "failed": others,
        }


def benchmark(
    config: dict[str, Any], documents: Sequence[Document], users: Sequence[int], seconds: int, locustfile: Path
) -> list[Row]:
    """Measure by the clock: the batch path, the service with and without batches, and under five times its load.

    Args:
        config: of SAMRank.
        documents: that are asked for.
        users: numbers of users, rising.
        seconds: of each measurement.
        locustfile: what locust runs.

    Raises:
        UserError: the service does not start, or locust is not installed.
    """
    predictor = open_predictor("samrank", config)
    predictor.predict(documents[:2])
    began, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        predictor.predict(documents[:_AT_ONCE])
        done += len(documents[:_AT_ONCE])
    floor = done / passed
    del predictor
    rows: list[Row] = [{"contestant": "batch path, one process", "documents/s": floor, "of the batch path": 1.0}]
    with tempfile.TemporaryDirectory() as scratch:
        texts = Path(scratch) / "texts.jsonl"
        texts.write_text("".join(json.dumps({"text": one.text}) + "\n" for one in documents), encoding="utf-8")
        served: dict[str, Any] = {"samrank": config, "replicas": {"max_replicas": 1}}
        with _service({**served, "batch": {"documents": 1}}, Path(scratch)) as (address, _):
            rows.append(_load(locustfile, address, texts, users[-1], seconds).row("without batches", floor))
        with _service(served, Path(scratch)) as (address, process):
            rows += [_load(locustfile, address, texts, number, seconds).row("served", floor) for number in users]
            memory = [_memory(process)]
            # As many users as ask for five times what a replica and its queue hold.
            rows.append(_load(locustfile, address, texts, _OVERLOAD * 128, seconds).row("overload", floor))
            memory.append(_memory(process))
            rows.append(_load(locustfile, address, texts, _OVERLOAD * 128, seconds).row("overload", floor))
            memory.append(_memory(process))
            after = _load(locustfile, address, texts, users[0], seconds).row("after it", floor)
            rows.append({**after, "MiB before, in, after overload": " ".join(f"{size:.0f}" for size in memory)})
    return rows


@contextmanager
def _service(served: dict[str, Any], scratch: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Address and process of a `kpray serve` with this configuration."""
    config = scratch / "serve.yaml"
    config.write_text(json.dumps(served), encoding="utf-8")  # YAML too
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "kpray.cli", "serve", "--port", str(port), "--config", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line.strip())
            if "ready at" in line:
                break
        else:
            raise UserError(f"the service did not start: {lines[-1] if lines else 'it said nothing'}")
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=_START_SECONDS)


def _load(locustfile: Path, address: str, texts: Path, users: int, seconds: int) -> Load:
    """Run locust; the first seconds, in which users arrive, are left out."""
    import importlib.util

    if importlib.util.find_spec("locust") is None:
        raise UserError("locust is not installed", fix="pip install 'kpray[dev]'")
    prefix = texts.with_name(f"load-{users}-{time.monotonic_ns()}")
    locustfile = Path(__file__).parents[3] / "jobs" / "locustfile.py"
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(locustfile),
        "--headless",
        "--host",
        address,
        "--csv",
        str(prefix),
    ]
    command += ["--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds}s", "--reset-stats"]
    environment = {**os.environ, "KPRAY_LOAD": str(texts)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    table = Path(f"{prefix}_stats.csv")
    if not table.exists():
        raise UserError(f"locust failed: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    with table.open(encoding="utf-8", newline="") as file:
        rows = {row["Name"]: row for row in csv.DictReader(file) if row["Name"] != "Aggregated"}
    answers = {
        name: (int(row["Request Count"]), float(row["50%"]), float(row["95%"]), float(row["99%"]))
        for name, row in rows.items()
    }
    return Load(users, seconds, answers)


def _memory(process: subprocess.Popen[str]) -> float:
    """MiB of the processes of a service, what they share counted once for each."""
    import psutil

    processes = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return float(sum(one.memory_info().rss for one in processes)) / 2**20
