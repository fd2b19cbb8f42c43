"""Runs `kpray serve` in a separate process, as a user does, and sends requests to it."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import httpx
import psutil

from tests.integration.jobs import Job

KEY, BOB = "alice-0123456789abcdef", "bob-0123456789abcdef"
METRICS_KEY = "metrics-0123456789abcdef"
PATIENCE = 180.0  # seconds; a busy machine is slow to start another process


class Server:
    """A running service.

    Args:
        job: process of `kpray serve`, started with the port.
        port: port of the service.
    """

    def __init__(self, job: Job, port: int) -> None:
        self.job, self.port = job, port
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)
        self.key = KEY

    def wait_until_ready(self) -> list[str]:
        """Wait until the service is ready. Returns the lines that it printed."""
        assert self.job.process.stderr
        lines: list[str] = []
        for line in self.job.process.stderr:
            lines.append(line.rstrip("\n"))
            if "ready at" in line:
                return lines
        raise AssertionError("\n".join(lines))

    def ask(self, texts: Sequence[str], **fields: Any) -> httpx.Response:
        body = {"documents": [{"text": text} for text in texts], **fields}
        return self.client.post("/v1/keyphrases", json=body, headers=self.headers())

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def metric(self, name: str, *labels: str) -> float:
        """Sum of the samples with this name and all labels (such as `outcome="ok"`), over all replicas."""
        page = self.client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_KEY}"}).text
        samples = [line.rpartition(" ") for line in page.splitlines() if line.startswith(f"{name}{{")]
        return sum(float(value) for text, _, value in samples if all(label in text for label in labels))

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """Processes of a deployment."""
        return self.job.workers(f"ServeReplica:kpray:{deployment}")

    def raw(self, request: bytes, seconds: float | None = None) -> bytes:
        """Send raw bytes, and return what the service sends until it closes the connection.

        Args:
            request: the bytes. The service may close the connection before it has read all of them.
            seconds: stop after this time without data; None: the service must close the connection.
        """
        answer = b""
        ends: tuple[type[OSError], ...] = (ConnectionError,)  # the service may close it before or after reading all
        if seconds is not None:
            ends = (ConnectionError, TimeoutError)
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection, suppress(*ends):
            connection.sendall(request)
            connection.settimeout(seconds or PATIENCE)
            while part := connection.recv(65536):
                answer += part
        return answer

    def memory(self) -> float:
        """Memory of the proxy, the ingress and the replicas, in MiB."""
        processes = [*self.job.workers("ServeReplica:"), *self.job.workers("ProxyActor")]
        assert len(processes) > 2
        return float(sum(process.memory_info().rss for process in processes)) / 2**20


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
