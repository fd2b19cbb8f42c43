"""Work on any number of records on Ray Data: streaming, in chunks that are each committed once.

Reading tasks turn every file into chunks of raw records; an actor does the work of a chunk and writes its result as one
Parquet file under a name that the chunk alone decides. A file that is there is finished work: after a kill, a lost
worker or a full disk the same command passes over it, so no record is written twice and none is missed.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from kpray.cluster.meters import count, show
from kpray.cluster.ray_compat import FEW_CHUNKS
from kpray.corpus.reading import Chunk
from kpray.corpus.records import Reject
from kpray.corpus.sources import Source
from kpray.corpus.writing import REJECTS_FILE, write_rejects
from kpray.errors import UserError
from kpray.report.progress import Progress
from kpray.storage import Location, reason_of, whole_file

if TYPE_CHECKING:
    import ray

READER_CPUS = 0.1
ACTOR_CPUS = 0.9  # so that every actor on a core leaves room for a reader
_BYTES_A_PROCESS = 500_000  # of the files: in the seconds that another process takes to start, one reads as much
_READS_AT_ONCE = 32  # an object store takes some 20 ms for each, however small


class PartRun(Protocol):
    """What the actors are told."""

    @property
    def output(self) -> Location:
        """Folder of the parts, as an absolute path that all nodes see."""

    @property
    def state(self) -> Location:
        """Folder of what the work needs to go on; has a folder `rejects` where records can be rejected."""


class ChunkRun(PartRun, Protocol):
    """What the reading tasks are told, too."""

    def part(self, source: Source) -> str:
        """Start of the names of the parts that are made of a file."""

    def chunks(self, source: Source) -> Iterator[Chunk]:
        """The same chunks every time."""


Run = TypeVar("Run", bound=PartRun)
FileRun = TypeVar("FileRun", bound=ChunkRun)


@dataclass(frozen=True, slots=True)
class Counts:
    """Records of finished work."""

    written: int
    rejected: int


def process_chunks(
    run: FileRun, sources: Sequence[Source], size: int, actor: type[ChunkActor[FileRun]], placement: Mapping[str, Any]
) -> Counts:
    """Do the work of every chunk of the files, and go on where an earlier run stopped.

    Args:
        run: told to every worker.
        sources: the files.
        size: bytes of them that will be read, for the progress line.
        actor: does the work of a chunk.
        placement: arguments of `map_batches` for the actors.

    Raises:
        UserError: a worker met a mistake of the user, or could not write.
    """
    import ray

    with _chunk_a_block():
        chunks = ray.data.from_items([{"source": pickle.dumps(source)} for source in sources]).map_batches(
            partial(read_source, run=run), batch_size=1, batch_format="pyarrow", num_cpus=READER_CPUS
        )
        counts = _follow(_tables(_map(chunks, run, actor, placement)), actor.activity, size)
    merge_rejects(run)
    return counts


def process_chunks_locally(
    run: FileRun, sources: Sequence[Source], size: int, actor: type[ChunkActor[FileRun]]
) -> Counts:
    """Do the same as `process_chunks` on this machine without Ray: in other processes, or in this one if it is little.

    Args:
        run: passed to every process.
        sources: the files.
        size: bytes of them that will be read, for the progress line and the number of processes.
        actor: does the work of a chunk.

    Raises:
        UserError: as `process_chunks`.
    """
    chunks = (table for source in sources for table in read_source(pa.table({"source": [pickle.dumps(source)]}), run))
    processes = min(len(os.sched_getaffinity(0)), -(-size // _BYTES_A_PROCESS))
    if processes < 2:
        counts = _follow(map(actor(run), chunks), actor.activity, size)
    else:
        # A new interpreter each: a forked one would inherit the threads and the GPU of this one.
        with ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), initializer=_start_actor, initargs=(actor, run)
        ) as pool:
            counts = _follow(_bounded_map(pool, _process_chunk, chunks, 4 * processes), actor.activity, size)
    merge_rejects(run)
    return counts


def _bounded_map(
    pool: ProcessPoolExecutor, function: Callable[[pa.Table], pa.Table], tables: Iterable[pa.Table], most: int
) -> Iterator[pa.Table]:
    """`pool.map` that reads at most `most` tables ahead."""
    waiting: deque[Future[pa.Table]] = deque()
    for table in tables:
        waiting.append(pool.submit(function, table))
        if len(waiting) >= most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


_ACTORS: list[ChunkActor[Any]] = []  # the one of this process, which `process_chunks_locally` started


def _start_actor(actor: type[ChunkActor[Any]], run: Any) -> None:
    _ACTORS.append(actor(run))


def _process_chunk(table: pa.Table) -> pa.Table:
    return _ACTORS[0](table)


def process_parts(
    run: Run, parts: Sequence[tuple[Any, int]], actor: type[ChunkActor[Run]], placement: Mapping[str, Any]
) -> None:
    """Do work that is cut into parts beforehand, and go on where an earlier run stopped.

    Args:
        run: told to every worker.
        parts: what the actor's `process` is given, and its number of documents, in an order that is always the same.
        actor: does the work of a part.
        placement: arguments of `map_batches` for the actors.

    Raises:
        UserError: as `process_chunks`.
    """
    import ray

    names = [f"part-{place:06d}" for place in range(len(parts))]
    left = [name for name in names if not (run.output / f"{name}.parquet").exists()]
    if not left:
        return
    rows = [
        {"part": name, "chunk": pickle.dumps(work) if name in set(left) else b"", "bytes": documents, "error": ""}
        for name, (work, documents) in zip(names, parts, strict=True)
    ]
    with _chunk_a_block():
        chunks = ray.data.from_items(rows, override_num_blocks=len(rows))
        _follow(_tables(_map(chunks, run, actor, placement)), actor.activity, sum(documents for _, documents in parts))


@contextmanager
def _chunk_a_block() -> Iterator[None]:
    """Ray Data without progress lines, which would drown ours, and with one chunk a block.

    Read-ahead is then bounded in chunks, and spreads evenly.
    """
    from ray.data import DataContext

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Nor is it a mistake to have fewer chunks than actors.
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


def _tables(results: ray.data.Dataset) -> Iterator[pa.Table]:
    """The actors' answers, as they come."""
    for table in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        assert isinstance(table, pa.Table)
        yield table


def _follow(answers: Iterable[pa.Table], activity: str, size: int) -> Counts:
    """Count what the actors do, as they do it."""
    written = rejected = done = 0
    with Progress(activity, total=size) as progress:
        for table in answers:
            for row in table.to_pylist():
                if row["error"]:
                    raise UserError(row["error"])
                written += row["written"]
                rejected += row["rejected"]
                done += row["bytes"]
                progress.advance(row["bytes"], row["written"] + row["rejected"], new=row["new"])
                if row["new"]:
                    count("kpray_job_documents", row["written"], outcome="written")
                    count("kpray_job_documents", row["rejected"], outcome="rejected")
                show("kpray_job_left", max(0.0, 1 - done / max(size, 1)))
    return Counts(written, rejected)


def read_source(table: pa.Table, run: ChunkRun) -> Iterator[pa.Table]:
    """Chunks of one file; of a chunk whose output is there, the name alone."""
    source: Source = pickle.loads(table["source"][0].as_py())  # made by this job, never a file of the user's
    start = run.part(source)
    try:
        for chunk in run.chunks(source):
            part = f"{start}-{chunk.index:06d}"
            finished = (run.output / f"{part}.parquet").exists()
            yield _row(part=part, chunk=b"" if finished else pickle.dumps(chunk), bytes=chunk.bytes, error="")
    except UserError as error:
        yield _row(part="", chunk=b"", bytes=0, error=str(error))


class ChunkActor(ABC, Generic[Run]):
    """A process that does the work of one chunk after the other. A mistake of the user goes to the driver as a row."""

    activity: ClassVar[str] = "processing documents"  # what progress lines call the work

    def __init__(self, run: Run) -> None:
        import torch

        self.run = run
        torch.set_num_threads(1)  # the actors share the cores among them, one each
        self.error = ""
        try:
            self.open()
        except UserError as error:
            self.error = str(error)  # an exception here would arrive as a traceback

    @abstractmethod
    def open(self) -> None:
        """Load what the work needs."""

    @abstractmethod
    def process(self, chunk: Any, part: str) -> None:
        """Write the rejects of a chunk (`write_rejects`), if any, and then its part, `output/part.parquet`.

        The part comes last: it is the mark that the chunk is finished.
        """

    def write_rejects(self, rejects: Sequence[Reject], part: str) -> None:
        """Write the rejects of a chunk; most chunks have none, and no file of them."""
        if rejects:
            write_rejects(rejects, self._rejects(part))

    def _rejects(self, part: str) -> Location:
        return self.run.state / "rejects" / f"{part}.jsonl"

    def __call__(self, table: pa.Table) -> pa.Table:
        """Do the work of a chunk, unless it is done, and count its records."""
        row = table.to_pylist()[0]
        error, written, rejected, new = row["error"] or self.error, 0, 0, bool(row["chunk"])
        if not error:
            try:
                if new:
                    self.process(pickle.loads(row["chunk"]), row["part"])
                with (self.run.output / f"{row['part']}.parquet").open("rb") as file:
                    written = pq.read_metadata(file).num_rows
                rejected = _line_count(self._rejects(row["part"]))
            except UserError as mistake:
                error = str(mistake)
            except OSError as failure:
                error = str(UserError(f"cannot write: {reason_of(failure)}", where=str(self.run.output)))
        return _row(written=written, rejected=rejected, bytes=row["bytes"], new=new, error=error)


def merge_rejects(run: ChunkRun) -> None:
    """Put the rejects of all chunks into `output/_rejects.jsonl`."""
    parts: list[Location] = sorted((run.state / "rejects").glob("*.jsonl"))
    with (
        whole_file(run.output / REJECTS_FILE) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="\n") as file,
        ThreadPoolExecutor(_READS_AT_ONCE) as readers,
    ):
        file.writelines(readers.map(lambda part: part.read_text(encoding="utf-8"), parts))


def _row(**values: Any) -> pa.Table:
    return pa.Table.from_pylist([values])


def _line_count(path: Location) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)
