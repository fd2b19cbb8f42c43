"""What serving costs: documents/s and waiting times at rising load, beside the same predictor without a service."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.serve_load import Answers, Service, ask, start_service, write_requests
from kpray.document import Document
from kpray.registry import open_predictor

Row = dict[str, str | float | None]

_AT_ONCE = 64  # documents that the batch path predicts together
_OVERLOAD = 5  # times the requests/s, and times the requests at a time, that a service can take
_TRACE_SECONDS = 10.0  # between two lines of a trace
_WARM_UP_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Load:
    """What the users ask.

    Attributes:
        documents: that they ask for, in turn.
        request_documents: documents of a request.
        users: numbers of users who ask at the same time, rising.
        seconds: for how long each of these numbers asks.
        locustfile: what locust runs.
    """

    documents: Sequence[Document]
    request_documents: int
    users: Sequence[int]
    seconds: int
    locustfile: Path


def benchmark(samrank: dict[str, Any], replicas: dict[str, Any], load: Load) -> list[Row]:
    """Measure by the clock: the batch path, the service with and without batches, and under overload.

    Args:
        samrank: configuration of SAMRank.
        replicas: configuration of the replicas.
        load: what is asked.

    Returns:
        A row for each load: users who ask again at once; then five times the requests/s that were answered at best,
        evenly spread, and five times the users that a replica and its queue hold.

    Raises:
        UserError: the service does not start, or locust is not installed.
    """
    floor = _batch_path(samrank, load)
    rows: list[Row] = [{"contestant": "batch path", "documents/s": floor, "of it": 1.0}]
    options: dict[str, Any] = {"samrank": samrank, "replicas": replicas}
    with tempfile.TemporaryDirectory() as scratch:
        requests = Path(scratch) / "requests.jsonl"
        write_requests(load.documents, load.request_documents, requests)

        def measure(service: Service, title: str, users: int, rate: float | None = None) -> float:
            answers = ask(service, requests, load.locustfile, users=users, seconds=load.seconds, rate=rate)
            documents = answers.rate * load.request_documents
            row: Row = {"contestant": title, "documents/s": documents, "of it": documents / floor}
            rows.append({**row, **_columns(answers), "MiB": round(service.memory())})
            return answers.rate

        with start_service({**options, "batch": {"documents": 1}}, Path(scratch)) as service:
            _warm_up(service, requests, load)
            measure(service, f"{load.users[-1]} unbatched", load.users[-1])
        with start_service(options, Path(scratch)) as service:
            _warm_up(service, requests, load)
            best = max(measure(service, f"{users} user{'s' * (users > 1)}", users) for users in load.users)
            many = _OVERLOAD * (replicas["max_ongoing_requests"] + replicas["max_queued_requests"])
            measure(service, f"{_OVERLOAD} x load", many, _OVERLOAD * best)
            measure(service, "after it", load.users[0])
            measure(service, f"{many} users", many)
            measure(service, "after it", load.users[0])
    return rows


def trace(samrank: dict[str, Any], replicas: dict[str, Any], load: Load) -> list[Row]:
    """What autoscaling does in a load step: a fifth of the time one user, two fifths the most, then one again.

    Args:
        samrank: configuration of SAMRank.
        replicas: configuration of the replicas.
        load: what is asked; `seconds` is the time of all three together.

    Raises:
        UserError: the service does not start, or locust is not installed.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        requests = Path(scratch) / "requests.jsonl"
        write_requests(load.documents, load.request_documents, requests)
        with start_service({"samrank": samrank, "replicas": replicas}, Path(scratch)) as service:
            began, (_, before) = time.monotonic(), service.counts()
            last = began

            def look(users: int) -> None:
                nonlocal last, before
                now = time.monotonic()
                if now - last < _TRACE_SECONDS:
                    return
                number, after = service.counts()
                new = {status: count - before.get(status, 0.0) for status, count in after.items()}
                rows.append(
                    {
                        "s": round(now - began),
                        "users": users,
                        "replicas": number,
                        "answered/s": new.get("200", 0.0) / (now - last),
                        "refused by the ingress/s": new.get("503", 0.0) / (now - last),
                        # 499: users who left when their time was over, in the midst of a request.
                        "failed": sum(count for status, count in new.items() if status not in ("200", "503", "499")),
                    }
                )
                last, before = now, after

            for users, fifths in ((1, 1), (load.users[-1], 2), (1, 2)):
                seconds = max(1, load.seconds * fifths // 5)
                meanwhile = partial(look, users)
                ask(service, requests, load.locustfile, users=users, seconds=seconds, meanwhile=meanwhile)
    return rows


def _batch_path(samrank: dict[str, Any], load: Load) -> float:
    """Documents/s of the predictor alone."""
    predictor, documents = open_predictor("samrank", samrank), load.documents[:_AT_ONCE]
    predictor.predict(documents[:2])
    began, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < load.seconds:
        predictor.predict(documents)
        done += len(documents)
    return done / passed


def _warm_up(service: Service, requests: Path, load: Load) -> None:
    ask(service, requests, load.locustfile, users=load.users[-1], seconds=_WARM_UP_SECONDS)


def _columns(answers: Answers) -> Row:
    _, p50, p95, p99 = (_whole(value) for value in answers.of("200"))
    refused, _, _, slowest = answers.of("503")
    waits: Row = {"p50 ms": p50, "p95": p95, "p99": p99}
    return {**waits, "503/s": _whole(refused / answers.seconds), "503 p99": _whole(slowest), "failed": answers.failed}


def _whole(value: float) -> float | None:
    return None if math.isnan(value) else round(value)
