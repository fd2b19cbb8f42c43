"""Headers that Ray Serve's proxy would read do not reach it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kpray.cluster.serving.proxy import PROXY_MIDDLEWARES, PlainHeaders, middlewares


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
def test_header_is_taken_out(header: tuple[bytes, bytes]) -> None:
    assert headers_after((b"host", b"a"), header) == [(b"host", b"a")]


def test_others_stay() -> None:
    kept = [(b"x-request-id", b"mine-1.2_3"), (b"authorization", b"Bearer x"), (b"x-other", b"\xff")]
    assert headers_after(*kept) == kept


def test_serve_finds_it() -> None:
    from ray._common.utils import import_attr

    assert import_attr(PROXY_MIDDLEWARES) is middlewares
