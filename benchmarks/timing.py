"""How long the contestants of a benchmark take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any


def time_contestants(
    contestants: Mapping[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Run every contestant once a round, in turn, so that what disturbs the machine disturbs all of them.

    Returns:
        Seconds of processor time of each in its best round, and what each gave in the last one.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    results: dict[str, Any] = {}
    for _ in range(rounds):
        for name, run in contestants.items():
            started = time.process_time()
            results[name] = run()
            seconds[name].append(time.process_time() - started)
    return {name: min(times) for name, times in seconds.items()}, results
