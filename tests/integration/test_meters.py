"""The dashboard shows exactly the metrics that Ray exports for a job."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import ROOT
from tests.integration.jobs import Job

DASHBOARD = json.loads((ROOT / "deploy/grafana.json").read_text("utf-8"))


@pytest.mark.slow
def test_dashboard_shows_the_exported_metrics(
    start_job: Callable[..., Job], model_options: list[str], tmp_path: Path
) -> None:
    variables = {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
    job = start_job(Path(__file__).with_name("metrics_tiny.py"), tmp_path, model_options[1], variables=variables)
    finished = job.finish()
    assert finished.code == 0, finished.err
    samples = finished.out.splitlines()
    exported = {re.split(r"[{ ]", sample)[0] for sample in samples}
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"ray_\w+", query)}
    assert asked <= exported
    assert exported <= asked | {f"{name}_created" for name in asked}  # no metric is missing

    [written] = [s for s in samples if s.startswith("ray_kpray_job_documents_total{") and 'outcome="written"' in s]
    assert float(written.split()[-1]) == 1
    assert float(next(s for s in samples if s.startswith("ray_kpray_job_left")).split()[-1]) == 0
    [step] = [s for s in samples if s.startswith("ray_kpray_job_steps_total{")]
    assert 'step="embed"' in step
    assert 'reused="false"' in step


def test_panels_of_the_dashboard() -> None:
    positions = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len(set(positions)) == len(positions)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(positions)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in DASHBOARD["panels"])
