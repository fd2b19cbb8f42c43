"""Prometheus metrics of a running job. Ray exports them and puts `ray_` before each name.

Only the driver sets them. `deploy/grafana.json` is a dashboard that shows them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.util.metrics import Counter, Gauge

COUNTERS = {
    "kpray_job_documents": ("Documents that the job has finished, by outcome: written or rejected.", ("outcome",)),
    "kpray_job_steps": (
        "Steps of RGIT, by name and whether their result came from the step cache.",
        ("step", "reused"),
    ),
}
GAUGES = {
    "kpray_job_left": ("Share of the job's input that is not processed yet, in [0, 1].", ()),
    "kpray_training_step": ("Completed optimizer steps.", ()),
    "kpray_training_steps": ("Optimizer steps of the whole training.", ()),
    "kpray_training_loss": ("Mean loss per document since the last report.", ()),
    "kpray_training_tokens_per_second": ("Training tokens per second, over all workers.", ()),
    "kpray_training_skipped": ("Optimizer steps skipped because of fp16 overflow, since the training began.", ()),
    "kpray_training_score": ("Score of the last validation.", ()),
    "kpray_rgit_round": ("Last completed round of RGIT, counted from 1.", ()),
    "kpray_rgit_stage": ("1 for the running step of RGIT, 0 for completed steps.", ("step",)),
}


def count(name: str, number: float, **tags: str) -> None:
    """Add to a counter. Does nothing when Ray is not initialized."""
    if number and _connected():
        _counter(name).inc(number, tags=tags)


def show(name: str, number: float, **tags: str) -> None:
    """Set a gauge. Does nothing when Ray is not initialized."""
    if _connected():
        _gauge(name).set(number, tags=tags)


def show_training(values: Mapping[str, Any]) -> None:
    """Set the training gauges from a line of metrics.jsonl. Fields without a number are skipped."""
    for field in ("step", "steps", "loss", "tokens_per_second", "skipped", "score"):
        if isinstance(values.get(field), (int, float)):
            show(f"kpray_training_{field}", values[field])


def _connected() -> bool:
    """Whether this process is connected to Ray. Ray is not imported to find out: `--local` runs without it."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


@cache
def _counter(name: str) -> Counter:
    from ray.util.metrics import Counter

    description, tags = COUNTERS[name]
    return Counter(name, description, tag_keys=tags)


@cache
def _gauge(name: str) -> Gauge:
    from ray.util.metrics import Gauge

    description, tags = GAUGES[name]
    return Gauge(name, description, tag_keys=tags)
