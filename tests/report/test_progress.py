"""Lines of progress where standard error is no terminal."""

from __future__ import annotations

import re

import pytest

from kpray.report import progress
from kpray.report.progress import Progress


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
    assert re.fullmatch(r"3,020 documents, 50% of the input, [\d.]+ documents/s, about \d+ s left\n", line)
    assert (shown.new, shown.new_done) == (10, 100)


def test_empty_input(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(total=0) as shown:
        shown.advance(0, 0, new=True)
        shown.advance(0, 0, new=True)
    assert capsys.readouterr().err == ""
