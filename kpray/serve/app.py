"""The HTTP interface: a FastAPI application over whatever runs the models."""

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
    400: "not JSON",
    401: "no API key, or a wrong one",
    403: "an API key that is not for this",
    408: "the body did not come in time",
    413: "the body is too large",
    415: "the body is not application/json",
    422: "a field is wrong, or beyond a limit",
    429: "too many documents a minute",
    500: "a mistake of ours",
    503: "overloaded, or no replica at the moment",
    504: "the deadline passed",
}


class Backend(Protocol):
    """Runs the models."""

    async def predict(self, model: ServedModel, request: KeyphrasesRequest, request_id: str) -> bytes:
        """JSON of one `Result` for each document, in order.

        Raises:
            ApiError: overloaded, or there is no replica.
        """

    async def ready(self) -> bool:
        """Whether every model can answer."""

    async def metrics(self) -> list[list[Metric]]:
        """Metrics of every replica."""


def build_app(
    config: ServeConfig, models: Sequence[ServedModel], keys: Keys, metrics: IngressMetrics, backend: Backend
) -> ASGIApp:
    """Make the application."""
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
    rate = _Rate(config.limits)
    # `RequestMiddleware` checks the key, before the body is read; this dependency only describes it in /docs.
    key = [Depends(HTTPBearer(auto_error=False))] if keys.required else []

    async def keyphrases(asked: KeyphrasesRequest, request: Request) -> Response:
        """Keyphrases of one document or several: one result for each, in order, with its own error if it has one."""
        notes, model = _notes(request), named[asked.model or models[0].name]
        notes.model, notes.documents = model.name, len(asked.documents)
        await rate.take(notes)
        results = await backend.predict(model, asked, notes.request_id)
        return Response(response_json(model.name, model.version, results), media_type="application/json")

    keyphrases.__annotations__["asked"] = request_model(list(named), config.limits.documents, config.limits.top)
    app.post(KEYPHRASES, dependencies=key, response_model=KeyphrasesResponse)(keyphrases)

    @app.get("/v1/models", dependencies=key)
    async def list_models() -> ModelsResponse:
        """The models, the default one first, and what one request may ask for."""
        messages = [ModelMessage(name=model.name, kind=model.kind, version=model.version) for model in models]
        return ModelsResponse(models=messages, limits=LimitsMessage(**config.limits.model_dump()))


def _add_probes(app: FastAPI, backend: Backend) -> None:
    @app.get("/healthz")
    async def healthz() -> HealthResponse:
        """Whether the service runs."""
        return HealthResponse(status="ok")

    @app.get("/readyz")
    async def readyz() -> HealthResponse:
        """Whether every model can answer."""
        if not await backend.ready():
            raise ApiError(503, "not_ready", "a model is not ready yet", retry_after=2)
        return HealthResponse(status="ready")

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Metrics of all replicas, for Prometheus."""
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
    """The page's elements of that name, as a content security policy allows them."""
    contents = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def _notes(request: Request) -> Notes:
    notes: Notes = request.scope[NOTES]
    return notes


class _Rate:
    """Documents a minute of each key, or of each address where there are no keys."""

    def __init__(self, limits: RequestLimits) -> None:
        self._item = RateLimitItemPerMinute(limits.documents_per_minute) if limits.documents_per_minute else None
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def take(self, notes: Notes) -> None:
        """Raise `ApiError` when it would be too many."""
        who = f"key {notes.key}" if notes.key else f"address {notes.client}"
        if self._item is None or await self._limiter.hit(self._item, who, cost=notes.documents):
            return
        window = await self._limiter.get_window_stats(self._item, who)
        message = f"more than {self._item.amount} documents a minute"
        raise ApiError(429, "rate_limited", message, retry_after=window.reset_time - time.time())


def _add_error_handlers(app: FastAPI, limits: RequestLimits) -> None:
    """Every error in one form; none repeats what the request said."""

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> Response:
        return _notes(request).refuse(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _notes(request).refuse(_invalid(request, error))

    @app.exception_handler(HTTPException)
    async def not_served(request: Request, error: HTTPException) -> Response:
        known = {
            400: ApiError(400, "bad_request", "the body is not JSON that can be read"),
            404: ApiError(404, "not_found", "there is nothing here; see /docs"),
            405: ApiError(405, "method_not_allowed", "not with this method; see /docs"),
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
        return ApiError(415, "unsupported_media_type", "send Content-Type: application/json")
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return ApiError(400, "bad_request", "the body is not JSON")
    place = [str(part) for part in first["loc"][1:]]
    if first["type"] == "extra_forbidden":  # its name is the client's, and may be anything
        return ApiError(422, "invalid", f"{'.'.join(place[:-1]) or 'the body'} has a field that is not known")
    return ApiError(422, "invalid", f"{'.'.join(place) or 'the body'}: {first['msg']}")
