"""The middleware of Serve's proxy removes headers, refuses requests early, and replaces errors of Serve."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from kpray.serve.errors import overloaded
from kpray.serve.proxy_middleware import KEYPHRASES, PROXY_MIDDLEWARES, PlainHeaders, Refusals, middlewares
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
