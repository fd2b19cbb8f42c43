"""A stranger's exercise: a new method is one file and one line, and then every command has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.commands import ROOT
from tests.integration.jobs import Job
from tests.integration.serving import Server, free_port

THE_FILE = Path(__file__).parent / "new_method" / "textrank.py"
THE_LINE = '    "textrank": Method("kpray.textrank:TextRank", "kpray.textrank:TextRankConfig"),\n'
PHRASES = ["large graphs", "graph neural networks", "message passing"]  # by hand: "graphs" has the most neighbours
TEXT = "Graph neural networks learn on large graphs. Large graphs need message passing."

pytestmark = pytest.mark.usefixtures("nltk_tagger")


@pytest.fixture(scope="module")
def kpray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the file and the line; the folder that it lies in."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "kpray", folder / "kpray", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(THE_FILE, folder / "kpray" / "textrank.py")
    registry = folder / "kpray" / "registry.py"
    lines = registry.read_text("utf-8")
    start = "METHODS = {\n"
    assert lines.count(start) == 1
    registry.write_text(lines.replace(start, start + THE_LINE), encoding="utf-8")
    record = {"id": "a", "abstract": TEXT, "keyphrases": ["graph neural networks", "message passing"]}
    (folder / "documents.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    return folder


def run(folder: Path, *arguments: str) -> str:
    """Run `kpray` of the copy; what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "kpray", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_command_line(kpray: Path) -> None:
    printed = json.loads(run(kpray, "extract", "documents.jsonl", "--predictor", "textrank", "--format", "json"))
    assert printed["made_by"]["predictor"] == "textrank"
    assert [each["text"] for each in printed["documents"][0]["keyphrases"]] == PHRASES
    options = ["--predictor", "textrank", "--textrank.window", "5", "--format", "json"]
    assert json.loads(run(kpray, "extract", "documents.jsonl", *options))["made_by"]["config"]["window"] == 5


@pytest.mark.slow
def test_batch_and_evaluation(kpray: Path) -> None:
    run(kpray, "batch", "--input", "documents.jsonl", "--output", "output", "--predictor", "textrank")
    [row] = pq.read_table(kpray / "output").to_pylist()
    assert [each["text"] for each in row["keyphrases"]] == PHRASES
    shown = run(kpray, "evaluate", "--input", "documents.jsonl", "--predictions", "output", "--protocol", "meng")
    assert "textrank" in shown


def test_serving(kpray: Path) -> None:
    port = free_port()
    options = ["--models", "textrank", "--port", str(port)]
    with Job("-m", "kpray", "serve", *options, variables={"PYTHONPATH": str(kpray)}) as job:
        server = Server(job, port)
        server.wait_until_ready()
        with server.client:
            [result] = server.ask([TEXT]).json()["results"]
        assert [each["text"] for each in result["keyphrases"]] == PHRASES
