"""Ids that occur more than once."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typing_extensions import override

from kpray.corpus.ids import count_repeated_ids


def test_repeated_ids_are_counted_over_files(tmp_path: Path) -> None:
    for name, ids in (("a", ["1", "2", "2"]), ("b", ["1", "3"])):
        pq.write_table(pa.table({"id": ids}), tmp_path / f"{name}.parquet")
    assert count_repeated_ids(tmp_path) == 2


def test_files_are_read_in_the_calling_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread could still hold what it read when Python ends; Arrow then aborts the process."""
    pq.write_table(pa.table({"id": ["1", "2"]}), tmp_path / "a.parquet")
    readers: set[int] = set()

    class Recorder(io.BytesIO):
        @override
        def read(self, size: int | None = -1) -> bytes:
            readers.add(threading.get_ident())
            return super().read(size)

    contents = (tmp_path / "a.parquet").read_bytes()
    monkeypatch.setattr(Path, "open", lambda path, mode: Recorder(contents))
    assert count_repeated_ids(tmp_path) == 0
    assert readers == {threading.get_ident()}
