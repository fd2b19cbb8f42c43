"""The middleware of Serve's proxy limits requests, removes headers, refuses early, repeats, and replaces errors."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from kpray.serve.bounded_protocol import BoundedProtocol
from kpray.serve.config import RequestLimits
from kpray.serve.errors import overloaded
from kpray.serve.proxy_middleware import (
    BODY_VARIABLE,
    KEYPHRASES,
    PROXY_MIDDLEWARES,
    Bounds,
    PlainHeaders,
    Refusals,
    Repeats,
    middlewares,
)
from tests.serve.service import StartService


def headers_after(*headers: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    seen: list[tuple[bytes, bytes]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])

    asyncio.run(PlainHeaders(application)({"type": "http", "headers": list(headers)}, None, None))  # type: ignore[arg-type]
    return seen


@pytest.mark.parametrize(
    "header",
    [
        (b"x-request-id", b"\xff\xfe"),
        (b"x-request-id", b"i" * 65),
        (b"x-request-id", b"two words"),
        (b"x-request-id", b""),
        (b"serve_multiplexed_model_id", b"other"),
        (b"Serve-Multiplexed-Model-Id", b"other"),
        (b"x-request-timeout-seconds", b"-1"),
        (b"x-request-disconnect-disabled", b"?1"),
        (b"x-session-id", b"\xff"),
    ],
)
def test_dangerous_header_is_removed(header: tuple[bytes, bytes]) -> None:
    assert headers_after((b"host", b"a"), header) == [(b"host", b"a")]


def test_other_headers_are_kept() -> None:
    kept = [(b"x-request-id", b"mine-1.2_3"), (b"authorization", b"Bearer x"), (b"x-other", b"\xff")]
    assert headers_after(*kept) == kept


def test_serve_can_import_the_middlewares() -> None:
    from ray._common.utils import import_attr

    assert import_attr(PROXY_MIDDLEWARES) is middlewares


def test_early_refusal_does_not_reach_the_application(start_service: StartService) -> None:
    async def chunks() -> Any:
        raise AssertionError("the body was read")
        yield b""

    service = start_service()
    service.app = Refusals(service.app, seconds=3600)
    assert service.keyphrases("Sparse networks.").status_code == 200
    service.backend.failure = overloaded(full=True)
    first = service.keyphrases("Sparse networks.")
    assert service.error(first, 503) == "overloaded"
    assert "x-kpray-full" not in first.headers
    service.backend.failure = None
    second = service.request("POST", KEYPHRASES, content=chunks(), headers={"X-Request-ID": "mine"})
    assert service.error(second, 503) == "overloaded"
    assert second.headers["x-request-id"] == "mine"
    assert second.headers["retry-after"] == "1"
    for path in ("/healthz", "/readyz", "/v1/models", "/"):
        assert service.request("GET", path).status_code == 200
    assert (
        service.metric('kpray_rejects_total{code="overloaded"') == 1
    )  # the second request did not reach the application
    assert service.metric(f'kpray_requests_total{{replica="ingress-1",route="{KEYPHRASES}",status="503"}}') == 1


def test_requests_pass_after_a_moment_or_if_a_queue_has_room(start_service: StartService) -> None:
    service = start_service()
    service.app = Refusals(service.app, seconds=0)
    for full in (True, False):
        service.backend.failure = overloaded(full=full)
        assert service.error(service.keyphrases("Sparse networks."), 503) == "overloaded"
        service.backend.failure = None
        assert service.keyphrases("Sparse networks.").status_code == 200
    service.app = Refusals(service.app, seconds=3600)
    service.backend.failure = overloaded()  # one model is overloaded; another one may have room
    assert service.error(service.keyphrases("Sparse networks."), 503) == "overloaded"
    service.backend.failure = None
    assert service.keyphrases("Sparse networks.").status_code == 200


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [(500, {}, "unavailable"), (503, {}, "unavailable"), (503, {"Retry-After": "1"}, "overloaded"), (404, {}, None)],
)
def test_errors_of_serve_are_replaced(status: int, headers: dict[str, str], code: str | None) -> None:
    async def ask() -> httpx.Response:
        error = PlainTextResponse("Request dropped due to backpressure", status, {"X-Request-ID": "its", **headers})
        transport = httpx.ASGITransport(Refusals(error))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.get("/")

    answer = asyncio.run(ask())
    if code is None:
        assert (answer.status_code, answer.text) == (status, "Request dropped due to backpressure")
        return
    assert answer.status_code == 503
    assert answer.headers["x-request-id"] == "its"
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["request_id"] == "its"


def ask(app: ASGIApp, path: str = "/", **options: Any) -> httpx.Response:
    async def request() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            return await client.post(path, **options)

    return asyncio.run(request())


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/" + "u" * 3000, {}, 414, "url_too_long"),
        ("/?" + "u" * 3000, {}, 414, "url_too_long"),
        ("/", {"X-A": "b" * 17_000}, 431, "headers_too_large"),
        ("/", {f"X-{number}": "b" for number in range(100)}, 431, "headers_too_large"),
        ("/", {"Content-Length": "1001"}, 413, "too_large"),
        ("/", {"Content-Length": "9" * 5000}, 413, "too_large"),
    ],
)
def test_large_requests_do_not_reach_serve(path: str, headers: dict[str, str], status: int, code: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("Serve was asked")

    answer = ask(Bounds(application, 1000), path, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"] == answer.json()["error"]["request_id"]


def test_a_body_without_a_length_is_read_up_to_the_limit() -> None:
    """Serve's proxy reads as fast as the body arrives, until the client disconnects, and keeps what it has read."""
    read = 0

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        nonlocal read
        while (message := await receive())["type"] != "http.disconnect":
            read += len(message["body"])

    async def chunks() -> Any:
        for _ in range(1000):
            yield b"x" * 100

    answer = ask(Bounds(serve, 1000), content=chunks())
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert read == 1000


class Dying:
    """Serve with an ingress that dies a number of times: then Serve answers nothing."""

    def __init__(self, times: int, *, reads: bool, starts: bool = False) -> None:
        self.left, self.reads, self.starts, self.bodies = times, reads, starts, list[bytes]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", self.reads or not self.left
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        if not self.left or self.starts:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if not self.left:
            await send({"type": "http.response.body", "body": body})
        self.left -= 1


@pytest.mark.parametrize("reads", [True, False])
def test_a_request_is_repeated_if_its_ingress_dies(reads: bool) -> None:
    async def chunks() -> Any:
        for number in range(5):
            yield str(number).encode()

    dying = Dying(1, reads=reads)
    answer = ask(Repeats(dying), content=chunks())
    assert (answer.status_code, answer.text) == (200, "01234")
    assert dying.bodies == [b"01234" if reads else b"", b"01234"]


def test_a_dead_ingress_that_still_waits_for_the_body_does_not_take_it() -> None:
    async def scenario() -> tuple[list[bytes], list[str]]:
        arriving: asyncio.Queue[Any] = asyncio.Queue()
        waiting: list[asyncio.Task[Any]] = []
        bodies: list[bytes] = []
        sent: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if not waiting:
                waiting.append(asyncio.create_task(receive()))
                await asyncio.sleep(0)  # it waits now
                arriving.put_nowait({"type": "http.request", "body": b"body", "more_body": False})
                return
            bodies.append((await receive())["body"])
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def send(message: Any) -> None:
            sent.append(message["type"])

        async with asyncio.timeout(5):
            await Repeats(app)({"type": "http", "headers": []}, arriving.get, send)
            await waiting[0]
        return bodies, sent

    assert asyncio.run(scenario()) == ([b"body"], ["http.response.start"])


@pytest.mark.parametrize(("whole", "statuses"), [(True, [200]), (False, [408])])
def test_an_answer_that_the_body_is_slow_is_discarded_if_it_has_arrived(whole: bool, statuses: list[int]) -> None:
    attempts: list[bytes] = []
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        attempts.append((await receive())["body"])
        status = 408 if len(attempts) == 1 else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive() -> Any:
        return {"type": "http.request", "body": b"body", "more_body": not whole}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            sent.append(message["status"])

    asyncio.run(Repeats(app)({"type": "http", "headers": []}, receive, send))
    assert sent == statuses
    assert attempts == [b"body"] * (2 if whole else 1)


def test_a_request_is_not_repeated_forever() -> None:
    dying = Dying(9, reads=True)
    answer = ask(Repeats(dying), content=b"body", headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["retry-after"]
    assert dying.bodies == [b"body"] * 2


def test_nothing_is_repeated_after_the_start_of_a_response_or_a_disconnection() -> None:
    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def disconnected(scope: Any, receive: Any, send: Any) -> None:
        asked.append(await receive())

    sent: list[str] = []
    asked: list[Any] = []
    scope = {"type": "http", "headers": []}
    asyncio.run(Repeats(disconnected)(scope, gone, send))
    assert (len(asked), sent) == (1, [])
    dying = Dying(9, reads=False, starts=True)
    asyncio.run(Repeats(dying)(scope, gone, send))
    assert (len(dying.bodies), sent) == (1, ["http.response.start"])


def test_the_proxy_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uvicorn uses kpray's protocol, and believes nobody's X-Forwarded-For."""
    import uvicorn.config

    monkeypatch.setitem(uvicorn.config.HTTP_PROTOCOLS, "auto", uvicorn.config.HTTP_PROTOCOLS["auto"])
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    monkeypatch.setenv(BODY_VARIABLE, "7")
    *_, outermost = middlewares()
    assert outermost.args == (7,)
    cls: Any = outermost.cls
    assert cls is Bounds
    config = uvicorn.Config(PlainTextResponse("ok"), log_config=None)
    config.load()
    assert config.http_protocol_class is BoundedProtocol
    proxied: Any = config.loaded_app
    assert "127.0.0.1" not in proxied.trusted_hosts
    monkeypatch.delenv(BODY_VARIABLE)
    assert middlewares()[-1].args == (RequestLimits().body_bytes,)
