"""Fixtures: a run of the batch job with a small SAMRank, and its input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kpray import failures
from kpray.batch.extract import BatchRun
from kpray.corpus.limits import Reading
from kpray.corpus.sources import Source, find_sources
from tests.batch.runs import TEXTS
from tests.samrank.tiny_models import save_bert


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_bert(tmp_path_factory.mktemp("model")).folder


@pytest.fixture
def run(tmp_path: Path, model: str) -> BatchRun:
    config = {"model": model, "heads": ["2-1"]}
    run = BatchRun(tmp_path / "output", "samrank", config, top=10, reading=Reading(lang="en"), chunk_records=2)
    (run.state / "rejects").mkdir(parents=True)
    return run


@pytest.fixture(autouse=True)
def no_logged_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test logs its tracebacks anew."""
    monkeypatch.setattr(failures, "_logged", set())


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    lines = [json.dumps({"id": str(index), "text": text}) for index, text in enumerate(TEXTS)]
    (tmp_path / "some.jsonl").write_text("\n".join([lines[0], "broken", *lines[1:]]), encoding="utf-8")
    return find_sources([str(tmp_path / "some.jsonl")])
