"""Collective operations of training workers. An error in one worker is raised in all, so that none waits forever."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch.distributed as dist

from kpray.errors import UserError

Value = TypeVar("Value")

_WRITE_ERRORS = re.compile(r"No space left|file write failed|failed writing|[Qq]uota exceeded|Input/output error")


def gather(value: Value) -> list[Value]:
    """The values of all workers, in the order of their ranks. All workers call this."""
    values: list[Value] = [value] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def from_first(value: Value) -> Value:
    """The value of worker 0. All workers call this."""
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


@contextmanager
def agreed(where: str = "") -> Iterator[None]:
    """Raise a user error or write error of any worker in all workers. The block must not make collective calls.

    Args:
        where: the path that the block writes to, for the message of a write error.

    Raises:
        UserError: the error of the lowest rank that has one.
    """
    failure: UserError | None = None
    try:
        yield
    except UserError as error:
        failure = error
    except Exception as error:
        if not is_write_error(error):
            raise
        failure = cannot_write(error, where)
    for found in gather(failure):
        if found is not None:
            raise found


def is_write_error(error: Exception) -> bool:
    """Whether an error means that a file cannot be written, for example because the disk is full."""
    # torch and safetensors write files in native code and raise other classes than OSError.
    return isinstance(error, OSError) or bool(_WRITE_ERRORS.search(str(error)))


def cannot_write(error: Exception, where: str) -> UserError:
    """Turn a write error into a `UserError`."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return UserError(
        f"cannot write: {reason}",
        where=where,
        fix="free disk space and run the same command again; it resumes from the last checkpoint",
    )
