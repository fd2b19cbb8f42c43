"""A real Ray Serve, tested over HTTP."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from kpray.document import Document
from kpray.registry import open_predictor
from tests.integration.jobs import Job
from tests.integration.malformed import malformed
from tests.integration.serving import BOB, KEY, METRICS_KEY, PATIENCE, Server, free_port
from tests.ramkg.tiny_ramkg import save_ramkg
from tests.samrank.tiny_models import SENTENCES
from tests.unikeyphrase.tiny_model import make_task, save_backbone

pytestmark = pytest.mark.slow

DEADLINE = 10
BODY_BYTES = 10_000_000
MALFORMED = int(os.environ.get("KPRAY_TEST_MALFORMED", "300"))
SILENCE = 1.0  # seconds to wait for a response to an incomplete request
DOCUMENTS = 200  # with 45,000 characters each, too much work for any core before the deadline


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"alice:{KEY}\nbob:{BOB}\nmetrics:{METRICS_KEY}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, model_options: list[str]) -> dict[str, Path]:
    """Saved predictors: another SAMRank, and an untrained UniKeyphrase and RAMKG."""
    _, model, _, *heads = model_options
    mine, uni = tmp_path_factory.mktemp("mine"), tmp_path_factory.mktemp("uni")
    open_predictor("samrank", {"model": model, "heads": heads, "tagger": "textblob", "score": "global"}).save(mine)
    task = make_task(save_backbone(tmp_path_factory.mktemp("backbone")))
    task.save(task.build(), uni, {"outside_bias": 0.0})
    return {"mine": mine, "uni": uni, "multi": save_ramkg(tmp_path_factory.mktemp("multi"), steps=0)}


@pytest.fixture(scope="module")
def server(keys_file: Path, model_options: list[str], folders: dict[str, Path]) -> Iterator[Server]:
    port = free_port()
    models = ["--models", "samrank", *(f"{name}={folder}" for name, folder in folders.items())]
    options = ["--port", str(port), "--api-keys", str(keys_file), *model_options, "--samrank.tagger", "textblob"]
    limits = ["--limits.seconds", str(DEADLINE), "--limits.body-bytes", str(BODY_BYTES)]
    more = ["--limits.documents", str(DOCUMENTS), "--limits.tokens", "1000000", "--replicas.min-replicas", "2"]
    more += [*models, "--replicas.cpus", "0.2"]
    with Job("-m", "kpray", "serve", *options, *limits, *more) as job:
        started = Server(job, port)
        lines = started.wait_until_ready()
        assert lines[-1] == f"kpray: ready at http://127.0.0.1:{port}/"
        assert not any("warning" in line for line in lines)
        yield started
        started.client.close()
        job.process.send_signal(signal.SIGTERM)
        finished = job.finish()
        assert finished.code == 0, finished.err


def test_keyphrases_are_those_of_the_predictor(server: Server, model_options: list[str]) -> None:
    _, model, _, *heads = model_options
    predictor = open_predictor("samrank", {"model": model, "heads": heads, "tagger": "textblob"})
    expected = predictor.predict([Document(id="", body=text) for text in SENTENCES])
    answer = server.ask([*SENTENCES, ""])
    assert answer.status_code == 200, answer.text
    *results, empty = answer.json()["results"]
    assert [[phrase["text"] for phrase in result["keyphrases"]] for result in results] == [
        [phrase.text for phrase in phrases] for phrases in expected
    ]
    assert empty["error"]["code"] == "rejected"
    assert len(answer.headers.get_list("x-request-id")) == 1


def test_probes_page_and_documentation(server: Server) -> None:
    assert server.client.get("/healthz").json() == {"status": "ok"}
    assert server.client.get("/readyz").json() == {"status": "ready"}
    assert "<title>kpray" in server.client.get("/").text
    assert server.client.get("/docs").status_code == 200
    assert "/v1/keyphrases" in server.client.get("/openapi.json").json()["paths"]
    models = server.client.get("/v1/models", headers=server.headers()).json()
    kinds = {model["name"]: model["kind"] for model in models["models"]}
    assert kinds == {"samrank": "samrank", "mine": "samrank", "uni": "unikeyphrase", "multi": "ramkg"}


def test_every_port_is_on_loopback(server: Server) -> None:
    """Serve's replicas would listen on all addresses for requests that they unpickle without asking for a token."""
    ports = server.job.listening()
    assert all(address.is_loopback for addresses in ports.values() for address in addresses), ports
    replicas = [len(addresses) for name, addresses in ports.items() if "ServeReplica:" in name]
    assert set(replicas) == {1}  # that of each Ray worker


@pytest.mark.parametrize("name", ["mine", "uni", "multi"])
def test_models_of_folders(name: str, server: Server, folders: dict[str, Path]) -> None:
    expected = open_predictor(str(folders[name])).predict([Document(id="", body=text) for text in SENTENCES], top=5)
    answer = server.ask(SENTENCES, model=name, top=5).json()
    assert answer["model"] == name
    assert [
        [(phrase["text"], phrase["present"]) for phrase in result["keyphrases"]] for result in answer["results"]
    ] == [[(phrase.text, phrase.present) for phrase in phrases] for phrases in expected]


def test_wrong_requests(server: Server) -> None:
    def error(answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["error"]["code"]

    assert error(server.client.post("/v1/keyphrases", json={})) == (401, "no_key")
    assert error(server.ask(SENTENCES, top=0)) == (422, "invalid")
    assert error(server.ask(["a"] * (DOCUMENTS + 1))) == (422, "invalid")
    assert error(server.ask(SENTENCES, model="other")) == (422, "invalid")
    assert error(server.ask(["a" * BODY_BYTES])) == (413, "too_large")
    assert error(server.client.get("/nothing", headers=server.headers())) == (404, "not_found")
    deep = server.client.post(
        "/v1/keyphrases", content=b"[" * 100_000, headers={**server.headers(), "Content-Type": "application/json"}
    )
    assert error(deep) == (400, "bad_request")


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"X-Request-Timeout-Seconds: -1\r\nContent-Length: 0\r\n",
        b"X-Request-Timeout-Seconds: \xff\r\nContent-Length: 0\r\n",
        b"X-Request-Disconnect-Disabled: \xff\r\nContent-Length: 0\r\n",
        b"Serve-Multiplexed-Model-Id: other\r\nContent-Length: 0\r\n",
        b"Serve_Multiplexed_Model_Id: \xff\r\nContent-Length: 0\r\n",
        b"X-Session-Id: \xff\r\nContent-Length: 0\r\n",
        b"X-Request-ID: \xff\xfe\r\nContent-Length: 0\r\n",
        b"X-Request-ID: " + b"i" * 5000 + b"\r\nContent-Length: 0\r\n",
        b"X-" + b"h" * 100_000 + b": 1\r\nContent-Length: 0\r\n",
        b"Content-Encoding: gzip\r\nContent-Length: 0\r\n",
    ],
)
def test_malicious_headers(headers: bytes, server: Server) -> None:
    authorization = f"Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\nConnection: close\r\n".encode()
    answer = server.raw(b"POST /v1/keyphrases HTTP/1.1\r\nHost: localhost\r\n" + authorization + headers + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 4") or answer == b""
    assert server.client.get("/healthz").status_code == 200


def test_requests_are_limited_before_the_key(server: Server) -> None:
    """Serve's proxy uses kpray's protocol and middleware, and the ingress sees the address of the connection."""
    get = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    assert server.raw(get + b"X-A: b\r\n" * 70 + b"\r\n").startswith(b"HTTP/1.1 431 ")
    assert server.raw(b"GET /" + b"u" * 3000 + get[14:] + b"\r\n").startswith(b"HTTP/1.1 414 ")
    endless = server.raw(get + b"X-A: " + b"x" * 2**25)
    assert endless == b"" or endless.startswith(b"HTTP/1.1 431 ")
    assert server.raw(get.replace(b"localhost", b"rebound.example") + b"\r\n").startswith(b"HTTP/1.1 421 ")
    chunks = (b"x" * 2**20 for _ in range(BODY_BYTES // 2**20 + 2))
    with suppress(httpx.TransportError):  # the service may close the connection before it has read all
        assert server.client.post("/v1/keyphrases", content=chunks).status_code in (401, 413)
    started = time.monotonic()
    assert server.raw(get) == b""  # the headers do not end
    assert time.monotonic() - started < PATIENCE / 2


def test_malformed_requests(server: Server) -> None:
    kinds: set[str] = set()

    def ask(seed: int) -> None:
        request = malformed(seed, KEY, BODY_BYTES)
        kinds.add(request.kind)
        answer = server.raw(request.sent, None if request.whole else SILENCE)
        answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        start, _, body = answer.partition(b"\r\n\r\n")
        status = int(start.split()[1]) if start else 0
        assert status < 500 or json.loads(body)["error"]["code"] in ("overloaded", "unavailable"), (seed, request.kind)
        assert answer or request.kind != "wrong types", seed

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(ask, range(MALFORMED // 4)))
        before = server.memory()
        list(threads.map(ask, range(MALFORMED // 4, MALFORMED)))
    print(f"{MALFORMED} malformed requests: {before:.0f} MiB after a quarter, {server.memory():.0f} MiB after all")
    assert len(kinds) == 11
    assert server.memory() < 1.1 * before
    assert server.ask(SENTENCES).status_code == 200


def test_clients_see_only_their_documents(server: Server) -> None:
    def ask(number: int) -> None:
        word, other = ("wombat", "numbat") if number % 2 else ("numbat", "wombat")
        key = BOB if number % 2 else KEY
        documents = [{"id": f"{word}-{number}", "text": f"The {word} network {number} describes graphs."}] * 3
        headers = {"Authorization": f"Bearer {key}"}
        answer = server.client.post("/v1/keyphrases", json={"documents": documents, "explain": True}, headers=headers)
        assert answer.status_code == 200
        assert [result["id"] for result in answer.json()["results"]] == [f"{word}-{number}"] * 3
        assert other not in answer.text
        assert f"{word} network" in answer.text
        assert server.client.get("/metrics", headers=headers).status_code == 403

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, range(32)))


def test_slow_body(server: Server) -> None:
    head = f"POST /v1/keyphrases HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    answer = server.raw(f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{".encode())
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"slow_body"' in answer


def test_deadline_cancels_the_work(server: Server) -> None:
    long = " ".join(f"{sentence} Number {number}." for number in range(100) for sentence in SENTENCES)[:45_000]
    answer = server.ask([long] * DOCUMENTS)
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline"
    before = server.metric("kpray_documents_total", 'outcome="ok"')
    while server.metric("kpray_queue_documents"):
        time.sleep(0.1)
    assert server.ask(SENTENCES).status_code == 200
    # Only the batch that the model worked on at the deadline was finished.
    assert server.metric("kpray_documents_total", 'outcome="ok"') - before < DOCUMENTS


def test_metrics_of_all_replicas(server: Server) -> None:
    before = server.metric("kpray_documents_total", 'outcome="ok"')
    requests = server.metric("kpray_requests_total", 'route="/v1/keyphrases"', 'status="200"')
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: server.ask(SENTENCES[:3]), range(24)))
    assert {answer.status_code for answer in answers} == {200}
    assert server.metric("kpray_documents_total", 'outcome="ok"') - before == 72
    assert server.metric("kpray_requests_total", 'route="/v1/keyphrases"', 'status="200"') - requests == 24
    assert server.metric("kpray_batch_documents_count") > 0


def test_keys_are_rotated_without_a_restart(server: Server, keys_file: Path) -> None:
    original = keys_file.read_text(encoding="utf-8")
    assert server.ask(SENTENCES).status_code == 200
    try:
        keys_file.write_text(f"alice:{KEY}-new\nmetrics:{METRICS_KEY}\n", encoding="utf-8")
        server.key = f"{KEY}-new"
        end = time.monotonic() + PATIENCE
        while server.ask(SENTENCES).status_code == 401:
            assert time.monotonic() < end
            time.sleep(0.2)
        server.key = KEY
        assert server.ask(SENTENCES).status_code == 401
    finally:
        keys_file.write_text(original, encoding="utf-8")
        server.key = KEY
        while server.ask(SENTENCES).status_code == 401:
            time.sleep(0.2)


@pytest.mark.parametrize("deployment", ["samrank", "ingress"])
def test_no_request_fails_when_a_replica_is_killed(deployment: str, server: Server) -> None:
    stop, answers = threading.Event(), list[httpx.Response]()

    def ask_on() -> None:
        while not stop.is_set():
            answers.append(server.ask(SENTENCES * 4))

    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(ask_on)
        while len(answers) < 10:
            time.sleep(0.05)
        killed = server.replicas(deployment)[0]
        os.kill(killed.pid, signal.SIGKILL)
        seen = len(answers)
        while len(answers) < seen + 40:
            time.sleep(0.05)
        stop.set()
    failed = [answer for answer in answers if answer.status_code != 200]
    # There is only one ingress. A busy machine may need longer than the deadline to start another one.
    assert [answer.text for answer in failed if answer.elapsed.total_seconds() < DEADLINE] == []
    assert {answer.json()["error"]["code"] for answer in failed} <= {"unavailable"}


def test_no_text_and_no_key_is_in_any_log(server: Server) -> None:
    secret = "confidentialwombat"
    assert server.ask([f"The {secret} network."]).status_code == 200
    server.ask([f"The {secret} network."], **{secret: 1})
    server.client.get(f"/{secret}?text={secret}", headers=server.headers())
    logs = [path for path in Path(server.job.folder).rglob("*") if path.is_file() and "logs" in path.parts]
    written = {path.name: path.read_bytes() for path in logs if path.stat().st_size < 2**26}
    assert any(b"POST /v1/keyphrases 200" in text for text in written.values())
    for word in (secret, KEY, METRICS_KEY):
        assert [name for name, text in written.items() if word.encode() in text] == []
