"""A service in a process of its own, and users who ask it: locust, over loopback."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from kpray.document import Document
from kpray.errors import UserError
from kpray.serve.proxy_middleware import KEYPHRASES

_STOP_SECONDS = 300.0
_NOTHING = (0, float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class Answers:
    """What users saw.

    Attributes:
        seconds: for how long they asked.
        statuses: of HTTP -> how many, and the 50th, 95th and 99th percentile of their waiting times in milliseconds.
    """

    seconds: float
    statuses: dict[str, tuple[int, float, float, float]]

    @property
    def rate(self) -> float:
        """Requests/s that were answered with keyphrases."""
        return self.of("200")[0] / self.seconds

    def of(self, status: str) -> tuple[int, float, float, float]:
        """Count and percentiles of a status."""
        return self.statuses.get(status, _NOTHING)

    @property
    def failed(self) -> int:
        """How many were neither answered nor refused for the time being."""
        return sum(count for status, (count, *_) in self.statuses.items() if status not in ("200", "503"))


@dataclass(frozen=True, slots=True)
class Service:
    """A `kpray serve` that runs.

    Attributes:
        address: where.
        process: its process, whose children Ray's are.
        folder: for what the load needs and leaves.
    """

    address: str
    process: subprocess.Popen[str]
    folder: Path

    def memory(self) -> float:
        """MiB of its processes, what they share counted once for each."""
        import psutil

        processes = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return float(sum(one.memory_info().rss for one in processes)) / 2**20

    def counts(self) -> tuple[int, dict[str, float]]:
        """Replicas with a model that answer, and the requests for keyphrases since the start by status."""
        with urlopen(f"{self.address}/metrics") as page:
            samples = [
                sample
                for metric in text_string_to_metric_families(page.read().decode())
                for sample in metric.samples
                if sample.name in ("kpray_queue_documents", "kpray_requests_total")
            ]
        replicas = {sample.labels["replica"] for sample in samples if sample.name == "kpray_queue_documents"}
        statuses: dict[str, float] = {}
        for sample in samples:
            if sample.labels.get("route") == KEYPHRASES:
                status = sample.labels["status"]
                statuses[status] = statuses.get(status, 0.0) + sample.value
        return len(replicas), statuses


@contextmanager
def start_service(options: dict[str, Any], folder: Path) -> Iterator[Service]:
    """A service with these options of `kpray serve`.

    Raises:
        UserError: it does not start.
    """
    config = folder / "serve.yaml"
    config.write_text(json.dumps(options), encoding="utf-8")  # YAML too
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "kpray", "serve", "--port", str(port), "--config", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        line = "it said nothing"
        for line in process.stderr:
            if "ready at" in line:
                break
        else:
            raise UserError(f"the service did not start: {line.strip()}")
        yield Service(f"http://127.0.0.1:{port}", process, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=_STOP_SECONDS)


def write_requests(documents: Sequence[Document], each: int, file: Path) -> None:
    """Write one request body a line, each with `each` documents. After the last document comes the first again."""
    texts = [{"text": document.text} for document in documents]
    starts = range(0, len(texts), each)
    bodies = ([texts[(start + place) % len(texts)] for place in range(each)] for start in starts)
    file.write_text("".join(json.dumps({"documents": body}) + "\n" for body in bodies), encoding="utf-8")


def ask(
    service: Service,
    requests: Path,
    locustfile: Path,
    *,
    users: int,
    seconds: int,
    rate: float | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Answers:
    """Let users ask; the first seconds, in which they arrive, are left out.

    Args:
        service: whom.
        requests: from `write_requests`.
        locustfile: what locust runs.
        users: how many at the same time.
        seconds: for how long.
        rate: requests/s of all of them; None: each asks again as soon as it is answered.
        meanwhile: called again and again until they are done.

    Raises:
        UserError: locust is not installed, or fails.
    """
    if importlib.util.find_spec("locust") is None:
        raise UserError("locust is not installed", fix="pip install 'kpray[dev]'")
    prefix = service.folder / f"load-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--host", service.address]
    command += ["--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds}s", "--reset-stats"]
    command += ["--csv", str(prefix)]
    variables = {**os.environ, "KPRAY_LOAD": str(requests)}
    if rate is not None:
        variables["KPRAY_LOAD_PER_USER"] = str(rate / users)
    with prefix.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
        while process.poll() is None:
            meanwhile()
            time.sleep(0.1)
    table = Path(f"{prefix}_stats.csv")
    if not table.exists():
        raise UserError(f"locust failed: {(prefix.read_text('utf-8').splitlines() or ['it said nothing'])[-1]}")
    with table.open(encoding="utf-8", newline="") as file:
        rows = {row["Name"]: row for row in csv.DictReader(file) if row["Name"] != "Aggregated"}
    return Answers(
        seconds,
        {
            status: (int(row["Request Count"]), float(row["50%"]), float(row["95%"]), float(row["99%"]))
            for status, row in rows.items()
        },
    )
