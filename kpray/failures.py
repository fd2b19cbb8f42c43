"""Unexpected exceptions in one record. Such a record is rejected, and the other records are processed.

All code that handles records uses this module: reading (`kpray.corpus`), predicting (`Predictor.predict_each`),
tokenizing (`kpray.train.tokenize`), serving, and the jobs that end when too many records fail (`FailureLimit`).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from kpray.errors import RejectedDocument, UserError
from kpray.escapes import escape_controls
from kpray.log import say

ISSUES = "https://github.com/kpray/kpray/issues"
MOST_FAILURES = 50  #: this many records may fail, whatever their share is
MOST_SHARE = 0.1  #: maximum share of records that fail, if more than `MOST_FAILURES` fail
_REASON = "internal error: "
_MOST_PLACES = 1000

Item = TypeVar("Item")
Result = TypeVar("Result")

_logged: set[tuple[str, ...]] = set()  # places in the code whose traceback is in the log already
_held: ContextVar[list[str] | None] = ContextVar("held", default=None)


class FailedDocument(RejectedDocument):
    """A document whose processing failed with an unexpected exception: a bug. The log has the traceback."""


def is_failure(error: BaseException) -> bool:
    """Whether an exception is a bug that one record shows.

    The mistakes of users, rejects, a lack of memory, errors of disks and networks (`OSError` with a number) and the end
    of the program are no such bugs. The libraries in Rust raise `PanicException`, which is no `Exception`.
    """
    if isinstance(error, OSError):
        return error.errno is None  # errors of Arrow
    if isinstance(error, UserError | RejectedDocument | MemoryError):
        return False
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def failure_reason(error: BaseException) -> str:
    """The reason of the reject for a failed record. It never contains text of the record."""
    return f"{_REASON}{type(error).__name__}"


def log_failure(error: BaseException, where: str) -> None:
    """Log an unexpected exception and its traceback, once for each place in the code.

    Args:
        error: the exception.
        where: the record, such as `news.jsonl:7`.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = (type(error).__name__, *(f"{frame.filename}:{frame.lineno}" for frame in frames[-1:]))
    if place in _logged or len(_logged) >= _MOST_PLACES:
        return
    _logged.add(place)
    lines = "".join(traceback.format_exception(error)).splitlines()
    trace = "\n".join(escape_controls(line) for line in lines)
    text = f"{escape_controls(where)}: {failure_reason(error)}; this is a bug, please report it: {ISSUES}\n{trace}"
    held = _held.get()
    if held is None:
        say("error", text)
    else:
        held.append(text)


@contextmanager
def holding_logs(texts: list[str] | None = None) -> Iterator[list[str]]:
    """Collect what `log_failure` logs, for a worker whose log nobody sees. The driver passes it to `say`.

    Args:
        texts: the list to append to; None: a new one.
    """
    texts = [] if texts is None else texts
    token = _held.set(texts)
    try:
        yield texts
    finally:
        _held.reset(token)


@contextmanager
def rejecting_failures(where: str) -> Iterator[None]:
    """Turn an unexpected exception into a reject.

    Args:
        where: the record that the block handles, for the log.

    Raises:
        FailedDocument: the block raised an unexpected exception.
    """
    try:
        yield
    except BaseException as error:
        if not is_failure(error):
            raise
        log_failure(error, where)
        raise FailedDocument(failure_reason(error)) from error


def all_or_each(
    function: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item], names: Sequence[str]
) -> list[Result | RejectedDocument]:
    """Apply a function to all items at once; if that fails unexpectedly, to one item after the other.

    Args:
        function: takes items and returns one result for each.
        items: the items.
        names: name of each item for the log.

    Returns:
        The result of each item; a `RejectedDocument` if the function fails for this item alone.
    """
    try:
        return list(function(items))
    except BaseException as error:
        if not isinstance(error, RejectedDocument) and not is_failure(error):
            raise
    return each_or_reject(lambda item: function([item])[0], items, names)


def each_or_reject(
    function: Callable[[Item], Result], items: Sequence[Item], names: Sequence[str]
) -> list[Result | RejectedDocument]:
    """Apply a function to one item after the other.

    Args:
        function: takes an item.
        items: the items.
        names: name of each item for the log.

    Returns:
        The result of each item; a `RejectedDocument` if the function fails for this item.
    """
    results: list[Result | RejectedDocument] = []
    for item, name in zip(items, names, strict=True):
        try:
            with rejecting_failures(name):
                results.append(function(item))
        except RejectedDocument as reject:
            results.append(reject)
    return results


class FailureLimit:
    """Counts the records of a job that failed unexpectedly, and ends the job if they are too many."""

    def __init__(self) -> None:
        self.records = self.failed = 0

    def count(self, records: int, reasons: Iterable[str]) -> None:
        """Count more records.

        Args:
            records: number of these records, with the rejected ones.
            reasons: the reasons of those that were rejected.

        Raises:
            UserError: more than `MOST_FAILURES` records and more than `MOST_SHARE` of the records failed.
        """
        failures = [reason for reason in reasons if reason.startswith(_REASON)]
        self.records += records
        self.failed += len(failures)
        if failures and self.failed > max(MOST_FAILURES, MOST_SHARE * self.records):
            raise UserError(
                f"{self.failed:,} of {self.records:,} records failed, the last one with an {failures[-1]}",
                fix=f"this is a bug: please report it with the traceback in the log, {ISSUES}",
            )
