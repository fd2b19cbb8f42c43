"""Measure what ordinary users of `kpray serve` notice of hostile connections.

    python tests/integration/hostile_load.py records.jsonl 60

The arguments are a file of documents and the seconds of each measurement. 20 users send requests, first alone and then
beside 200 idle connections, 100 that send their headers slowly and 100 that send headers of 1 MB. A hostile connection
that the service closes is opened again. The script prints latencies, failures and memory. No test runs it, because it
takes long and needs a quiet machine.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

# ruff: noqa: E402
from benchmarks.serve_load import Answers, Service, ask, start_service, write_requests
from kpray.corpus.records import Reject, read_records

USERS = 20
IDLE, SLOW, LARGE = 200, 100, 100  # connections
HEAD = b"POST /v1/keyphrases HTTP/1.1\r\nHost: localhost\r\nX-Header: "
PAUSE_SECONDS = 0.5  # between two bytes of slow headers, and before a closed connection is opened again

Send = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def send_nothing(writer: asyncio.StreamWriter) -> None:
    """Send nothing."""


async def send_slowly(writer: asyncio.StreamWriter) -> None:
    """Send headers byte by byte."""
    writer.write(HEAD)
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(PAUSE_SECONDS)


async def send_much(writer: asyncio.StreamWriter) -> None:
    """Send a header of 1 MB."""
    writer.write(HEAD + b"a" * 1_000_000)
    await writer.drain()


async def attack(port: int, name: str, send: Send, opened: Counter[str]) -> None:
    """Open a connection, and open it again whenever it is closed."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            opened[name] += 1
            sending = asyncio.ensure_future(send(writer))
            with suppress(OSError):
                while await reader.read(65536):
                    pass
            sending.cancel()
            with suppress(OSError, asyncio.CancelledError):
                await sending
            writer.close()
        await asyncio.sleep(PAUSE_SECONDS)


async def attack_with_all(port: int, opened: Counter[str], end: threading.Event) -> None:
    """Run all hostile connections until `end` is set."""
    kinds: list[tuple[str, Send, int]] = [
        ("idle", send_nothing, IDLE),
        ("slow headers", send_slowly, SLOW),
        ("headers of 1 MB", send_much, LARGE),
    ]
    tasks = [asyncio.ensure_future(attack(port, name, send, opened)) for name, send, many in kinds for _ in range(many)]
    while not end.is_set():
        await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()


def main() -> None:
    documents = [one.document for one in read_records([sys.argv[1]]) if not isinstance(one, Reject)]
    seconds, opened, end = int(sys.argv[2]), Counter[str](), threading.Event()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        requests = folder / "requests.jsonl"
        write_requests(documents, 1, requests)
        with start_service({"models": ["samrank"]}, folder) as service:

            def measure(seconds: int) -> tuple[Answers, float]:
                memory = [service.memory()]

                def look() -> None:
                    memory.append(service.memory())

                locustfile = ROOT / "benchmarks/locustfile.py"
                return ask(service, requests, locustfile, users=USERS, seconds=seconds, meanwhile=look), max(memory)

            measure(min(10, seconds))  # the models get warm
            print(
                "| connections beside 20 users | requests/s | p50 ms | p95 ms | p99 ms | failed | largest memory, MiB |"
            )
            print("|---|---|---|---|---|---|---|")
            show("none", *measure(seconds))
            thread = threading.Thread(target=lambda: asyncio.run(attack_with_all(_port(service), opened, end)))
            thread.start()
            show(f"{IDLE} idle, {SLOW} with slow headers, {LARGE} with headers of 1 MB", *measure(seconds))
            end.set()
            thread.join()
    print("opened: " + ", ".join(f"{number:,} {kind}" for kind, number in opened.items()))


def show(label: str, answers: Answers, memory: float) -> None:
    """Print a row of the table."""
    times = " | ".join(f"{milliseconds:.0f}" for milliseconds in answers.of("200")[1:])
    failed = answers.failed + answers.of("503")[0]
    print(f"| {label} | {answers.rate:.1f} | {times} | {failed} | {memory:.0f} |")


def _port(service: Service) -> int:
    port = urlsplit(service.address).port
    assert port
    return port


if __name__ == "__main__":
    main()
