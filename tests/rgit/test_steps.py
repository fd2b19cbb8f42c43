"""The log of the steps of RGIT."""

from __future__ import annotations

from pathlib import Path

import pytest

from kpray.rgit.steps import RGITSteps


def test_steps_are_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = RGITSteps(tmp_path), RGITSteps(tmp_path)
    step = first.do("embed", {"encoder": "a"}, lambda _: {"rows": 1})
    again = second.do("embed", {"encoder": "a"}, lambda _: {"rows": 2})
    second.do("search", {"encoder": "a"}, lambda _: {})
    assert (step.outcome, again.outcome) == ({"rows": 1}, {"rows": 1})
    assert [line["reused"] for line in first.log] == [False]
    assert [(line["step"], line["reused"]) for line in second.log] == [("embed", True), ("search", False)]
    assert second.log[0]["key"] == step.key
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [f"kpray: embed {step.key}", f"kpray: embed {step.key} (reused)"]
