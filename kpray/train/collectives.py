"""Workers that agree: what one of them finds, all of them know, so that none waits for another that has given up."""

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
    """The value of every worker, in order; all of them call this."""
    values: list[Value] = [value] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def from_first(value: Value) -> Value:
    """The value of worker 0; all of them call this."""
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


@contextmanager
def agreed(where: str = "") -> Iterator[None]:
    """Raise a mistake that any worker meets in the block in all of them; the block itself has no collective calls.

    Args:
        where: what is written in the block, for the message when the system refuses to.

    Raises:
        UserError: the first worker's that has one.
    """
    mistake: UserError | None = None
    try:
        yield
    except UserError as error:
        mistake = error
    except Exception as error:
        if not is_write_error(error):
            raise
        mistake = cannot_write(error, where)
    for found in gather(mistake):
        if found is not None:
            raise found


def is_write_error(error: Exception) -> bool:
    """Whether an error is the system's refusal to write, such as a full disk."""
    # torch and safetensors write files by themselves and raise classes of their own.
    return isinstance(error, OSError) or bool(_WRITE_ERRORS.search(str(error)))


def cannot_write(error: Exception, where: str) -> UserError:
    """The system's refusal to write as a mistake of the user."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return UserError(
        f"cannot write: {reason}",
        where=where,
        fix="make room, and the same command goes on from the last checkpoint",
    )
