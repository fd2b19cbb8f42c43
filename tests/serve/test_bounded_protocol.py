"""What a client can hold at a real server before its request is answered. No key is involved."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from kpray.serve import bounded_protocol
from kpray.serve.bounded_protocol import HEAD_BYTES, BoundedProtocol
from tests.serve.service import serving

PATIENCE = 30.0  # seconds
SOON = 0.6  # HEAD_SECONDS in these tests
MEBIBYTE = b"x" * 2**20


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the size of the body; /refused answers before it reads the body, and /large with much."""
    size, more = 0, scope["path"] == "/read"
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    body = MEBIBYTE * 64 if scope["path"] == "/large" else str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(bounded_protocol, "HEAD_SECONDS", SOON)
    with serving(application, http=BoundedProtocol, timeout_keep_alive=2 * PATIENCE) as url:
        yield address_of(url)


def send_all(connection: socket.socket, part: bytes, times: int) -> tuple[int, bytes]:
    """Send a part many times, until the server closes the connection. Returns how much it took, and its answer."""
    taken, answer = 0, b""
    with suppress(ConnectionError):
        for _ in range(times):
            connection.sendall(part)
            taken += len(part)
    with suppress(ConnectionError):
        while received := connection.recv(65536):
            answer += received
    return taken, answer


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (b"GET /", MEBIBYTE),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ", MEBIBYTE),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-", MEBIBYTE),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X-A: b\r\n" * 100_000),
        (b"POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n" * 100_000),
        (b"POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", MEBIBYTE),
    ],
    ids=["url", "header", "name", "headers", "trailers", "extension"],
)
def test_endless_heads_are_cut_off(start: bytes, part: bytes, address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        connection.sendall(start)
        taken, answer = send_all(connection, part, 100)
    assert taken < 16 * 2**20  # buffers of the kernel
    assert answer == b"" or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"])
@pytest.mark.parametrize("part", [b"", b"X-A: b\r\n", b"\r\n"])
def test_slow_heads_are_cut_off(before: bytes, part: bytes, address: tuple[str, int]) -> None:
    """A client that sends a header each 50 ms, on a new connection or on one with an answered request."""
    with socket.create_connection(address, timeout=PATIENCE) as connection, suppress(ConnectionError):
        if before:
            connection.sendall(before)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        started = time.monotonic()
        connection.sendall(b"\r\n" if part == b"\r\n" else b"GET / HTTP/1.1\r\n")
        connection.settimeout(0.05)
        while time.monotonic() < started + PATIENCE:
            with suppress(TimeoutError):
                if not connection.recv(65536):
                    break
            connection.sendall(part)
    assert SOON / 2 < time.monotonic() - started < PATIENCE


def test_silent_connections_are_cut_off(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        assert connection.recv(1) == b""


def test_the_rest_of_a_refused_body_is_not_read_forever(address: tuple[str, int]) -> None:
    started = time.monotonic()
    with socket.create_connection(address, timeout=PATIENCE) as connection, suppress(ConnectionError):
        connection.sendall(b"POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        while time.monotonic() < started + PATIENCE:
            connection.sendall(b"x")
            time.sleep(0.02)
    assert time.monotonic() - started < PATIENCE


def test_ordinary_requests_are_unaffected(address: tuple[str, int]) -> None:
    with httpx.Client(base_url="http://{}:{}".format(*address), timeout=PATIENCE) as client:
        for _ in range(3):
            time.sleep(SOON / 2)  # longer in all than a head may take
            assert client.post("/read", content=MEBIBYTE * 3).text == str(3 * 2**20)
            assert client.post("/read", content=iter([b"a", MEBIBYTE])).text == str(2**20 + 1)
            assert client.get("/", headers={"X-A": "b" * (HEAD_BYTES - 1000)}).status_code == 200
            assert len(client.get("/large").content) == 64 * 2**20
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x", "Host": "a"}
        assert client.get("/", headers=upgrade).status_code == 200  # an ordinary request, and no WebSocket


def test_too_many_connections_are_closed(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_protocol, "HEAD_SECONDS", PATIENCE)
    monkeypatch.setattr(bounded_protocol, "CONNECTIONS", 5)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(socket.create_connection(address, timeout=PATIENCE))
        time.sleep(0.2)
        with socket.create_connection(address, timeout=PATIENCE) as one_more, suppress(ConnectionError):
            one_more.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert one_more.recv(1) == b""
    time.sleep(0.2)
    assert httpx.get("http://{}:{}/".format(*address), timeout=PATIENCE).status_code == 200


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux closes connections of such clients")
def test_a_client_that_does_not_read_is_cut_off(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_protocol, "UNREAD_SECONDS", 1)
    received = 0
    with socket.create_connection(address, timeout=PATIENCE) as connection, suppress(ConnectionError):
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(5)
        connection.sendall(b"x")  # the kernel only answers that the connection is gone
        while part := connection.recv(2**20):
            received += len(part)
    assert received < 64 * 2**20


def test_uvicorn_alone_has_no_such_limit() -> None:
    """If this fails, uvicorn has got a limit, and a part of `BoundedProtocol` may be superfluous."""
    with serving(application) as url, socket.create_connection(address_of(url), timeout=PATIENCE) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-A: ")
        connection.sendall(MEBIBYTE * 20 + b"\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
