"""The HTTP interface: a FastAPI application that passes requests to a backend with the models."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, Response
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from prometheus_client import CONTENT_TYPE_LATEST, Metric
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from kpray import __version__
from kpray.serve.api_keys import Keys
from kpray.serve.batching import LEAST_CHARACTERS
from kpray.serve.config import ReplicasConfig, RequestLimits, ServeConfig, ServedModel
from kpray.serve.errors import ApiError, internal, too_large
from kpray.serve.metrics import IngressMetrics, exposition
from kpray.serve.middleware import NOTES, Notes, RequestMiddleware
from kpray.serve.proxy_middleware import KEYPHRASES
from kpray.serve.schemas import (
    ErrorResponse,
    HealthResponse,
    KeyphrasesRequest,
    KeyphrasesResponse,
    LimitsMessage,
    ModelMessage,
    ModelsResponse,
    request_model,
    response_json,
)

PAGE = Path(__file__).parent / "page.html"

_READY_SECONDS = 1.0  # how long an answer of /readyz is valid, because each one costs a call of every replica

_ERRORS = {
    400: "The body is not valid JSON.",
    401: "The API key is missing or not valid.",
    403: "The API key is not valid for this path.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "A field is wrong or exceeds a limit.",
    421: "The header Host names another host.",
    429: "Too many characters per minute, or too many requests at once.",
    500: "An unexpected failure of the service.",
    503: "The service is overloaded, a model is not available, or the API keys cannot be read.",
    504: "The request took too long.",
}


class Backend(Protocol):
    """What the application needs from the code that runs the models."""

    async def predict(self, model: ServedModel, request: KeyphrasesRequest, request_id: str, client: str) -> bytes:
        """Return the JSON of a list with one `Result` per document, in order. Clients take turns.

        Raises:
            ApiError: the service is overloaded, or no replica is available.
        """

    async def ready(self) -> bool:
        """Whether all models are ready to answer."""

    async def metrics(self) -> list[list[Metric]]:
        """Metrics of all replicas, one list per replica."""


def build_app(
    config: ServeConfig, models: Sequence[ServedModel], keys: Keys, metrics: IngressMetrics, backend: Backend
) -> ASGIApp:
    """Make the application.

    Args:
        config: configuration of the service.
        models: the models that a request can name; the first is the default.
        keys: the valid API keys.
        metrics: metrics of this ingress.
        backend: runs the models.
    """
    app = FastAPIOffline(
        title="kpray",
        version=__version__,
        summary="Keyphrases of documents",
        redoc_url=None,
        responses={status: {"model": ErrorResponse, "description": text} for status, text in _ERRORS.items()},
    )
    _add_error_handlers(app, config.limits)
    _add_keyphrases(app, config, models, keys, backend)
    _add_probes(app, backend)
    _add_page(app)
    served: ASGIApp = RequestMiddleware(app, keys, config, metrics)
    if config.cors_origins:
        # This is outside the check of the key, because a browser sends no key with a preflight request, and because a
        # page can only read an error that has CORS headers.
        served = CORSMiddleware(
            served,
            allow_origins=config.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    if config.proxies:
        served = cast("ASGIApp", ProxyHeadersMiddleware(cast("Any", served), list(config.proxies)))
    return served


def _add_keyphrases(
    app: FastAPI, config: ServeConfig, models: Sequence[ServedModel], keys: Keys, backend: Backend
) -> None:
    named = {model.name: model for model in models}
    rate, share = _RateLimit(config.limits), _Share(config.replicas)
    # `RequestMiddleware` checks the key before the body is read. This dependency only describes the key in /docs.
    key = [Depends(HTTPBearer(auto_error=False))] if keys.required else []

    async def keyphrases(body: KeyphrasesRequest, request: Request) -> Response:
        """Predict the keyphrases of one or several documents. Each document has one result or one error, in order."""
        notes, model = _notes(request), named[body.model or models[0].name]
        notes.model, notes.documents = model.name, len(body.documents)
        lengths = (len(document.title) + len(document.text) for document in body.documents)
        await rate.take(notes, sum(max(LEAST_CHARACTERS, length) for length in lengths))
        with share.of(notes):
            results = await backend.predict(model, body, notes.request_id, notes.who)
        return Response(response_json(model.name, model.version, results), media_type="application/json")

    keyphrases.__annotations__["body"] = request_model(list(named), config.limits.documents, config.limits.top)
    app.post(KEYPHRASES, dependencies=key, response_model=KeyphrasesResponse)(keyphrases)

    @app.get("/v1/models", dependencies=key)
    async def list_models() -> ModelsResponse:
        """List the models, with the default first, and the limits of a request."""
        messages = [ModelMessage(name=model.name, kind=model.kind, version=model.version) for model in models]
        return ModelsResponse(models=messages, limits=LimitsMessage(**config.limits.model_dump()))


def _add_probes(app: FastAPI, backend: Backend) -> None:
    looking, until, ready = asyncio.Lock(), 0.0, False

    @app.get("/healthz")
    async def healthz() -> HealthResponse:
        """Report that the service is running."""
        return HealthResponse(status="ok")

    @app.get("/readyz")
    async def readyz() -> HealthResponse:
        """Report whether all models are ready to answer. The report may be one second old."""
        nonlocal until, ready
        async with looking:
            if time.monotonic() >= until:
                ready, until = await backend.ready(), time.monotonic() + _READY_SECONDS
        if not ready:
            raise ApiError(503, "not_ready", "A model is not ready yet; try again soon.", retry_after=2)
        return HealthResponse(status="ready")

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Return the metrics of all replicas, for Prometheus."""
        return Response(exposition(await backend.metrics()), media_type=CONTENT_TYPE_LATEST)


def _add_page(app: FastAPI) -> None:
    page = PAGE.read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; script-src {_digests(page, 'script')}; style-src {_digests(page, 'style')}"
    )
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)


def _digests(page: str, element: str) -> str:
    """Digests of the page's elements with this name, in the syntax of a content security policy."""
    contents = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def _notes(request: Request) -> Notes:
    notes: Notes = request.scope[NOTES]
    return notes


class _RateLimit:
    """Limits the characters per minute of each API key, or of each client address if there are no keys."""

    def __init__(self, limits: RequestLimits) -> None:
        self._item = RateLimitItemPerMinute(limits.characters_per_minute) if limits.characters_per_minute else None
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def take(self, notes: Notes, characters: int) -> None:
        """Count the characters of a request.

        Raises:
            ApiError: the request exceeds the limit; its characters are not counted.
        """
        if self._item is None:
            return
        # Many very short documents can cost more than the body has bytes. They may take a whole minute, not forever.
        cost = min(characters, self._item.amount)
        if await self._limiter.hit(self._item, notes.who, cost=cost):
            return
        window = await self._limiter.get_window_stats(self._item, notes.who)
        whose = "API key" if notes.key else "address"
        message = f"This {whose} has reached the limit of {self._item.amount} characters per minute; try again later."
        raise ApiError(429, "rate_limited", message, retry_after=window.reset_time - time.time())


class _Share:
    """Limits the running requests of each API key to half of those that a replica runs, so that others find room."""

    def __init__(self, replicas: ReplicasConfig) -> None:
        self._most, self._running = max(1, replicas.max_ongoing_requests // 2), Counter[str]()

    @contextmanager
    def of(self, notes: Notes) -> Iterator[None]:
        """Count a request while it runs. Without keys, there is no limit.

        Raises:
            ApiError: too many requests of its key are running.
        """
        if notes.key and self._running[notes.key] >= self._most:
            message = f"This API key has {self._most} requests running, which is the limit; wait until one is answered."
            raise ApiError(429, "too_many_requests", message, retry_after=1)
        self._running[notes.key] += 1
        try:
            yield
        finally:
            self._running[notes.key] -= 1


def _add_error_handlers(app: FastAPI, limits: RequestLimits) -> None:
    """Answer every error with an `ErrorResponse`. Messages never repeat text of the request."""

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> Response:
        return _notes(request).refuse(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _notes(request).refuse(_invalid(request, error))

    @app.exception_handler(HTTPException)
    async def not_served(request: Request, error: HTTPException) -> Response:
        known = {
            400: ApiError(400, "bad_request", "The body cannot be read as JSON."),
            404: ApiError(404, "not_found", "This path does not exist; see /docs."),
            405: ApiError(405, "method_not_allowed", "This path does not support that method; see /docs."),
            413: too_large(limits.body_bytes),
        }
        other = ApiError(error.status_code, "refused", "This endpoint does not accept that request; see /docs.")
        response = _notes(request).refuse(known.get(error.status_code, other))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return _notes(request).refuse(internal())  # `RequestMiddleware` logs it


def _invalid(request: Request, error: RequestValidationError) -> ApiError:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        return ApiError(415, "unsupported_media_type", "Send the body with the header Content-Type: application/json.")
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return ApiError(400, "bad_request", "The body is not valid JSON.")
    path = [str(part) for part in first["loc"][1:]]
    if first["type"] == "extra_forbidden":  # do not repeat its name, which comes from the client
        return ApiError(422, "invalid", f"{'.'.join(path[:-1]) or 'the body'} has an unknown field; see /docs")
    return ApiError(422, "invalid", f"{'.'.join(path) or 'the body'}: {first['msg']}")
