"""Middleware of Ray Serve's proxy. It removes dangerous headers, and refuses requests early when all queues are full.

Serve's proxy imports `middlewares`, the function that the environment variable
RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names. `kpray serve` and serve_config.yaml set the variable.
"""

from __future__ import annotations

import re
import time
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kpray.cluster.ray_compat import STEERING_HEADERS, is_serve_error
from kpray.serve.errors import FULL, ApiError, overloaded, unavailable

PROXY_MIDDLEWARES = "kpray.serve.proxy_middleware:middlewares"
REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
KEYPHRASES = "/v1/keyphrases"

CLOSED_SECONDS = 0.1  #: how long requests are refused after all queues were full


class PlainHeaders:
    """Removes request headers that control Serve's proxy, and request ids with unsafe characters."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on without these headers."""
        if scope["type"] == "http":
            scope = {**scope, "headers": [header for header in scope["headers"] if _is_plain(*header)]}
        await self._app(scope, receive, send)


class Refusals:
    """Refuses requests for a moment after all queues were full, and turns errors of Serve into errors of kpray.

    A request that is refused here causes no work in other processes. Its body is not read, and it appears in no metric
    and no log. The models stay busy meanwhile, because the queues hold more work than they process in that time.

    Args:
        app: the wrapped application.
        seconds: how long requests are refused.
    """

    def __init__(self, app: ASGIApp, seconds: float = CLOSED_SECONDS) -> None:
        self._app, self._seconds, self._closed_until = app, seconds, 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == KEYPHRASES and time.monotonic() < self._closed_until:
            request_id = Headers(scope=scope).get("x-request-id") or uuid4().hex
            await _answer(overloaded(), request_id)(scope, receive, send)
            return
        replaced = False

        async def send_replaced(message: Message) -> None:
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

        await self._app(scope, receive, send_replaced)


def _is_plain(name: bytes, value: bytes) -> bool:
    name = name.lower().replace(b"_", b"-")
    if name == b"x-request-id":
        return REQUEST_ID.fullmatch(value) is not None
    return name not in STEERING_HEADERS


def _error_of_serve(status: int, headers: Headers) -> ApiError | None:
    """The error of kpray (JSON) that replaces an error of Serve (plain text); None if it is not an error of Serve."""
    if not is_serve_error(status, headers.get("content-type", "")):
        return None
    return overloaded() if "retry-after" in headers else unavailable()


def _answer(error: ApiError, request_id: str) -> Response:
    response = error.response(request_id)
    response.headers["X-Request-ID"] = request_id
    return response


def middlewares() -> list[Middleware]:
    """The middlewares of Serve's proxy, which calls this at its start. The last one is the outermost."""
    return [Middleware(Refusals), Middleware(PlainHeaders)]
