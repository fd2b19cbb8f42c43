"""Logs and counts the steps of an RGIT run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kpray.cluster.meters import count, show
from kpray.cluster.step_cache import Step, StepCache, step_key
from kpray.log import say
from kpray.report.progress import Activity


class RGITSteps(StepCache):
    """A step cache that logs each step, and counts it in the Prometheus metrics.

    Attributes:
        log: one entry for each call of `do`, with the keys `step` (name), `key`, `reused` and `seconds`.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.log: list[dict[str, Any]] = []

    def do(self, name: str, inputs: Mapping[str, Any], work: Callable[[Path], Mapping[str, Any]]) -> Step:
        """See `StepCache.do`."""
        key, reused, started = step_key(name, inputs), self.find(name, inputs) is not None, time.monotonic()
        count("kpray_job_steps", 1, step=name, reused=str(reused).lower())
        show("kpray_rgit_stage", 1, step=name)
        say("step", f"{name} {key}{' (reused)' if reused else ''}", step=name, key=key, reused=reused)
        with Activity(f"step {name}"):
            step = super().do(name, inputs, work)
        show("kpray_rgit_stage", 0, step=name)
        seconds = round(time.monotonic() - started, 1)
        self.log.append({"step": name, "key": key, "reused": reused, "seconds": seconds})
        return step
