"""Tokenizing without Ray: several processes write what one process writes."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kpray.batch import chunks
from kpray.cluster.inputs import identify
from kpray.corpus.limits import Reading
from kpray.corpus.sources import find_sources
from kpray.train.tokenize import TokenRun, tokenize_files
from tests.unikeyphrase.tiny_model import make_task, save_backbone, write_records


def test_processes_write_what_one_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backbone").mkdir()
    task = make_task(save_backbone(tmp_path / "backbone"))
    write_records(tmp_path / "documents.jsonl")
    with (tmp_path / "documents.jsonl").open("a", encoding="utf-8") as file:
        file.write("{broken\n")
    sources = tuple(find_sources([str(tmp_path / "documents.jsonl")]))

    def tokenize(name: str) -> tuple[list[dict[str, object]], str]:
        run = TokenRun(tmp_path / name, task, sources, identify(sources), None, Reading(lang="en"))
        tokens = tokenize_files(run, local=True)
        assert (tokens.rows, tokens.rejected) == (4, 1)
        rows = [row for part in tokens.parts() for row in pq.read_table(part).to_pylist()]
        return rows, (tokens.folder / "_rejects.jsonl").read_text("utf-8")

    alone = tokenize("one")
    monkeypatch.setattr(chunks, "_BYTES_PER_PROCESS", 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    assert tokenize("two") == alone
