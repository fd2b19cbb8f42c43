"""The steps of an RGIT run: what a user reads of each as it begins, and what Prometheus counts."""

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
    """Steps that are logged and counted.

    Attributes:
        log: a line for each step that was asked for: its name, its key, whether it was reused, its seconds.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.log: list[dict[str, Any]] = []

    def do(self, name: str, inputs: Mapping[str, Any], work: Callable[[Path], Mapping[str, Any]]) -> Step:
        """As `StepCache.do`."""
        key, reused, started = step_key(name, inputs), self.find(name, inputs) is not None, time.monotonic()
        count("kpray_job_steps", 1, step=name, reused=str(reused).lower())
        show("kpray_rgit_stage", 1, step=name)
        say("step", f"{name} {key}{': finished before' if reused else ''}", step=name, key=key, reused=reused)
        with Activity(f"step {name}"):
            step = super().do(name, inputs, work)
        show("kpray_rgit_stage", 0, step=name)
        seconds = round(time.monotonic() - started, 1)
        self.log.append({"step": name, "key": key, "reused": reused, "seconds": seconds})
        return step
