"""Middleware of Ray Serve's proxy.

It limits requests, removes dangerous headers, refuses requests early when all queues are full, and sends a request
again if the ingress dies. Serve's proxy imports `middlewares`, the function that the environment variable
RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names. `kpray serve` and serve_config.yaml set the variable.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kpray.cluster.ray_compat import STEERING_HEADERS, is_serve_error, use_protocol
from kpray.serve.bounded_protocol import HEAD_BYTES
from kpray.serve.config import RequestLimits
from kpray.serve.errors import (
    FULL,
    ApiError,
    headers_too_large,
    overloaded,
    too_large,
    unavailable,
    url_too_long,
)

PROXY_MIDDLEWARES = "kpray.serve.proxy_middleware:middlewares"
REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
KEYPHRASES = "/v1/keyphrases"
BODY_VARIABLE = "KPRAY_BODY_BYTES"
"""Environment variable with the value of `limits.body_bytes`. The proxy has no other way to learn it."""

CLOSED_SECONDS = 0.1  #: how long requests are refused after all queues were full

_URL_BYTES = 2048
_HEADERS = 64  # per request
_ATTEMPTS = 2  # per request, if the ingress dies


class Bounds:
    """Refuses requests with a long URL, many or long headers, or a large body, before anything else looks at them.

    Serve's proxy reads the body of every request as fast as it arrives, also of those that the ingress will refuse.

    Args:
        app: the wrapped application.
        body_bytes: maximum size of a body.
    """

    def __init__(self, app: ASGIApp, body_bytes: int) -> None:
        self._app, self._body_bytes = app, body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal, size, started = self._refusal(scope), 0, False

        async def receive_bounded() -> Message:
            nonlocal refusal, size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._body_bytes:
                refusal = too_large(self._body_bytes)
                return {"type": "http.disconnect"}  # Serve then cancels the request
            return message

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        if refusal is None:
            await self._app(scope, receive_bounded, send_noted)
        if refusal is not None and not started:
            await _answer(refusal, _request_id(scope))(scope, receive, send)

    def _refusal(self, scope: Scope) -> ApiError | None:
        url = len(scope["raw_path"]) + len(scope["query_string"])
        if url > _URL_BYTES:
            return url_too_long(_URL_BYTES)
        headers = scope["headers"]
        if len(headers) > _HEADERS or url + sum(len(name) + len(value) for name, value in headers) > HEAD_BYTES:
            return headers_too_large(HEAD_BYTES)
        return too_large(self._body_bytes) if _length(scope) > self._body_bytes else None


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
            await _answer(overloaded(), _request_id(scope))(scope, receive, send)
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


class Repeats:
    """Sends a request again if its ingress dies before it has answered.

    Every request can be repeated, because predictions have no side effects. Serve answers nothing if the ingress dies,
    and waits for another one when the request is sent again.

    If the ingress dies before Serve knows that it has accepted the request, Serve itself gives the request to another
    one, but not the body that the first one has taken. The second one waits in vain and answers 408. Such an answer is
    discarded: the body is here. So is Serve's own 408, which says that no ingress has answered in time.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, twice if necessary."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received, reading = list[Message](), asyncio.Lock()
        done = False  # the response has started, or the client has disconnected
        lost = False  # Serve has lost the body, or has given up

        async def send_noted(message: Message) -> None:
            nonlocal done, lost
            if message["type"] == "http.response.start" and message["status"] == 408:
                lost = bool(received) and not received[-1].get("more_body", False)
            if lost:
                return
            done = True
            received.clear()
            await send(message)

        def from_the_beginning() -> Receive:
            count = 0

            async def receive_kept() -> Message:
                nonlocal count, done
                if count >= len(received):
                    async with reading:  # an attempt that has ended may still wait here, for a message of the next one
                        if count >= len(received):
                            message = await receive()
                            done = done or message["type"] == "http.disconnect"
                            if done:
                                return message
                            received.append(message)
                count += 1
                return received[count - 1]

            return receive_kept

        for _ in range(_ATTEMPTS):
            lost = False
            await self._app(dict(scope), from_the_beginning(), send_noted)
            if done:
                return
        await _answer(unavailable(), _request_id(scope))(scope, receive, send)


def _length(scope: Scope) -> int:
    """Length of the body according to its header; 0 if there is none."""
    text = Headers(scope=scope).get("content-length", "")
    return int(text[:20]) if text.isdecimal() else 0


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given.encode("latin-1")) else uuid4().hex


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
    """Prepare the proxy, which calls this before it listens. Returns its middlewares; the last one is the outermost."""
    use_protocol("kpray.serve.bounded_protocol:BoundedProtocol")
    # Uvicorn would believe the header X-Forwarded-For of every client on this machine. The ingress reads it instead,
    # with the setting `proxies`.
    os.environ["FORWARDED_ALLOW_IPS"] = ""
    body_bytes = int(os.environ.get(BODY_VARIABLE, RequestLimits().body_bytes))
    return [Middleware(Repeats), Middleware(Refusals), Middleware(PlainHeaders), Middleware(Bounds, body_bytes)]
