"""Lines of progress, most of them where standard error is no terminal."""

from __future__ import annotations

import json
import re

import pytest

from kpray.log import say
from kpray.report import progress
from kpray.report.progress import Progress, TrainingProgress
from kpray.report.sweep_progress import SweepProgress
from kpray.report.trials import TrialRow


def test_what_was_done_before_and_the_start_do_not_count_as_speed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0)
    with Progress(total=1000) as shown:
        shown.advance(300, 3000, new=False)  # an earlier run did them
        shown.advance(100, 10, new=True)  # the clock starts when these are done
        assert capsys.readouterr().err == ""
        shown.advance(100, 10, new=True)
    line = capsys.readouterr().err
    assert re.fullmatch(r"kpray: 3,020 documents, 50% of the input, [\d.]+ documents/s, about \d+ s left\n", line)
    assert (shown.new, shown.new_done) == (10, 100)


def test_empty_input(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(total=0) as shown:
        shown.advance(0, 0, new=True)
        shown.advance(0, 0, new=True)
    assert capsys.readouterr().err == ""


def line(step: int, **more: object) -> dict[str, object]:
    others = {"epoch": 0.5, "documents": 80, "padding": 0.1, "lr": 0.01, "grad_norm": None, "skipped": 0}
    return {"step": step, "steps": 100, "loss": 0.5, **others, "tokens_per_second": 1234.5, **more}


def test_training_in_a_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0)
    with TrainingProgress() as shown:
        shown.show(line(10, extraction=0.125))
        shown.show(line(20))
        shown.show({"step": 20, "epoch": 1, "seen": 100})  # is for the file only
        shown.show({"step": 20, "score": 0.25, "best": 0.5, "validation": {"f1@M": 0.25, "[x]": 2}})
        shown.show({"step": 20, "note": "a checkpoint is damaged"})
    first, second, *rest = capsys.readouterr().err.splitlines()
    assert first == "kpray: step 10 of 100  loss 0.5  extraction 0.125  1,234 tokens/s"
    assert re.fullmatch(r"kpray: step 20 of 100  loss 0.5  1,234 tokens/s, about \d+ s left", second)
    assert rest == ["kpray: step 20: validation score 0.25  f1@M 0.25  [x] 2", "kpray: a checkpoint is damaged"]


def test_training_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with TrainingProgress() as shown:
        shown.show(line(10, **{"#PK [a]": 2.5}))
        shown.show({"step": 20, "note": "a checkpoint [bold]is damaged"})
        shown.show(line(100))
    err = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "loss 0.5  1,234 tokens/s" in err
    assert "step 100 of 100" in err
    assert "kpray: a checkpoint [bold]is damaged\n" in err  # a line of its own, above the live one


def test_nothing_is_live_where_lines_are_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("KPRAY_LOG", "json")
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0)
    with Progress(total=1000) as documents, TrainingProgress() as training, SweepProgress(2) as sweep:
        documents.advance(100, 10, new=True)
        documents.advance(100, 10, new=True)
        training.show(line(10))
        sweep.show(TrialRow("a", {"task.x": 1}, 0, "unfinished", 0.5, {}), "started")
        sweep.tick(1.0, 1.0)
    lines = [json.loads(written) for written in capsys.readouterr().err.splitlines()]
    assert [values["event"] for values in lines] == ["progress", "progress", "trial"]
    assert (lines[0]["documents"], lines[1]["loss"], lines[2]["happened"]) == (20, 0.5, "started")


def test_sweep_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with SweepProgress(2) as shown:
        shown.show(TrialRow("a", {"task.x": 1}, 0, "unfinished", 0.5, {}), "started")
        say("note", "a line besides")
    err = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "kpray: a line besides\n" in err
    assert "0 of 2 trials done, 1 running; 0.00 hours" in err
    assert "kpray: x 1" not in err  # the table says it
