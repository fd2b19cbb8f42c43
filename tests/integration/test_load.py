"""The users of the benchmark, on a service in this process."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serve_load import Answers, Service, ask, write_requests
from kpray.document import Document
from kpray.serve.errors import overloaded
from tests.samrank.tiny_models import SENTENCES
from tests.serve.service import Service as InThisProcess
from tests.serve.service import StartService, serving

LOCUSTFILE = Path(__file__).parents[2] / "benchmarks" / "locustfile.py"


@pytest.fixture
def here(start_service: StartService) -> InThisProcess:
    return start_service()


@pytest.fixture
def service(here: InThisProcess, tmp_path: Path) -> Iterator[Service]:
    with serving(here.app) as url, subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, text=True) as process:
        yield Service(url.rstrip("/"), process, tmp_path)
        process.communicate("\n")


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    write_requests([Document(str(index), text) for index, text in enumerate(SENTENCES)], 2, path)
    return path


def test_requests_have_all_documents(requests: Path) -> None:
    bodies: list[dict[str, Any]] = [json.loads(line) for line in requests.read_text("utf-8").splitlines()]
    texts = [[document["text"] for document in body["documents"]] for body in bodies]
    assert {len(request) for request in texts} == {2}
    assert len(texts) == math.ceil(len(SENTENCES) / 2)
    assert {text for request in texts for text in request} == set(SENTENCES)


def test_what_users_see_is_counted(service: Service, requests: Path, here: InThisProcess) -> None:
    looks = []
    answers = ask(service, requests, LOCUSTFILE, users=2, seconds=6, meanwhile=lambda: looks.append(1))
    count, p50, p95, p99 = answers.of("200")
    assert count > 0
    assert 0 < p50 <= p95 <= p99
    assert answers.rate == count / 6
    assert answers.failed == 0
    assert looks
    replicas, statuses = service.counts()
    assert replicas == 1
    assert statuses["200"] >= count
    assert service.memory() > 0

    here.backend.failure = overloaded()
    refused = ask(service, requests, LOCUSTFILE, users=4, seconds=8, rate=4.0)
    assert refused.rate == 0
    assert 0 < refused.of("503")[0] <= 4 * 8 + 4  # a user's first request may come at once


def test_other_statuses_are_failures() -> None:
    answers = Answers(
        2.0, {"200": (6, 1.0, 1.0, 1.0), "503": (3, 1.0, 1.0, 1.0), "500": (2, 1.0, 1.0, 1.0), "0": (1, 1.0, 1.0, 1.0)}
    )
    assert answers.failed == 3
    assert answers.rate == 3.0
