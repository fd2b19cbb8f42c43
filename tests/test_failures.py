"""Unexpected exceptions in one record, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from kpray import failures
from kpray.errors import RejectedDocument, UserError
from kpray.failures import (
    MOST_FAILURES,
    FailedDocument,
    FailureLimit,
    all_or_each,
    holding_logs,
    log_failure,
    rejecting_failures,
)


class PanicException(BaseException):
    """As the libraries in Rust raise it."""


@pytest.mark.parametrize(
    "error", [ValueError("\x1b[2J"), AssertionError(), RecursionError(), PanicException(), OSError()]
)
def test_an_unexpected_exception_is_a_reject(
    error: BaseException, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "_logged", set())
    with pytest.raises(FailedDocument) as raised, rejecting_failures("a\nb.txt:3"):
        raise error
    assert raised.value.reason == f"internal error: {type(error).__name__}"
    first, *trace = capsys.readouterr().err.splitlines()
    assert first.startswith(f"kpray: a\\nb.txt:3: internal error: {type(error).__name__}; this is a bug, please report")
    assert trace[0].startswith("Traceback")
    assert not any("\x1b" in line for line in trace)


@pytest.mark.parametrize(
    "error",
    [UserError("no"), RejectedDocument("no"), MemoryError(), KeyboardInterrupt(), SystemExit(), OSError(28, "full")],
)
def test_other_exceptions_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, rejecting_failures("a"):
        raise error
    assert raised.value is error
    if not isinstance(error, RejectedDocument):
        with pytest.raises(type(error)):
            all_or_each(_raising(error), [1], ["a"])


def _raising(error: BaseException) -> Callable[[Sequence[int]], list[int]]:
    def function(items: Sequence[int]) -> list[int]:
        raise error

    return function


def test_only_the_items_that_fail_are_rejected() -> None:
    calls: list[list[int]] = []

    def invert(items: Sequence[int]) -> list[float]:
        calls.append(list(items))
        if -1 in items:
            raise RejectedDocument("negative")
        return [1 / item for item in items]

    with holding_logs():
        results = all_or_each(invert, [1, 0, -1, 2], ["a", "b", "c", "d"])
    shown = [each.reason if isinstance(each, RejectedDocument) else each for each in results]
    assert shown == [1, "internal error: ZeroDivisionError", "negative", 0.5]
    assert calls == [[1, 0, -1, 2], [1], [0], [-1], [2]]
    assert all_or_each(invert, [1, 2], ["a", "b"]) == [1, 0.5]
    assert calls[5:] == [[1, 2]]


def test_each_place_in_the_code_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_logged", set())
    with holding_logs() as logs:
        for number in range(3):
            try:
                {}[number]  # type: ignore[index]
            except KeyError as error:
                log_failure(error, f"a:{number}")
        log_failure(KeyError(), "b")
    assert [log.partition(": ")[0] for log in logs] == ["a:0", "b"]


def test_limit_counts_failures_only_and_needs_both_number_and_share() -> None:
    failure = "internal error: KeyError"
    limit = FailureLimit()
    limit.count(500, ["no text"] * 500)
    limit.count(MOST_FAILURES, [failure] * MOST_FAILURES)
    limit.count(1, [failure])  # 51 of 551
    with pytest.raises(UserError, match=r"^61 of 561 records failed, the last one with an internal error: KeyError \("):
        limit.count(10, [failure] * 10)
    with pytest.raises(UserError):
        FailureLimit().count(MOST_FAILURES + 1, [failure] * (MOST_FAILURES + 1))
