"""What an operator sees of a job while it runs: numbers that Ray exports for Prometheus, with `ray_` before each name.

All of them are told by the driver, which hears of everything. `deploy/grafana.json` draws them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.util.metrics import Counter, Gauge

COUNTERS = {
    "kpray_job_documents": ("Documents that the job finished, by outcome: written or rejected.", ("outcome",)),
    "kpray_job_steps": (
        "Steps of RGIT, by name and whether an earlier run had done them (cache hits).",
        ("step", "reused"),
    ),
}
GAUGES = {
    "kpray_job_left": ("Share of the job's input that is still in the queue, in [0, 1].", ()),
    "kpray_training_step": ("Optimizer steps that are done.", ()),
    "kpray_training_steps": ("Optimizer steps in all.", ()),
    "kpray_training_loss": ("Mean loss of a document since the last report.", ()),
    "kpray_training_tokens_per_second": ("Tokens that all workers together train on in a second.", ()),
    "kpray_training_skipped": ("Steps that fp16 skipped for overflow since the training began.", ()),
    "kpray_training_score": ("Score of the last validation.", ()),
    "kpray_rgit_round": ("Round of RGIT that is done, from 1.", ()),
    "kpray_rgit_stage": ("1 for the step of RGIT that runs, 0 for those that ran.", ("step",)),
}


def count(name: str, number: float, **tags: str) -> None:
    """Add to a counter; outside of Ray nothing."""
    if number and _connected():
        _counter(name).inc(number, tags=tags)


def show(name: str, number: float, **tags: str) -> None:
    """Set a gauge; outside of Ray nothing."""
    if _connected():
        _gauge(name).set(number, tags=tags)


def show_training(values: Mapping[str, Any]) -> None:
    """Set the gauges of which a line of metrics.jsonl has a number."""
    for field in ("step", "steps", "loss", "tokens_per_second", "skipped", "score"):
        if isinstance(values.get(field), (int, float)):
            show(f"kpray_training_{field}", values[field])


def _connected() -> bool:
    """Whether this process uses Ray; one that never imported it, such as a training with --local, does not."""
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
