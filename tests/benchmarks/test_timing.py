"""Contestants take turns, and each gives its best time."""

from __future__ import annotations

from benchmarks.timing import time_contestants


def test_contestants_take_turns() -> None:
    calls: list[str] = []

    def second() -> int:
        calls.append("b")
        return len(calls)

    seconds, results = time_contestants({"a": lambda: calls.append("a"), "b": second}, 2)
    assert calls == ["a", "b", "a", "b"]
    assert results == {"a": None, "b": 4}  # of the last round
    assert seconds.keys() == results.keys()
    assert all(value >= 0 for value in seconds.values())
