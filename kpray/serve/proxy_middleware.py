"""What stands before Ray Serve's own proxy, and keeps out what would steer it, break it, or be refused anyway.

The environment variable RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH of Serve's proxy names `middlewares`; `kpray serve`
and serve_config.yaml set it.
"""

from __future__ import annotations

import re
import time
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kpray.cluster.ray_compat import STEERING_HEADERS, is_answer_of_serve
from kpray.serve.errors import FULL, ApiError, overloaded, unavailable

PROXY_MIDDLEWARES = "kpray.serve.proxy_middleware:middlewares"
REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
KEYPHRASES = "/v1/keyphrases"
REFUSED = "x-kpray-refused"  #: header of a request: how many were refused here since the last one that has it

CLOSED_SECONDS = 0.1  #: for which requests are refused after one that found every queue full; Retry-After is longer
_NOT_OF_CLIENTS = STEERING_HEADERS | {REFUSED.encode()}


class PlainHeaders:
    """Takes the headers that only Ray would read out of a request, and a request id that is not harmless."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            scope = {**scope, "headers": [header for header in scope["headers"] if _is_plain(*header)]}
        await self._app(scope, receive, send)


class Refusals:
    """Refuses for a moment what would be refused behind it, where that is cheap; errors of Serve itself become ours.

    An answer that says that every queue is full closes the door for a moment: a request that comes then costs no other
    process anything, and its body is not read. What waits is more than the models do in that time.

    Args:
        app: what is behind it.
        seconds: for which the door stays closed.
    """

    def __init__(self, app: ASGIApp, seconds: float = CLOSED_SECONDS) -> None:
        self._app, self._seconds, self._closed_until, self._refused = app, seconds, 0.0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == KEYPHRASES and time.monotonic() < self._closed_until:
            self._refused += 1
            request_id = Headers(scope=scope).get("x-request-id") or uuid4().hex
            await _answer(overloaded(), request_id)(scope, receive, send)
            return
        if self._refused:
            scope = {**scope, "headers": [*scope["headers"], (REFUSED.encode(), str(self._refused).encode())]}
            self._refused = 0
        replaced = False

        async def send_ours(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if FULL in headers:
                    del headers[FULL]
                    self._closed_until = time.monotonic() + self._seconds
                error = _error_of_serve(message["status"], headers)
                if error is not None:
                    replaced = True
                    await _answer(error, headers.get("x-request-id", ""))(scope, receive, send)
            if not replaced:
                await send(message)

        await self._app(scope, receive, send_ours)


def _is_plain(name: bytes, value: bytes) -> bool:
    name = name.lower().replace(b"_", b"-")
    if name == b"x-request-id":
        return REQUEST_ID.fullmatch(value) is not None
    return name not in _NOT_OF_CLIENTS


def _error_of_serve(status: int, headers: Headers) -> ApiError | None:
    """What Serve's plain words mean: its queue is full, or the ingress died or is not there. Ours are JSON."""
    if not is_answer_of_serve(status, headers.get("content-type", "")):
        return None
    return overloaded() if "retry-after" in headers else unavailable()


def _answer(error: ApiError, request_id: str) -> Response:
    response = error.response(request_id)
    response.headers["X-Request-ID"] = request_id
    return response


def middlewares() -> list[Middleware]:
    """What Serve's proxy calls when it starts; the last one is the outermost."""
    return [Middleware(Refusals), Middleware(PlainHeaders)]
