"""The dashboard shows exactly the metrics that exist, and setting a metric without Ray does nothing."""

from __future__ import annotations

import json
import re

from kpray.cluster.meters import COUNTERS, GAUGES, count, show, show_training
from tests.commands import ROOT

DASHBOARD = json.loads((ROOT / "deploy/grafana.json").read_text("utf-8"))


def test_dashboard_shows_every_metric() -> None:
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"ray_\w+", query)}
    assert asked == {f"ray_{name}_total" for name in COUNTERS} | {f"ray_{name}" for name in GAUGES}


def test_without_ray() -> None:
    count("kpray_job_documents", 1, outcome="written")
    show("kpray_job_left", 0.5)
    show_training({"step": 1, "loss": 0.5, "note": "text"})
