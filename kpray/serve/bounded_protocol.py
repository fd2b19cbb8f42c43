"""Uvicorn's HTTP protocol with limits on what a client can hold before its request is answered.

Uvicorn collects a request line and headers of any length, waits for them for any time, and keeps any number of
connections. Serve sets no option of uvicorn that would limit this, so `ray_compat.use_protocol` replaces the protocol.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 16 * 1024  #: of the request line and the headers, and of the trailers after a body
HEAD_SECONDS = 10.0  #: from the start of a connection, or the first byte after a response, to the end of the headers
CONNECTIONS = 1000  #: of all clients at one time
UNREAD_SECONDS = 30  #: how long a client may read nothing of a response
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_UNPARSED_BYTES = 2 * HEAD_BYTES  # so that the middleware, which answers in JSON, refuses most of the long ones


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is closed when its client sends a head that is too long or too slow, or reads no response."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ws_protocol_class = None  # the service has no WebSockets
        self._unparsed = 0  # bytes since the last part of a body or the end of the last head
        self._timer: asyncio.TimerHandle | None = None  # runs while the client owes a head, or a body nobody reads

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
        self._start_timer()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._start_timer()
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > _UNPARSED_BYTES and not self.transport.is_closing():
            self._refuse()

    @override
    def on_headers_complete(self) -> None:
        self._unparsed = 0
        self._stop_timer()
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    @override
    def on_response_complete(self) -> None:
        unread = self.cycle.more_body
        super().on_response_complete()
        if unread and not self.transport.is_closing():  # what is left of the body is discarded, for a while
            self._start_timer()

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self) -> None:
        """Close the connection. A request that is running on it ends as if the client had disconnected."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_TOO_LONG)
        self.transport.close()
