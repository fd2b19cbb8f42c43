"""Lines of progress, in logs and on terminals."""

from __future__ import annotations

import json
import re
import sys
import time

import pytest

from kpray.cluster.ray_compat import no_standard_error
from kpray.log import say
from kpray.report import progress
from kpray.report.progress import Activity, Progress, TrainingProgress
from kpray.report.sweep_progress import SweepProgress
from kpray.report.trials import TrialRow


def read_lines(capsys: pytest.CaptureFixture[str], number: int) -> list[str]:
    """Wait for this many lines on standard error, and return them."""
    lines: list[str] = []
    end = time.monotonic() + 30
    while len(lines) < number:
        assert time.monotonic() < end, f"only {lines}"
        time.sleep(0.005)
        lines += capsys.readouterr().err.splitlines()
    return lines


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines every 20 ms."""
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.02)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LOOKS", 0.005)


def test_lines_come_at_least_every_ten_seconds() -> None:
    assert progress._SECONDS_BETWEEN_LINES + progress._SECONDS_BETWEEN_LOOKS < 10


@pytest.mark.usefixtures("_hasty")
def test_an_activity_that_waits_is_not_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with Activity("starting Ray"):
        lines = read_lines(capsys, 3)
    assert {re.sub(r"\d+", "N", line) for line in lines} == {"kpray: starting Ray, N s"}
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().err == ""  # after the block there is no thread that prints


@pytest.mark.usefixtures("_hasty")
def test_the_innermost_activity_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with Activity("step embed"):
        with Progress("embedding passages", total=10) as shown:
            assert "embedding passages, 0 s: no document is done yet" in read_lines(capsys, 1)[-1]
            shown.advance(1, 1, seconds=0.1, new=True)
            shown.advance(1, 1, seconds=0.1, new=True)
            assert "embedding passages: 2 documents, 20% of the input" in read_lines(capsys, 2)[-1]
        capsys.readouterr()
        assert read_lines(capsys, 2)[-1].startswith("kpray: step embed, ")


@pytest.mark.usefixtures("_hasty")
def test_progress_goes_on_while_standard_error_is_dropped(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)  # as outside a test
    with no_standard_error(), Activity("starting Ray"):
        lines: list[str] = []
        end = time.monotonic() + 30
        while len(lines) < 2 and time.monotonic() < end:
            lines += capfd.readouterr().err.splitlines()
    assert lines[:2] == ["kpray: starting Ray, 0 s"] * 2


def test_what_was_done_before_and_the_start_do_not_count_as_speed(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("predicting", total=1000) as shown:
        assert shown.state()[0] == "predicting, 0 s: no document is done yet"
        shown.advance(300, 3000, seconds=0.1, new=False)  # an earlier run did them
        assert shown.state()[0] == "predicting, 0 s: no document is done yet"
        shown.advance(100, 10, seconds=100, new=True)  # the clock started then
        shown.advance(100, 30, seconds=90, new=True)  # by another worker, at the same time
        line, values = shown.state()
        assert shown.begun is not None
        shown.begun -= 100  # nothing is done in the next 100 s
        later = shown.state()[0]
    assert later.endswith("0.4 documents/s, about 150 s left")
    assert line == "predicting: 3,040 documents, 50% of the input, 0.4 documents/s, about 250 s left"
    assert (shown.new, shown.new_done) == (40, 200)
    assert shown.rate == pytest.approx(0.4, rel=0.01)
    assert (values["documents"], values["share"]) == (3040, 0.5)
    assert capsys.readouterr().err == ""  # a short job needs no line


def test_empty_input(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("predicting", total=0) as shown:
        shown.advance(0, 0, seconds=0.1, new=True)
        shown.advance(0, 0, seconds=0.1, new=True)
        assert shown.state()[0] == "predicting: 0 documents, 0% of the input"
    assert capsys.readouterr().err == ""


def line(step: int, **more: object) -> dict[str, object]:
    others = {"epoch": 0.5, "documents": 80, "padding": 0.1, "lr": 0.01, "grad_norm": None, "skipped": 0}
    return {"step": step, "steps": 100, "loss": 0.5, **others, "tokens_per_second": 1234.5, **more}


def test_training_in_a_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress() as shown:
        assert shown.state()[0] == "training, 0 s: no step is reported yet"
        shown.show(line(10, extraction=0.125))
        shown.show(line(20))
        second = shown.state()[0]
        shown.show({"step": 20, "epoch": 1, "seen": 100})  # is for the file only
        shown.show({"step": 20, "validating": "400 documents"})
        shown.latest -= 100
        step, _, validating = shown.state()[0].partition(", validating")
        assert step == "step 20 of 100  loss 0.5  1,234 tokens/s"
        assert re.fullmatch(r" on 400 documents, 10\d s", validating)
        shown.show({"step": 20, "score": 0.25, "best": 0.5, "validation": {"f1@M": 0.25, "[x]": 2}})
        shown.show({"step": 20, "note": "a checkpoint is damaged"})
        monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 3600)
        shown.latest -= 4000  # the next step takes more than an hour
        waited = shown.state()[0]
        assert re.fullmatch(r"step 20 of 100  loss 0.5  1,234 tokens/s \(400\d s ago\), about 0 s left", waited)
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "kpray: step 10 of 100  loss 0.5  extraction 0.125  1,234 tokens/s"
    assert re.fullmatch(r"step 20 of 100  loss 0.5  1,234 tokens/s, about \d+ s left", second)
    assert rest == ["kpray: step 20: validation score 0.25  f1@M 0.25  [x] 2", "kpray: a checkpoint is damaged"]


def test_training_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with TrainingProgress() as shown:
        shown.show(line(10, **{"#PK [a]": 2.5}))
        shown.show({"step": 10, "validating": "400 documents"})
        shown.live.refresh()
        shown.show({"step": 20, "note": "a checkpoint [bold]is damaged"})
        shown.show(line(100))
    err = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "loss 0.5  1,234 tokens/s" in err
    assert "validating on 400 documents" in err
    assert "step 100 of 100" in err
    assert "kpray: a checkpoint [bold]is damaged\n" in err  # a line of its own, above the live one


def test_nothing_is_live_where_lines_are_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("KPRAY_LOG", "json")
    with Progress("predicting", total=1000) as documents:
        documents.advance(100, 10, seconds=0.1, new=True)
        documents.advance(100, 10, seconds=0.1, new=True)
        progress._LOG.print_if_due(now=True)
    with TrainingProgress() as training:
        training.show(line(10))
    with SweepProgress(2) as sweep:
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


def test_sweep_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepProgress(4) as shown:
        shown.show(TrialRow("a", {"task.x": 1}, 0, "finished", 0.5, {}))  # by an earlier run
        shown.started -= 60
        assert shown.state()[0] == "sweep: 1 of 4 trials done, 60 s"
        shown.show(TrialRow("b", {"task.x": 2}, 0, "finished", 0.5, {}), "finished")
        shown.show(TrialRow("c", {"task.x": 3}, 0, "unfinished", None, {}), "started")
        text, values = shown.state()
    assert text == "sweep: 2 of 4 trials done, 1 running, 60 s, 1 trials/minute, about 120 s left"
    assert (values["done"], values["trials"]) == (2, 4)
    assert [line.partition(" (")[0] for line in capsys.readouterr().err.splitlines()] == [
        "kpray: x 2, seed 0: finished, score 0.5",
        "kpray: x 3, seed 0: started",
    ]


@pytest.mark.parametrize("width", ["80", "60"])
def test_nothing_is_cut_on_a_narrow_terminal(
    width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", width)
    losses = {f"loss_of_part_{number}": 0.125 for number in range(6)}
    with TrainingProgress() as training:
        training.show(line(10, **losses))
    with Progress("generating the keyphrases of all documents", total=1000) as documents:
        documents.advance(100, 1234567, seconds=0.1, new=True)
    with SweepProgress(2) as sweep:
        sweep.show(TrialRow("a", {f"task.long_name_{number}": 0.5 for number in range(8)}, 0, "finished", 0.5, {}))
    err = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "\N{HORIZONTAL ELLIPSIS}" not in err
    shown = "".join(err.split())
    for name in (*losses, "1,234,567", "long_name_7"):
        assert name in shown


def test_waiting_on_a_terminal_is_a_live_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Activity("starting Ray [x]"):
        say("note", "a line besides")
        print("a result")
    out, err = capsys.readouterr()
    assert out == "a result\n"
    err = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", err)
    assert "starting Ray [x] 0:00:0" in err
    assert "kpray: a line besides\n" in err
