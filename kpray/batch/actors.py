"""Workers that process one chunk after another, and write each result exactly once."""

from __future__ import annotations

import pickle
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import override

from kpray.batch.deaths import KILLED, MOST_DEATHS, RECORD_DEATHS, WHOLE, Notes
from kpray.corpus.reading import Chunk
from kpray.corpus.records import Reject
from kpray.corpus.writing import write_rejects
from kpray.errors import UserError
from kpray.failures import FailureLimit, holding_logs
from kpray.storage import Location, reason_of, whole_file


class PartRun(Protocol):
    """Description of a run that every actor receives."""

    @property
    def output(self) -> Location:
        """Folder of the parts, as an absolute path that all nodes share."""

    @property
    def state(self) -> Location:
        """Folder with the state for resuming. It contains the folder `rejects` if records can be rejected."""


Run = TypeVar("Run", bound=PartRun)


class ChunkActor(ABC, Generic[Run]):
    """A process that handles one chunk after another. It returns user errors to the driver as rows."""

    activity: ClassVar[str] = "processing documents"  # what progress lines call the work

    def __init__(self, run: Run) -> None:
        import torch

        self.run = run
        torch.set_num_threads(1)  # each actor has one core
        self.error = ""
        try:
            self.open()
        except UserError as error:
            self.error = str(error)  # the driver would print an exception as a traceback

    @abstractmethod
    def open(self) -> None:
        """Load models and data, once per process."""

    @abstractmethod
    def process(self, chunk: Any, part: str) -> None:
        """Process a chunk and write its part, `output/part.parquet`, which marks the chunk as finished."""

    def process_carefully(self, chunk: Any, part: str, notes: Notes) -> None:
        """Process a chunk in which `MOST_DEATHS` workers died.

        Raises:
            UserError: the work cannot be divided.
        """
        raise UserError(
            f"{self.activity}: {MOST_DEATHS} workers died at {part}",
            where=str(self.run.output),
            fix="see Ray's log for the reason; often the machine had too little memory",
        )

    def _rejects(self, part: str) -> Location:
        return self.run.state / "rejects" / f"{part}.jsonl"

    def __call__(self, table: pa.Table) -> pa.Table:
        """Process a chunk unless it is finished, and return its counts or its error as a row."""
        started, row = time.monotonic(), table.to_pylist()[0]
        error, written, rejected, new = row["error"] or self.error, 0, 0, bool(row["chunk"])
        logs = [row["logs"]] if row["logs"] else []
        if not error:
            try:
                if new:
                    with holding_logs(logs):
                        self._process(pickle.loads(row["chunk"]), row["part"])
                with (self.run.output / f"{row['part']}.parquet").open("rb") as file:
                    written = pq.read_metadata(file).num_rows
                rejected = _line_count(self._rejects(row["part"]))
            except UserError as mistake:
                error = str(mistake)
            except OSError as failure:
                error = str(UserError(f"cannot write: {reason_of(failure)}", where=str(self.run.output)))
        return result_row(
            written=written,
            rejected=rejected,
            bytes=row["bytes"],
            seconds=time.monotonic() - started,
            new=new,
            error=error,
            logs="\n".join(logs),
        )

    def _process(self, chunk: Any, part: str) -> None:
        notes = Notes(self.run.state, part)
        if notes.deaths(WHOLE) >= MOST_DEATHS:
            self.process_carefully(chunk, part, notes)
        else:
            with notes.of(WHOLE):
                self.process(chunk, part)


class RecordActor(ChunkActor[Run]):
    """An actor for chunks of records. A record that kills its worker is rejected."""

    def __init__(self, run: Run) -> None:
        self._limit = FailureLimit()
        super().__init__(run)

    @abstractmethod
    def results(self, chunk: Chunk) -> tuple[pa.Table, list[Reject]]:
        """Process the records of a chunk; return rows, and rejects in the order of the records."""

    def complete(self, rows: pa.Table, chunk: Chunk) -> pa.Table:
        """Add columns that depend on a row's number in its chunk."""
        return rows

    @override
    def process(self, chunk: Chunk, part: str) -> None:
        self._write(*self.results(chunk), chunk, part)

    @override
    def process_carefully(self, chunk: Chunk, part: str, notes: Notes) -> None:
        tables, rejects = [], []
        for index, item in enumerate(chunk.items):
            if notes.deaths(str(index)) >= RECORD_DEATHS:
                name = item.origin[0] if item.origin else chunk.source
                rejects.append(Reject(name, item.line, KILLED))
            else:
                with notes.of(str(index)):
                    table, rejected = self.results(replace(chunk, items=[item]))
                tables.append(table)
                rejects += rejected
        none, _ = self.results(replace(chunk, items=[]))
        self._write(pa.concat_tables([none, *tables]), rejects, chunk, part)

    def _write(self, rows: pa.Table, rejects: list[Reject], chunk: Chunk, part: str) -> None:
        """Write the rejects of a chunk, if there are any, and then its part, which marks the chunk as finished.

        Raises:
            UserError: too many of the records of this process failed unexpectedly. The chunk stays unfinished.
        """
        self._limit.count(len(chunk.items), (reject.reason for reject in rejects))
        if rejects:
            write_rejects(rejects, self._rejects(part))
        with whole_file(self.run.output / f"{part}.parquet") as unfinished:
            pq.write_table(self.complete(rows, chunk), unfinished, compression="zstd")


def result_row(**values: Any) -> pa.Table:
    """A row that a task of Ray Data passes on."""
    return pa.Table.from_pylist([values])


def _line_count(path: Location) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)
