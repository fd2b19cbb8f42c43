"""Owners of an output folder that are killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kpray.claims import claimed
from kpray.errors import UserError

OWNER = """
import sys, time
from pathlib import Path
from kpray.claims import claimed
with claimed(Path(sys.argv[1])):
    print("owned", flush=True)
    time.sleep(600)
"""


def test_a_run_continues_at_once_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "owned\n"
        with (
            pytest.raises(UserError, match=f"another job is writing there: process {owner.pid} on "),
            claimed(tmp_path),
        ):
            pass
        owner.kill()
        owner.stdout.read()  # the process has closed its files; it is a zombie until `wait`
        monkeypatch.setattr("kpray.claims.SECONDS_WITHOUT_RENEWAL", float("inf"))
        with claimed(tmp_path):
            assert [path.suffix for path in (tmp_path / "_kpray/.owner").iterdir()] == [".owner"]
