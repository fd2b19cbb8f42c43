"""The HTTP interface: a FastAPI application that passes requests to a backend with the models."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

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

from kpray import __version__
from kpray.serve.api_keys import Keys
from kpray.serve.config import RequestLimits, ServeConfig, ServedModel
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

_ERRORS = {
    400: "The body is not valid JSON.",
    401: "The API key is missing or not valid.",
    403: "The API key is not valid for this path.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "A field is wrong or exceeds a limit.",
    429: "Too many documents per minute.",
    500: "An unexpected failure of the service.",
    503: "The service is overloaded, or a model is not available.",
    504: "The request took too long.",
}


class Backend(Protocol):
    """What the application needs from the code that runs the models."""

    async def predict(self, model: ServedModel, request: KeyphrasesRequest, request_id: str) -> bytes:
        """Return the JSON of a list with one `Result` per document, in order.

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
    if config.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=config.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    _add_error_handlers(app, config.limits)
    _add_keyphrases(app, config, models, keys, backend)
    _add_probes(app, backend)
    _add_page(app)
    return RequestMiddleware(app, keys, config.limits, metrics)


def _add_keyphrases(
    app: FastAPI, config: ServeConfig, models: Sequence[ServedModel], keys: Keys, backend: Backend
) -> None:
    named = {model.name: model for model in models}
    rate = _RateLimit(config.limits)
    # `RequestMiddleware` checks the key before the body is read. This dependency only describes the key in /docs.
    key = [Depends(HTTPBearer(auto_error=False))] if keys.required else []

    async def keyphrases(body: KeyphrasesRequest, request: Request) -> Response:
        """Predict the keyphrases of one or several documents. Each document has one result or one error, in order."""
        notes, model = _notes(request), named[body.model or models[0].name]
        notes.model, notes.documents = model.name, len(body.documents)
        await rate.take(notes)
        results = await backend.predict(model, body, notes.request_id)
        return Response(response_json(model.name, model.version, results), media_type="application/json")

    keyphrases.__annotations__["body"] = request_model(list(named), config.limits.documents, config.limits.top)
    app.post(KEYPHRASES, dependencies=key, response_model=KeyphrasesResponse)(keyphrases)

    @app.get("/v1/models", dependencies=key)
    async def list_models() -> ModelsResponse:
        """List the models, with the default first, and the limits of a request."""
        messages = [ModelMessage(name=model.name, kind=model.kind, version=model.version) for model in models]
        return ModelsResponse(models=messages, limits=LimitsMessage(**config.limits.model_dump()))


def _add_probes(app: FastAPI, backend: Backend) -> None:
    @app.get("/healthz")
    async def healthz() -> HealthResponse:
        """Report that the service is running."""
        return HealthResponse(status="ok")

    @app.get("/readyz")
    async def readyz() -> HealthResponse:
        """Report whether all models are ready to answer."""
        if not await backend.ready():
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
    """Limits the documents per minute of each API key, or of each client address if there are no keys."""

    def __init__(self, limits: RequestLimits) -> None:
        self._item = RateLimitItemPerMinute(limits.documents_per_minute) if limits.documents_per_minute else None
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def take(self, notes: Notes) -> None:
        """Count the documents of a request.

        Raises:
            ApiError: the request exceeds the limit; its documents are not counted.
        """
        who = f"key {notes.key}" if notes.key else f"address {notes.client}"
        if self._item is None or await self._limiter.hit(self._item, who, cost=notes.documents):
            return
        window = await self._limiter.get_window_stats(self._item, who)
        whose = "API key" if notes.key else "address"
        message = f"This {whose} has reached the limit of {self._item.amount} documents per minute; try again later."
        raise ApiError(429, "rate_limited", message, retry_after=window.reset_time - time.time())


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
