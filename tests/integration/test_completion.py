"""Completion of a command line in a real bash."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.test_command_line import printed


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = " ".join(map(shlex.quote, words))
    ask = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _tyro_find_it; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    finished = subprocess.run(["bash", "-c", f"{script}\n{ask}"], check=True, capture_output=True, text=True)
    assert not finished.stderr
    return finished.stdout.split()


def test_completion_in_bash(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = printed(capsys, "--tyro-print-completion", "bash")
    assert "--label" in completed(script, "find", "--")
    assert completed(script, "find", "--first.b") == ["--first.beams"]
    assert completed(script, "find", "--first.dtype", "") == ["auto", "none"]
    assert completed(script, "find", "--no-ex") == ["--no-explain"]
    assert completed(script, "find", "--explain", "--mo") == ["--model"]  # a switch takes no value
    (tmp_path / "model-folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert completed(script, "find", "--model", "mod") == ["model-folder"]
    assert completed(script, "find", "--config", "mod") == ["model-folder"]
