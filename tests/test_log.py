"""Log lines on standard error, as text and as JSON."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

import pytest

from kpray.errors import UserError
from kpray.log import say
from kpray.report.progress import TrainingProgress
from kpray.settings import run_main


def test_text_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("step", "embed ab12", step="embed")
    assert capsys.readouterr().err == "kpray: embed ab12\n"


def test_json_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KPRAY_LOG", "json")
    say("step", "naïve\nline", step="embed", reused=False)

    def main() -> int:
        raise UserError("is not there", where="a.jsonl", fix="choose another")

    with pytest.raises(SystemExit):
        run_main(main)
    with TrainingProgress() as progress:
        progress.show({"step": 1, "steps": 2, "loss": 0.5, "tokens_per_second": 10.0})
    step, error, training = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert datetime.now(UTC) >= datetime.fromisoformat(step.pop("time"))
    assert step == {"event": "step", "message": "naïve\nline", "step": "embed", "reused": False}
    assert (error["event"], error["where"], error["what"]) == ("error", "a.jsonl", "is not there")
    assert (training["event"], training["step"], training["loss"]) == ("progress", 1, 0.5)


def test_child_loggers_write_the_same_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("kpray.text.tagging")
    logger.warning("%s%% was not found", 5)
    assert capsys.readouterr().err == "kpray: 5% was not found\n"
    monkeypatch.setenv("KPRAY_LOG", "json")
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("it ended")
    values = json.loads(capsys.readouterr().err)
    assert (values["event"], values["message"]) == ("error", "it ended")
    assert values["traceback"].endswith("ValueError: boom")


def test_lines_have_levels(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("kpray")
    logger.addHandler(caplog.handler)
    for event in ("step", "warning", "error"):
        say(event, "100% done")
    logger.removeHandler(caplog.handler)
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "ERROR"]
    assert {record.getMessage() for record in caplog.records} == {"100% done"}
