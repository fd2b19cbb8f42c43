"""The report of a sweep: its sentences, tables and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kpray.report.page import RunDetails
from kpray.report.trials import TrialRow
from kpray.sweep.reports import SweepReport, write_sweep_report
from kpray.sweep.trials import Spent


def trial(depth: int, scale: str, seed: int, score: float | None, state: str = "finished", **more: Any) -> TrialRow:
    setting: dict[str, str | int | float | None] = {"task.depth": depth, "task.scale": scale}
    return TrialRow(f"{depth}{scale}{seed}", setting, seed, state, score, {"f1": score or 0.0}, seconds=60.0, **more)


TRIALS = [
    *(trial(depth, "one", seed, 10 * depth + seed) for depth in (0, 1) for seed in (0, 1, 2)),
    *(trial(1, "sqrt", seed, score) for seed, score in enumerate((9.0, 12.0, 11.0))),
    trial(2, "one", 0, 3.0, "stopped", step=20),
    trial(2, "sqrt", 0, None, "failed", attempts=2, crashes=("ValueError: boom", "out of memory")),
]
SPACE = {"task.depth": (0, 1, 2), "task.scale": ("one", "sqrt")}


def report_of(trials: list[TrialRow]) -> SweepReport:
    run = RunDetails("python jobs/sweep.py", "2026-01-02 03:04 UTC", 5.0, "address: null\n", {"kpray": "1"})
    return SweepReport(
        "Depth", run, "validation score", "jobs/train.py", trials, Spent(1.5, 3.0), SPACE, "s3://bucket/sweep"
    )


def test_the_report_of_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sweep_report(report_of(TRIALS), tmp_path, lambda setting: {"task": dict(setting)})
    *table, best, where = capsys.readouterr().out.splitlines()
    assert any("11.00" in line for line in table)
    assert best.startswith("best: depth 1, scale one (11.00 (")
    assert where == "the report: s3://bucket/sweep/report.html"
    page = (tmp_path / "report.md").read_text("utf-8")
    assert "Best by mean validation score over 3 seeds: depth 1, scale one, 11.00 (8.52 to 13.48)." in page
    # The paired differences to (9, 12, 11) are (1, -1, 1): not significant. depth 0 is 10 lower for every seed.
    assert "there is only one seed): depth 1, scale sqrt." in page
    assert "11 trials: 9 finished, 1 stopped, 1 failed. Time: 1.50 hours, 3.00 device-hours." in page
    assert "ValueError: boom" in page
    assert "python jobs/train.py --config best.yaml" in page
    assert yaml.safe_load((tmp_path / "best.yaml").read_text("utf-8")) == {
        "task": {"task.depth": 1, "task.scale": "one"}
    }
    values = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert [row["seeds"] for row in values["settings"]] == ["3 of 3", "3 of 3", "3 of 3", "0 of 1", "0 of 1"]
    assert values["settings"][0]["minus the best"] is None
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"depth.svg", "parallel.svg"}
    for name in ("depth.svg", "parallel.svg"):
        assert f"(figures/{name})" in page
    html = (tmp_path / "report.html").read_text("utf-8")
    assert html.count("<svg ") == 2
    for shown in (page, html):  # how to run it again comes first
        assert shown.index("jobs/sweep.py") < shown.index("2026-01-02") < shown.index("11.00 (8.52 to 13.48)")
        assert "address: null" in shown


def test_a_sweep_without_a_finished_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sweep_report(report_of(TRIALS[-1:]), tmp_path, dict)
    assert "no setting is finished" in capsys.readouterr().out
    assert "No setting is finished." in (tmp_path / "report.md").read_text("utf-8")
    assert not (tmp_path / "best.yaml").exists()
