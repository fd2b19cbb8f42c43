"""The token files of a training set, and the order of their rows. tests/integration has tests with Ray."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kpray.batch.chunks import read_source
from kpray.cluster.inputs import identify
from kpray.cluster.step_cache import StepCache
from kpray.corpus.limits import Limits, Reading
from kpray.corpus.sources import find_sources
from kpray.document import Record
from kpray.train.dataset import ORDER, Rows, number_columns
from kpray.train.tokenize import STEP, TokenRun, _TokenizeChunk
from tests.train.tiny_task import TinyConfig, TinyTask, make_records, write_records


@pytest.fixture
def run(tmp_path: Path) -> TokenRun:
    write_records(make_records(700, seed=1), tmp_path / "z.jsonl")
    write_records(make_records(30, seed=2), tmp_path / "a.jsonl")
    with (tmp_path / "a.jsonl").open("a", encoding="utf-8") as file:
        file.write('broken\n{"id": "without", "abstract": "graph noise"}\n')
    sources = find_sources([str(tmp_path / "z.jsonl"), str(tmp_path / "a.jsonl")])  # not sorted by name
    folder, task = tmp_path / "output", TinyTask(TinyConfig())
    return TokenRun(folder, task, tuple(sources), identify(sources), None, Reading(lang="en"))


def tokenize(run: TokenRun) -> list[dict[str, Any]]:
    """Run the actor on all chunks, in reverse order."""
    (run.state / "rejects").mkdir(parents=True, exist_ok=True)
    actor = _TokenizeChunk(run)
    sources = [source for source in run.sources if source.path in run.shares]
    rows = [pa.Table.from_pylist([{"source": pickle.dumps(source)}]) for source in sources]
    tables = [table for row in rows for table in read_source(row, run)]
    return [actor(table).to_pylist()[0] for table in reversed(tables)]


def parts(run: TokenRun) -> list[str]:
    return sorted(path.name for path in run.output.glob("*.parquet"))


def texts(run: TokenRun) -> list[str]:
    """Ids of the rows in the order in which a training worker has them."""
    tables = [pq.read_table(run.output / name) for name in reversed(parts(run))]
    return [row["id"] for row in pa.concat_tables(tables).sort_by(ORDER).to_pylist()]


def test_rows_are_in_the_order_of_the_records(run: TokenRun) -> None:
    results = tokenize(run)
    assert [row["error"] for row in results] == [""] * 3
    assert parts(run) == ["part-00000-000000.parquet", "part-00000-000001.parquet", "part-00001-000000.parquet"]
    assert texts(run) == [str(index) for index in (*range(700), *range(30))]
    assert (sum(row["written"] for row in results), sum(row["rejected"] for row in results)) == (730, 2)
    rejects = (run.state / "rejects/part-00001-000000.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["line"] for line in rejects] == [31, 32]
    assert json.loads(rejects[1])["reason"] == "no keyphrases"


def without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Check how long the workers say that they needed, and return the rest of their rows."""
    assert all(row["seconds"] > 0 for row in rows)
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_finished_parts_are_skipped(run: TokenRun) -> None:
    before = without_seconds(tokenize(run))
    times = {name: (run.output / name).stat().st_mtime_ns for name in parts(run)}
    (run.output / parts(run)[1]).unlink()
    after = without_seconds(tokenize(run))
    assert [row["new"] for row in after] == [False, True, False]
    assert [{**row, "new": True} for row in after] == before
    del times[parts(run)[1]]
    assert {name: (run.output / name).stat().st_mtime_ns for name in times} == times
    assert StepCache(run.folder).find(STEP, run.inputs()) is None  # only the job marks the step as finished


@pytest.mark.parametrize(("documents", "expected"), [(1, 1), (500, 500), (501, 501), (700, 700), (710, 710)])
def test_first_documents(documents: int, expected: int, run: TokenRun) -> None:
    some = replace(run, documents=documents)
    tokenize(some)
    assert texts(some) == [str(index) for index in (*range(700), *range(30))][:expected]
    assert some.output != run.output


def test_more_documents_than_exist(run: TokenRun) -> None:
    some = replace(run, documents=10_000)
    tokenize(some)
    assert len(texts(some)) == 730
    records = {path: share.records for path, share in some.shares.items()}
    assert records == {run.sources[0].path: 700, run.sources[1].path: 32}
    assert [share.bytes for share in some.shares.values()] == [source.bytes for source in run.sources]


def test_folder_depends_on_the_inputs(run: TokenRun, tmp_path: Path) -> None:
    class OtherTask(TinyTask):
        def describe_tokens(self) -> dict[str, Any]:
            return {"kind": "other"}

    (first, one), (second, two) = run.identities.items()
    others = [
        replace(run, task=OtherTask(TinyConfig())),
        replace(run, identities={second: two, first: one}),
        replace(run, identities={first: one}),
        replace(run, identities={first: {**one, "sha256": "an edit of the same size"}, second: two}),
        replace(run, documents=5),
        replace(run, reading=Reading(lang="fr")),
        replace(run, reading=Reading(limits=Limits(max_characters=9))),
    ]
    assert len({other.output for other in (run, *others)}) == 8
    same = replace(run, task=TinyTask(TinyConfig(hidden=99)))  # another model with the same tokens
    assert same.output == run.output
    touched = replace(run, identities={first: {**one, "modified": 1}, second: two})  # its checksum covers all of it
    assert touched.output == run.output


def test_rows_in_memory() -> None:
    schema = pa.schema(
        [("id", pa.string()), ("ids", pa.list_(pa.int32())), ("label", pa.int8()), ("length", pa.int32())]
    )
    assert number_columns(schema) == [ORDER, "ids", "label", "length"]
    values: list[dict[str, Any]] = [
        {"ids": [1, 2, 3], "label": 1, "length": 3, ORDER: 70},
        {"ids": [], "label": -1, "length": 0, ORDER: 5},
        {"ids": [4], "label": 0, "length": 1, ORDER: 1 << 50},
    ]
    types = pa.schema([*list(schema)[1:], pa.field(ORDER, pa.int64())])
    tables = [pa.Table.from_pylist(values[start:end], schema=types) for start, end in ((2, 3), (0, 2), (0, 0))]
    rows = Rows(tables)
    assert len(rows) == 3
    assert rows.lengths.tolist() == [0, 3, 1]
    taken = rows.take(np.array([2, 0, 1, 1]))
    assert [row["ids"].tolist() for row in taken] == [[4], [], [1, 2, 3], [1, 2, 3]]
    assert [int(row["label"]) for row in taken] == [0, -1, 1, 1]
    assert {row["ids"].dtype for row in taken} == {np.dtype(np.int32)}
    assert taken[0].keys() == {"ids", "label", "length"}


def test_no_rows() -> None:
    assert len(Rows([])) == 0


def test_a_record_with_an_unexpected_exception_is_a_reject(run: TokenRun) -> None:
    class PoisonedTask(TinyTask):
        def tokenize(self, records: Sequence[Record]) -> list[dict[str, Any] | str]:
            if any(record.document.id in ("7", "600") for record in records):
                raise IndexError
            return super().tokenize(records)

    poisoned = replace(run, task=PoisonedTask(TinyConfig()), sources=run.sources[:1])
    results = tokenize(poisoned)
    assert [(row["written"], row["rejected"], row["error"]) for row in results] == [(199, 1, ""), (499, 1, "")]
    assert texts(poisoned) == [str(index) for index in range(700) if index not in (7, 600)]
    rejects = [json.loads(path.read_text("utf-8")) for path in sorted((poisoned.state / "rejects").iterdir())]
    assert [(each["line"], each["reason"]) for each in rejects] == [
        (8, "internal error: IndexError"),
        (601, "internal error: IndexError"),
    ]
