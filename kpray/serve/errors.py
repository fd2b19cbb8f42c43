"""Errors of requests. Each has a status, a code for programs, and a sentence for people."""

from __future__ import annotations

import math

from starlette.responses import JSONResponse, Response

FULL = "x-kpray-full"  #: header of a refusal: the next requests would be refused too


class ApiError(Exception):
    """The answer to a request is an error.

    Args:
        status: HTTP status.
        code: for programs.
        message: for people; never a part of the request's text.
        retry_after: seconds after which the same request may succeed; None: waiting does not help.
        full: the next requests would be refused too.
    """

    def __init__(
        self, status: int, code: str, message: str, *, retry_after: float | None = None, full: bool = False
    ) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message, self.retry_after, self.full = status, code, message, retry_after, full

    def response(self, request_id: str) -> Response:
        """`ErrorResponse` with its headers."""
        headers = {"Cache-Control": "no-store"}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        if self.full:
            headers[FULL] = "1"
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status in (408, 413):
            headers["Connection"] = "close"  # the rest of the body is not read
        error = {"code": self.code, "message": self.message, "request_id": request_id}
        return JSONResponse({"error": error}, self.status, headers)


def overloaded(*, full: bool = False) -> ApiError:
    """Too many requests wait; `full`: for every model."""
    return ApiError(503, "overloaded", "too many requests wait; try again soon", retry_after=1, full=full)


def unavailable() -> ApiError:
    """No replica could answer."""
    return ApiError(503, "unavailable", "the model is not there at the moment; try again soon", retry_after=5)


def internal() -> ApiError:
    """A bug; the log has its traceback."""
    return ApiError(500, "internal", "this should not have happened; the log has it under the request's id")


def too_large(body_bytes: int) -> ApiError:
    """The body is beyond the limit."""
    return ApiError(413, "too_large", f"the body is larger than {body_bytes} bytes; send fewer documents")
