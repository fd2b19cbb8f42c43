"""What stands before Ray Serve's own proxy: it reads some headers of clients, and fails where they are not text.

The environment variable RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH of Serve's proxy names `middlewares`; `kpray serve`
and serve_config.yaml set it.
"""

from __future__ import annotations

import re

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

PROXY_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
PROXY_MIDDLEWARES = "kpray.cluster.serving.proxy:middlewares"
REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")

_RAYS_OWN = frozenset(
    {b"x-request-timeout-seconds", b"x-request-disconnect-disabled", b"serve-multiplexed-model-id", b"x-session-id"}
)  # with which a client would lift Serve's time limit, or choose the replica


class PlainHeaders:
    """Takes the headers that only Ray would read out of a request, and a request id that is not harmless."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            scope = {**scope, "headers": [header for header in scope["headers"] if _is_plain(*header)]}
        await self._app(scope, receive, send)


def _is_plain(name: bytes, value: bytes) -> bool:
    name = name.lower().replace(b"_", b"-")
    if name == b"x-request-id":
        return REQUEST_ID.fullmatch(value) is not None
    return name not in _RAYS_OWN


def middlewares() -> list[Middleware]:
    """What Serve's proxy calls when it starts."""
    return [Middleware(PlainHeaders)]
