"""An index that is replaced while another process searches it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

from kpray.ramkg.index import PassageIndex, build_index
from tests.ramkg.index_data import FLOAT16, SHARD, random_vectors


def hold_open(folder: str, pipe: Any) -> None:
    """Another process: open the index, say so, wait, search."""
    index = PassageIndex(Path(folder), "0")
    pipe.send("open")
    pipe.recv()
    pipe.send([part.tolist() for part in index.search(random_vectors(3, seed=1), 5)])


def test_another_process_goes_on_with_the_files_it_opened(tmp_path: Path) -> None:
    old = build_index([random_vectors(250)], tmp_path, FLOAT16, "0", SHARD)
    expected = [part.tolist() for part in PassageIndex(tmp_path, "0").search(random_vectors(3, seed=1), 5)]
    context = multiprocessing.get_context("spawn")
    mine, other = context.Pipe()
    process = context.Process(target=hold_open, args=(str(tmp_path), other))
    process.start()
    assert mine.recv() == "open"
    build_index([random_vectors(250, seed=5)], tmp_path, FLOAT16, "1", SHARD)
    assert not any((tmp_path / shard.file).exists() for shard in old.shards)
    mine.send("search")
    assert mine.recv() == expected
    process.join()
    assert process.exitcode == 0
