"""Errors of requests. Each has an HTTP status, a code for programs, and a message for people."""

from __future__ import annotations

import math

from starlette.responses import JSONResponse, Response

FULL = "x-kpray-full"  #: header of a response, if all queues are full and the next requests would be refused too


class ApiError(Exception):
    """An error response.

    Args:
        status: HTTP status.
        code: error code for programs.
        message: message for people. It never contains text of the request.
        retry_after: seconds after which the same request may succeed; None: waiting does not help.
        full: whether all queues are full.
    """

    def __init__(
        self, status: int, code: str, message: str, *, retry_after: float | None = None, full: bool = False
    ) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message, self.retry_after, self.full = status, code, message, retry_after, full

    def response(self, request_id: str) -> Response:
        """Make the HTTP response: an `ErrorResponse` with its headers."""
        headers = {"Cache-Control": "no-store"}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        if self.full:
            headers[FULL] = "1"
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status in (408, 413, 414, 431):
            headers["Connection"] = "close"  # the rest of the body will not be read
        error = {"code": self.code, "message": self.message, "request_id": request_id}
        return JSONResponse({"error": error}, self.status, headers)


def overloaded(*, full: bool = False) -> ApiError:
    """Error: too many requests are waiting. `full`: the queues of all models are full."""
    return ApiError(503, "overloaded", "Too many requests are waiting; try again soon.", retry_after=1, full=full)


def unavailable() -> ApiError:
    """Error: no replica can answer."""
    return ApiError(503, "unavailable", "The model is not available at the moment; try again soon.", retry_after=5)


def unreadable_keys() -> ApiError:
    """Error: the file of API keys is missing or wrong, so that no key in it is valid."""
    message = "The service cannot read its API keys at the moment, so it refuses all requests; its log has the reason."
    return ApiError(503, "keys_unreadable", message, retry_after=5)


def internal() -> ApiError:
    """Error: a bug. The log has its traceback."""
    return ApiError(500, "internal", "The service failed unexpectedly; its log has details under this request id.")


def headers_too_large(head_bytes: int) -> ApiError:
    """Error: the headers exceed the limit."""
    return ApiError(431, "headers_too_large", f"The headers have more than {head_bytes} bytes or are too many.")


def url_too_long(url_bytes: int) -> ApiError:
    """Error: the URL exceeds the limit."""
    return ApiError(414, "url_too_long", f"The URL has more than {url_bytes} bytes.")


def too_large(body_bytes: int) -> ApiError:
    """Error: the body exceeds the limit."""
    return ApiError(413, "too_large", f"The body is larger than {body_bytes} bytes; send fewer documents.")
