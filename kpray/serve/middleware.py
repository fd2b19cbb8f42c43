"""The middleware of the ingress: API keys, request ids, deadlines, metrics, and a log line for each request."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kpray.serve.api_keys import API_KEYS_VARIABLE, METRICS_KEY, Keys, is_loopback
from kpray.serve.config import ServeConfig
from kpray.serve.errors import ApiError, internal, too_large
from kpray.serve.metrics import IngressMetrics
from kpray.serve.proxy_middleware import REQUEST_ID

NOTES = "kpray"  #: key of a request's `Notes` in its ASGI scope

_PUBLIC = frozenset({"/", "/healthz", "/readyz", "/docs", "/openapi.json"})  # paths that need no key
_PUBLIC_FILES = "/static-offline-docs/"  # scripts and styles of /docs
_METRICS = "/metrics"
_logger = logging.getLogger("ray.serve")


@dataclass(slots=True)
class Notes:
    """Data of a request, for the log and the rate limit.

    Attributes:
        request_id: the client's request id if it is harmless, otherwise a new one.
        key: name of the API key; empty: no key.
        client: address of the client.
        model: name of the requested model; empty until it is known.
        documents: number of documents; 0 until it is known.
        status: HTTP status of the response; 0 until it has started.
        code: error code; empty: no error.
    """

    request_id: str
    key: str = ""
    client: str = ""
    model: str = ""
    documents: int = 0
    status: int = 0
    code: str = ""

    @property
    def who(self) -> str:
        """Who sends the request, for the limits: the API key, or the address if there are no keys."""
        return f"key {self.key}" if self.key else f"address {self.client}"

    def refuse(self, error: ApiError) -> Response:
        """Record an error and make its response."""
        self.code = error.code
        return error.response(self.request_id)


class RequestMiddleware:
    """An ASGI application that wraps another one.

    The log never contains the text or the path of a request, only the matched route.
    """

    def __init__(self, app: ASGIApp, keys: Keys, config: ServeConfig, metrics: IngressMetrics) -> None:
        self._app, self._keys, self._metrics = app, keys, metrics
        self._seconds, self._body_bytes = config.limits.seconds, config.limits.body_bytes
        self._hosts = frozenset(name.lower() for name in config.hosts)
        self._warned = keys.required  # with keys, no warning is needed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, headers = time.monotonic(), Headers(scope=scope)
        given = headers.get("x-request-id", "")
        notes = Notes(given if REQUEST_ID.fullmatch(given.encode()) else uuid4().hex)
        notes.client = scope["client"][0] if scope.get("client") else ""
        scope[NOTES] = notes
        self._warn(notes.client)
        whole_body, size = False, 0

        async def receive_body() -> Message:
            nonlocal whole_body, size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._body_bytes:
                raise HTTPException(413)  # FastAPI passes no other exception through here
            whole_body = whole_body or not message.get("more_body", False)
            return message

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                notes.status = message["status"]
                response_headers = MutableHeaders(scope=message)
                if "x-request-id" not in headers:  # otherwise Ray's proxy adds it to the response
                    response_headers["X-Request-ID"] = notes.request_id
                response_headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        self._metrics.ongoing.inc()
        try:
            async with asyncio.timeout(self._seconds) as deadline:
                self._check_host(scope, headers)
                self._admit(scope["path"], headers, notes)
                await self._app(scope, receive_body, send_noted)
        except asyncio.CancelledError:
            notes.status = notes.status or 499  # the client has disconnected
            raise
        except Exception as error:
            refusal = self._refusal(error, deadline, whole_body, notes)
            if not notes.status:  # otherwise the response has started and is cut off
                await notes.refuse(refusal)(scope, receive, send_noted)
        finally:
            self._metrics.ongoing.dec()
            self._note(scope, notes, time.monotonic() - started)

    def _warn(self, client: str) -> None:
        """Log a warning, once, if another machine sends a request and no API key is set."""
        if self._warned or not client or is_loopback(client):
            return
        self._warned = True
        _logger.warning(
            "requests come from other machines, and anyone who can reach this service can use it, because no API key "
            "is set (api_keys, %s)",
            API_KEYS_VARIABLE,
        )

    def _check_host(self, scope: Scope, headers: Headers) -> None:
        """Refuse a request that a web page of another host sends to a loopback address (DNS rebinding)."""
        server = scope.get("server")
        if not server or not is_loopback(server[0]):
            return
        given = headers.getlist("host")
        name = _host_name(given[0]) if len(given) == 1 else ""
        if not is_loopback(name) and name not in self._hosts:
            message = "The header Host is neither localhost nor one of the names in the setting hosts of this service."
            raise ApiError(421, "wrong_host", message)

    def _admit(self, path: str, headers: Headers, notes: Notes) -> None:
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._body_bytes:
            raise too_large(self._body_bytes)
        if not self._keys.required or path in _PUBLIC or path.startswith(_PUBLIC_FILES):
            return
        scheme, _, key = headers.get("authorization", "").partition(" ")
        name = self._keys.name_of(key.strip()) if scheme.lower() == "bearer" else None
        if name is None:
            message = "A valid API key is required; send it in the header Authorization: Bearer KEY."
            raise ApiError(401, "no_key", message)
        if (name == METRICS_KEY) != (path == _METRICS):
            message = f"Use the key named {METRICS_KEY} for {_METRICS} only, and another key for all other paths."
            raise ApiError(403, "wrong_key", message)
        notes.key = name

    def _refusal(self, error: Exception, deadline: asyncio.Timeout, whole_body: bool, notes: Notes) -> ApiError:
        if isinstance(error, ApiError):
            return error
        if isinstance(error, HTTPException) and error.status_code == 413:
            return too_large(self._body_bytes)
        if isinstance(error, TimeoutError) and deadline.expired():
            if whole_body:
                message = f"The request took more than {self._seconds:g} s; send fewer documents."
                return ApiError(504, "deadline", message)
            message = f"The body did not arrive within {self._seconds:g} s; send it faster or send fewer documents."
            return ApiError(408, "slow_body", message)
        log_failure(_logger, error, notes.request_id)
        return internal()

    def _note(self, scope: Scope, notes: Notes, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.requests.labels(route, notes.status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if notes.status >= 400:
            self._metrics.rejects.labels(notes.code or notes.status).inc()
        _logger.info(
            "%s %s %d %.0f ms request=%s key=%s model=%s documents=%d%s",
            scope["method"] if scope["method"].isalpha() else "?",
            route,
            notes.status,
            1000 * seconds,
            notes.request_id,
            notes.key or "-",
            notes.model or "-",
            notes.documents,
            f" error={notes.code}" if notes.code else "",
        )


def _host_name(header: str) -> str:
    """The name in a Host header, without the port; empty if there is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def log_failure(logger: logging.Logger, error: BaseException, request_id: str) -> None:
    """Log the traceback of an unexpected exception, without its message, which may contain text of a request."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error("request=%s failed unexpectedly: %s\n%s", request_id, type(error).__name__, frames)
