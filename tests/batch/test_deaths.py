"""A record that kills its worker is rejected, and the job goes on."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kpray.batch.actors import ChunkActor, RecordActor
from kpray.batch.chunks import process_chunks_locally, read_source
from kpray.batch.deaths import KILLED, MOST_DEATHS, RECORD_DEATHS, WHOLE, Notes
from kpray.corpus.limits import Reading
from kpray.corpus.reading import Chunk, read_chunks
from kpray.corpus.records import Reject, parse_chunk
from kpray.corpus.sources import Source, find_sources
from kpray.errors import UserError

POISON = {93, 94}  # records that kill


@dataclass(frozen=True)
class Run:
    output: Path

    @property
    def state(self) -> Path:
        return self.output / "_state"

    def part(self, source: Source) -> str:
        return f"part-{Path(source.path).stem}"

    def chunks(self, source: Source) -> Iterator[Chunk]:
        return read_chunks(source, 40, Reading())


class Deadly(RecordActor[Run]):
    """Kills its process when it sees a poison record."""

    def open(self) -> None:
        pass

    def results(self, chunk: Chunk) -> tuple[pa.Table, list[Reject]]:
        rows, rejects = [], []
        for parsed in parse_chunk(chunk, Reading()):
            if isinstance(parsed, Reject):
                rejects.append(parsed)
                continue
            if "poison" in parsed.document.body:
                os.kill(os.getpid(), signal.SIGKILL)
            rows.append({"id": parsed.document.id})
        return pa.Table.from_pylist(rows, schema=pa.schema([("id", pa.string())])), rejects

    def complete(self, rows: pa.Table, chunk: Chunk) -> pa.Table:
        return rows.append_column("number", pa.array(range(len(rows)), pa.int64()))


class DeadAtStart(Deadly):
    def open(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})  # with one core, no other process would work
    run = Run(tmp_path / "output")
    (run.state / "rejects").mkdir(parents=True)
    return run


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    lines = [
        json.dumps({"id": str(number), "abstract": "poison" if number in POISON else "a graph " * 600})
        for number in range(200)
    ]
    lines[150] = "no JSON"
    (tmp_path / "in.jsonl").write_text("\n".join(lines), "utf-8")
    return find_sources([str(tmp_path / "in.jsonl")])


def rows(run: Run) -> list[tuple[str, int]]:
    found = []
    for path in sorted(run.output.glob("part-*.parquet")):
        found += [(row["id"], row["number"]) for row in pq.read_table(path).to_pylist()]
    return found


@pytest.mark.slow
def test_only_the_records_that_kill_are_lost(run: Run, sources: list[Source]) -> None:
    counts = process_chunks_locally(run, sources, sources[0].bytes, Deadly)
    kept = [number for number in range(200) if number not in POISON and number != 150]
    assert [id for id, _ in rows(run)] == [str(number) for number in kept]
    assert [number for _, number in rows(run)[80:118]] == list(range(38))  # as if the record did not exist
    rejects = [json.loads(line) for line in (run.output / "_rejects.jsonl").read_text("utf-8").splitlines()]
    assert [reject["line"] for reject in rejects] == [94, 95, 151]
    assert [reject["reason"] == KILLED for reject in rejects] == [True, True, False]
    assert (counts.written, counts.rejected) == (197, 3)

    assert process_chunks_locally(run, sources, sources[0].bytes, Deadly) == counts  # nothing dies again


def test_workers_that_die_at_their_start_end_the_job(run: Run, sources: list[Source]) -> None:
    with pytest.raises(UserError, match="died at its start"):
        process_chunks_locally(run, sources, sources[0].bytes, DeadAtStart)


def die(run: Run, name: str, what: str, times: int) -> None:
    """Leave the notes of workers that died."""
    for _ in range(times):
        path = run.state / "deaths" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{path.read_text('utf-8')}\n{what}" if path.exists() else what, "utf-8")


def read(run: Run, source: Source) -> list[dict[str, object]]:
    tables = read_source(pa.table({"source": [pickle.dumps(source)]}), run)
    return [{**row, "chunk": pickle.loads(row["chunk"])} for table in tables for row in table.to_pylist()]


def test_a_file_that_kills_its_reader_ends_with_a_reject(run: Run, sources: list[Source]) -> None:
    whole = read(run, sources[0])
    die(run, "read-part-in", WHOLE, MOST_DEATHS)
    assert read(run, sources[0]) == whole
    die(run, "read-part-in", "2", RECORD_DEATHS)
    first, second, rest = read(run, sources[0])
    assert [first, second] == whole[:2]
    chunk = rest["chunk"]
    assert isinstance(chunk, Chunk)
    [reject] = parse_chunk(chunk, Reading())
    assert isinstance(reject, Reject)
    assert (reject.line, reject.reason) == (81, f"the rest of the file cannot be read: {KILLED}")
    assert sum(row["bytes"] for row in (first, second, rest)) == sources[0].bytes  # type: ignore[misc]


def test_a_note_exists_only_during_the_work(run: Run) -> None:
    with Notes(run.state, "part").of(WHOLE):
        assert Notes(run.state, "part").deaths(WHOLE) == 1
    assert not list((run.state / "deaths").iterdir())
    die(run, "part", WHOLE, 2)
    with Notes(run.state, "part").of("3"):
        pass
    assert (Notes(run.state, "part").deaths(WHOLE), Notes(run.state, "part").deaths("3")) == (2, 0)


class OneStep(ChunkActor[Run]):
    def open(self) -> None:
        pass

    def process(self, chunk: str, part: str) -> None:
        raise AssertionError


def test_work_that_cannot_be_divided_ends_the_job(run: Run) -> None:
    die(run, "part-1", WHOLE, MOST_DEATHS)
    row = {"part": "part-1", "chunk": pickle.dumps("work"), "bytes": 1, "error": "", "logs": ""}
    error = OneStep(run)(pa.Table.from_pylist([row]))["error"][0].as_py()
    assert error.startswith(f"{run.output}: processing documents: 3 workers died at part-1")
