"""Tokenizes a training set once, into Parquet files that every training worker reads in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import override

from kpray.batch.actors import RecordActor
from kpray.batch.chunks import ACTOR_CPUS, process_chunks, process_chunks_locally
from kpray.cluster.inputs import step_inputs
from kpray.cluster.job import STATE_FOLDER, writing
from kpray.cluster.step_cache import StepCache, step_key
from kpray.corpus.limits import Reading
from kpray.corpus.overlap import fingerprints
from kpray.corpus.reading import Chunk, read_chunks
from kpray.corpus.records import Reject, parse_chunk
from kpray.corpus.sources import Source
from kpray.corpus.writing import REJECTS_FILE
from kpray.document import Record
from kpray.errors import RejectedDocument, UserError
from kpray.failures import all_or_each
from kpray.train.dataset import ORDER, number_columns
from kpray.training import TrainingTask

STEP = "tokens"  # name of the step in the step cache
_CHUNK_RECORDS = 500
_ACTOR_BYTES = 500_000  # bytes per actor; an actor reads this much in the time that another one needs to start
_ROW_BITS, _CHUNK_BITS = 16, 28  # bit fields of `order`: row in its chunk, chunk in its file; the high bits: the file


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a file that is tokenized.

    Attributes:
        records: number of records, from the start of the file; None: all.
        bytes: size in bytes of what is read.
    """

    records: int | None
    bytes: int


@dataclass(frozen=True)
class TokenRun:
    """Everything that the tokens of a training set depend on. Every worker receives it.

    Attributes:
        folder: folder for token sets, as an absolute path that all nodes share. Each token set has a subfolder.
        task: the training task, which has the tokenizer.
        sources: the files, in order.
        identities: identities of the files (`kpray.cluster.inputs.identify`), in the same order.
        documents: number of records to use, from the start of the files; None: all.
        reading: how records are read.
        excluded: fingerprints of documents to leave out (`kpray.corpus.overlap`).
    """

    folder: Path
    task: TrainingTask
    sources: tuple[Source, ...]
    identities: Mapping[str, Any]
    documents: int | None
    reading: Reading
    excluded: frozenset[str] = frozenset()

    def inputs(self) -> dict[str, Any]:
        """Inputs of the step, as JSON values."""
        return {
            "task": self.task.describe_tokens(),
            "files": step_inputs(self.identities),
            "documents": self.documents,
            **self.reading.model_dump(mode="json"),
            "excluded": sorted(self.excluded),
        }

    @cached_property
    def output(self) -> Path:
        """Folder of the parts. Its name depends on `inputs`."""
        return StepCache(self.folder).folder_of(STEP, step_key(STEP, self.inputs()))

    @property
    def state(self) -> Path:
        """Folder with the state for resuming the work."""
        return self.output / STATE_FOLDER

    @cached_property
    def shares(self) -> dict[str, Share]:
        """Map the path of each file to the part that is tokenized. Unused files are left out."""
        if self.documents is None:
            return {source.path: Share(None, source.bytes) for source in self.sources}
        shares: dict[str, Share] = {}
        left = self.documents
        for source in self.sources:
            records = size = 0
            for chunk in read_chunks(source, _CHUNK_RECORDS, self.reading):
                records += min(left - records, len(chunk.items))
                size += chunk.bytes
                if records == left:
                    break
            shares[source.path] = Share(records, size)
            left -= records
            if not left:
                break
        return shares

    def part(self, source: Source) -> str:
        """Prefix of the names of a file's parts. It contains the index of the file."""
        return f"part-{self.sources.index(source):05d}"

    def chunks(self, source: Source) -> Iterator[Chunk]:
        """Chunks of the file's share. Every call yields the same chunks."""
        left = self.shares[source.path].records
        for chunk in read_chunks(source, _CHUNK_RECORDS, self.reading):
            yield replace(chunk, items=chunk.items[:left])
            if left is not None:
                left = max(0, left - len(chunk.items))
                if not left:
                    return


@dataclass(frozen=True, slots=True)
class TokenSet:
    """A tokenized training set.

    Attributes:
        folder: folder of the parts.
        rows: number of documents to train on.
        rejected: number of rejected records. `folder/_rejects.jsonl` has the reasons.
    """

    folder: Path
    rows: int
    rejected: int

    def parts(self) -> list[str]:
        """Paths of the parts, in order."""
        return sorted(map(str, self.folder.glob("part-*.parquet")))

    def tables(self, schema: pa.Schema) -> Iterator[pa.Table]:
        """The rows that training needs, in order. Every worker of a training reads them all.

        Args:
            schema: of the task.
        """
        columns = number_columns(schema)
        return (pq.read_table(part, columns=columns) for part in self.parts())


def tokenize_files(run: TokenRun, *, local: bool = False) -> TokenSet:
    """Tokenize the files, or reuse the result of an earlier run.

    Args:
        run: describes the token set.
        local: tokenize on this machine without Ray.

    Raises:
        UserError: a worker found a user's mistake or could not write, or all records were rejected.
    """
    step = StepCache(run.folder).do(STEP, run.inputs(), lambda _: _tokenize(run, local))
    return TokenSet(step.folder, step.outcome["rows"], step.outcome["rejected"])


def _tokenize(run: TokenRun, local: bool) -> dict[str, int]:
    with writing(run.output):
        (run.state / "rejects").mkdir(parents=True, exist_ok=True)
    sources = [source for source in run.sources if source.path in run.shares]
    size = sum(share.bytes for share in run.shares.values())
    if local or size < _ACTOR_BYTES:  # an actor would take longer to start
        counts = process_chunks_locally(run, sources, size, _TokenizeChunk)
    else:
        import ray
        from ray.data import ActorPoolStrategy

        actors = max(1, min(int(ray.cluster_resources().get("CPU", 1)), -(-size // _ACTOR_BYTES)))
        placement = {"compute": ActorPoolStrategy(size=actors), "num_cpus": ACTOR_CPUS}
        counts = process_chunks(run, sources, size, _TokenizeChunk, placement)
    if not counts.written:
        raise UserError(
            f"all {counts.rejected:,} training records were rejected",
            where=", ".join(source.name for source in run.sources[:3]),
            fix=f"see the reasons in {run.output / REJECTS_FILE}",
        )
    return {"rows": counts.written, "rejected": counts.rejected}


class _TokenizeChunk(RecordActor[TokenRun]):
    """Turns the records of one chunk after another into rows of tokens."""

    activity = "tokenizing"

    def open(self) -> None:
        self.files = {source.name: index for index, source in enumerate(self.run.sources)}

    def results(self, chunk: Chunk) -> tuple[pa.Table, list[Reject]]:
        records: list[Record] = []
        rejects: list[Reject] = []
        for parsed in parse_chunk(chunk, self.run.reading):
            if isinstance(parsed, Reject):
                rejects.append(parsed)
            elif self.run.excluded and self.run.excluded & fingerprints(parsed.document):
                rejects.append(Reject(parsed.source, parsed.line, "the document is in --exclude"))
            else:
                records.append(parsed)
        rows = []
        names = [f"{record.source}:{record.line}" for record in records]
        tokenized = all_or_each(self.run.task.tokenize, records, names)
        for record, row in zip(records, tokenized, strict=True):
            if isinstance(row, str | RejectedDocument):
                reason = row if isinstance(row, str) else row.reason
                rejects.append(Reject(record.source, record.line, reason))
            else:
                rows.append(row)
        rejects.sort(key=lambda reject: reject.line)
        return pa.Table.from_pylist(rows, schema=self.run.task.schema()), rejects

    @override
    def complete(self, rows: pa.Table, chunk: Chunk) -> pa.Table:
        first = ((self.files[chunk.source] << _CHUNK_BITS) + chunk.index) << _ROW_BITS
        order = pa.array(np.arange(first, first + len(rows)), pa.int64())
        return rows.append_column(pa.field(ORDER, pa.int64()), order)
