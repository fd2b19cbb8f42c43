"""Streaming work on any number of records with Ray Data, in chunks. The result of each chunk is written exactly once.

Reading tasks split every file into chunks of raw records. An actor processes a chunk and writes the result as one
Parquet file. The file name depends only on the chunk, and an existing file means that the chunk is finished. After a
kill, a lost worker or a full disk, the same command skips finished chunks. No record is lost or written twice.
"""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import pickle
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pyarrow as pa

from kpray.batch.actors import ChunkActor, PartRun, Run, result_row
from kpray.batch.deaths import KILLED, MOST_DEATHS, RECORD_DEATHS, WHOLE, Notes, noted_deaths
from kpray.batches import results_in_order
from kpray.cluster.meters import count, show
from kpray.cluster.ray_compat import FEW_CHUNKS
from kpray.corpus.items import Item, lost_rest
from kpray.corpus.reading import Chunk, join_chunks
from kpray.corpus.sources import Source
from kpray.corpus.writing import REJECTS_FILE
from kpray.errors import UserError
from kpray.failures import holding_logs
from kpray.log import say
from kpray.report.progress import Progress
from kpray.storage import CONCURRENT_READS, Location, whole_file

if TYPE_CHECKING:
    import ray

READER_CPUS = 0.1
ACTOR_CPUS = 0.9  # an actor on a core leaves room for one reader
_BYTES_PER_PROCESS = 500_000  # another process takes as long to start as one process needs for so much input
_FEW_DOCUMENTS = 200  # this process needs less time for them than an actor needs to start


class ChunkRun(PartRun, Protocol):
    """Description of a run that every actor and every reading task receives."""

    def part(self, source: Source) -> str:
        """Prefix of the names of a file's parts."""

    def chunks(self, source: Source) -> Iterator[Chunk]:
        """Chunks of a file. Every call yields the same chunks."""


FileRun = TypeVar("FileRun", bound=ChunkRun)


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of records of finished chunks."""

    written: int
    rejected: int


def process_chunks(
    run: FileRun, sources: Sequence[Source], size: int, actor: type[ChunkActor[FileRun]], placement: Mapping[str, Any]
) -> Counts:
    """Process every chunk of the files, and resume where an earlier run stopped.

    Args:
        run: sent to every worker.
        sources: the files.
        size: number of bytes that will be read, for the progress line.
        actor: processes the chunks.
        placement: arguments of `map_batches` for the actors.

    Returns:
        Counts of all records, including those of earlier runs.

    Raises:
        UserError: a worker found a user's mistake or could not write.
    """
    import ray

    with _one_chunk_per_block():
        chunks = ray.data.from_items([{"source": pickle.dumps(source)} for source in sources]).map_batches(
            partial(read_source, run=run), batch_size=1, batch_format="pyarrow", num_cpus=READER_CPUS
        )
        counts = _consume(_tables(_map(chunks, run, actor, placement)), actor.activity, size)
    merge_rejects(run)
    return counts


def process_chunks_locally(
    run: FileRun, sources: Sequence[Source], size: int, actor: type[ChunkActor[FileRun]]
) -> Counts:
    """Process every chunk of the files on this machine without Ray.

    Large inputs are processed by one process per core, small ones in this process.

    Args:
        run: sent to every process.
        sources: the files.
        size: number of bytes that will be read, for the progress line and the number of processes.
        actor: processes the chunks.

    Returns:
        Counts of all records, including those of earlier runs.

    Raises:
        UserError: as in `process_chunks`.
    """
    processes = min(len(os.sched_getaffinity(0)), -(-size // _BYTES_PER_PROCESS))
    if processes < 2:
        counts = _consume(map(actor(run), _read_locally(run, sources)), actor.activity, size)
    else:
        counts = _process_in_pool(run, sources, size, actor, processes)
    merge_rejects(run)
    return counts


def _read_locally(run: ChunkRun, sources: Sequence[Source]) -> Iterator[pa.Table]:
    return (table for source in sources for table in read_source(pa.table({"source": [pickle.dumps(source)]}), run))


def _process_in_pool(
    run: FileRun, sources: Sequence[Source], size: int, actor: type[ChunkActor[FileRun]], processes: int
) -> Counts:
    """Process chunks in several processes. If one dies, the pool ends them all, so the next pool has only one."""
    # Spawned, because a forked process would inherit the threads and the GPU of this one.
    spawn = multiprocessing.get_context("spawn")
    while True:
        before = noted_deaths(run.state)
        try:
            with ProcessPoolExecutor(processes, spawn, initializer=_start_actor, initargs=(actor, run)) as pool:
                futures = (pool.submit(_process_chunk, table) for table in _read_locally(run, sources))
                return _consume(results_in_order(futures, 4 * processes), actor.activity, size)
        except BrokenProcessPool as error:
            if noted_deaths(run.state) == before:
                raise UserError("a worker process died at its start", fix="see the messages above") from error
            processes = 1


_ACTORS: list[ChunkActor[Any]] = []  # in a process that `process_chunks_locally` started: its actor


def _start_actor(actor: type[ChunkActor[Any]], run: Any) -> None:
    _ACTORS.append(actor(run))


def _process_chunk(table: pa.Table) -> pa.Table:
    return _ACTORS[0](table)


def process_parts(
    run: Run, parts: Sequence[tuple[Any, int]], actor: type[ChunkActor[Run]], placement: Mapping[str, Any]
) -> None:
    """Process work that is already divided into parts, and resume where an earlier run stopped.

    A single small part is processed in this process, unless it needs a GPU.

    Args:
        run: sent to every worker.
        parts: for each part, the argument of the actor's `process` and its number of documents. The order must be the
            same in every run.
        actor: processes the parts.
        placement: arguments of `map_batches` for the actors.

    Raises:
        UserError: as in `process_chunks`.
    """
    names = [f"part-{index:06d}" for index in range(len(parts))]
    left = [name for name in names if not (run.output / f"{name}.parquet").exists()]
    if not left:
        return
    rows = [
        {
            "part": name,
            "chunk": pickle.dumps(work) if name in set(left) else b"",
            "bytes": documents,
            "error": "",
            "logs": "",
        }
        for name, (work, documents) in zip(names, parts, strict=True)
    ]
    size = sum(documents for _, documents in parts)
    if len(rows) == 1 and size <= _FEW_DOCUMENTS and not placement.get("num_gpus"):
        _consume(map(actor(run), [pa.Table.from_pylist(rows)]), actor.activity, size)
        return
    import ray

    with _one_chunk_per_block():
        chunks = ray.data.from_items(rows, override_num_blocks=len(rows))
        _consume(_tables(_map(chunks, run, actor, placement)), actor.activity, size)


@contextmanager
def _one_chunk_per_block() -> Iterator[None]:
    """Make Ray Data use blocks of one chunk, so that read-ahead is counted in chunks and spreads evenly.

    This also turns off Ray Data's warnings and progress lines, which would interfere with kpray's progress line.
    """
    from ray.data import DataContext

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=FEW_CHUNKS, category=UserWarning)
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.target_max_block_size = 1
    with DataContext.current(context):
        yield


def _map(
    chunks: ray.data.Dataset, run: Run, actor: type[ChunkActor[Run]], placement: Mapping[str, Any]
) -> ray.data.Dataset:
    return chunks.map_batches(
        actor, batch_size=1, batch_format="pyarrow", fn_constructor_kwargs={"run": run}, **placement
    )


def _tables(results: ray.data.Dataset) -> Iterable[pa.Table]:
    """The results of the actors, in the order in which they finish.

    This is Ray's own iterator, not a generator around it: an error must leave it alive until Ray is shut down.
    """
    tables: Iterable[pa.Table] = results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    return tables


def _consume(results: Iterable[pa.Table], activity: str, size: int) -> Counts:
    """Iterate over the results of the actors, and update the counts, the progress line and the metrics."""
    written = rejected = done = 0
    with Progress(activity, total=size) as progress:
        for table in results:
            for row in table.to_pylist():
                if row["logs"]:
                    say("error", row["logs"])
                if row["error"]:
                    raise UserError(row["error"])
                written += row["written"]
                rejected += row["rejected"]
                done += row["bytes"]
                documents = row["written"] + row["rejected"]
                progress.advance(row["bytes"], documents, seconds=row["seconds"], new=row["new"])
                if row["new"]:
                    count("kpray_job_documents", row["written"], outcome="written")
                    count("kpray_job_documents", row["rejected"], outcome="rejected")
                show("kpray_job_left", max(0.0, 1 - done / max(size, 1)))
    return Counts(written, rejected)


def read_source(table: pa.Table, run: ChunkRun) -> Iterator[pa.Table]:
    """Yield the chunks of one file. A finished chunk is empty and has only its name and size."""
    source: Source = pickle.loads(table["source"][0].as_py())  # this job pickled it, not the user
    start = run.part(source)
    try:
        chunks = _read_carefully(source, run, Notes(run.state, f"read-{start}"))
        while True:
            with holding_logs() as logs:
                chunk = next(chunks, None)
            if chunk is None:
                return
            part = f"{start}-{chunk.index:06d}"
            finished = (run.output / f"{part}.parquet").exists()
            contents = b"" if finished else pickle.dumps(chunk)
            yield result_row(part=part, chunk=contents, bytes=chunk.bytes, error="", logs="\n".join(logs))
    except UserError as error:
        yield result_row(part="", chunk=b"", bytes=0, error=str(error), logs="")


def _read_carefully(source: Source, run: ChunkRun, notes: Notes) -> Iterator[Chunk]:
    """The chunks of a file or bundle. A chunk that kills the worker that reads it ends its file with a reject."""
    if notes.deaths(WHOLE) < MOST_DEATHS:
        with notes.of(WHOLE):
            yield from run.chunks(source)
    elif source.members:
        files = enumerate(source.members)
        yield join_chunks(source, (chunk for index, file in files for chunk in _chunks(file, run, notes, f"{index}-")))
    else:
        yield from _chunks(source, run, notes, "")


def _chunks(source: Source, run: ChunkRun, notes: Notes, start: str) -> Iterator[Chunk]:
    """The chunks of a file, with a note for each."""
    chunks = run.chunks(source)
    line, left = 1, source.bytes
    for index in itertools.count():
        if notes.deaths(f"{start}{index}") >= RECORD_DEATHS:
            yield Chunk(source.name, source.format, index, line, [Item(line, lost_rest(KILLED))], left)
            return
        with notes.of(f"{start}{index}"):
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk
        line, left = chunk.items[-1].line + 1 if chunk.items else line, left - chunk.bytes


def merge_rejects(run: ChunkRun) -> None:
    """Merge the rejects of all chunks into `output/_rejects.jsonl`."""
    parts: list[Location] = sorted((run.state / "rejects").glob("*.jsonl"))
    with (
        whole_file(run.output / REJECTS_FILE) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="\n") as file,
        ThreadPoolExecutor(CONCURRENT_READS) as readers,
    ):
        file.writelines(readers.map(lambda part: part.read_text(encoding="utf-8"), parts))
