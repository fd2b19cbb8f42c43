"""Documents to rows of tokens, once: Parquet that every training worker reads, in an order that is always the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kpray.batch.chunks import ACTOR_CPUS, ChunkActor, process_chunks, process_chunks_locally
from kpray.cluster.job import STATE_FOLDER, writing
from kpray.cluster.step_cache import StepCache, step_key
from kpray.corpus.limits import Limits
from kpray.corpus.overlap import fingerprints
from kpray.corpus.reading import Chunk, read_chunks
from kpray.corpus.records import Reject, parse_chunk
from kpray.corpus.sources import Source
from kpray.corpus.writing import REJECTS_FILE
from kpray.document import Record
from kpray.errors import UserError
from kpray.storage import whole_file
from kpray.training import TrainingTask

STEP = "tokens"  # name of the step that makes them
ORDER = "order"  # column with which `read_parquet`'s rows, which come in any order, are sorted
_CHUNK_RECORDS = 500
_ACTOR_BYTES = 500_000  # of the files for one actor: in the seconds that another takes to start, it reads as much
_ROW_BITS, _CHUNK_BITS = 16, 28  # of an order: the row in its chunk, the chunk in its file; the rest is the file


@dataclass(frozen=True, slots=True)
class Share:
    """What is taken of a file.

    Attributes:
        records: the first so many; None: all.
        bytes: of the file that are read for them.
    """

    records: int | None
    bytes: int


@dataclass(frozen=True)
class TokenRun:
    """All that the tokens of a training set depend on; every worker gets it.

    Attributes:
        folder: a folder for token sets, as an absolute path that all nodes see; this one has a folder of its own in it.
        task: the model to be trained.
        sources: the files, in order.
        documents: the first so many records are taken; None: all.
        lang: language of records that name none.
        limits: sizes beyond which a record is rejected.
        excluded: fingerprints of the documents that are left out (`kpray.corpus.overlap`).
    """

    folder: Path
    task: TrainingTask
    sources: tuple[Source, ...]
    documents: int | None
    lang: str
    limits: Limits
    excluded: frozenset[str] = frozenset()

    def inputs(self) -> dict[str, Any]:
        """What the tokens depend on."""
        return {
            "task": self.task.describe_tokens(),
            "files": [[source.path, source.bytes] for source in self.sources],
            "documents": self.documents,
            "lang": self.lang,
            "limits": self.limits.model_dump(),
            "excluded": sorted(self.excluded),
        }

    @cached_property
    def output(self) -> Path:
        """Folder of the parts: other inputs have another one."""
        return StepCache(self.folder).folder_of(STEP, step_key(STEP, self.inputs()))

    @property
    def state(self) -> Path:
        """Folder of what the work needs to go on."""
        return self.output / STATE_FOLDER

    @cached_property
    def shares(self) -> dict[str, Share]:
        """What is taken of each file, by its path; files of which nothing is taken are left out."""
        if self.documents is None:
            return {source.path: Share(None, source.bytes) for source in self.sources}
        shares: dict[str, Share] = {}
        left = self.documents
        for source in self.sources:
            records = size = 0
            for chunk in read_chunks(source, _CHUNK_RECORDS, self.limits):
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
        """Start of the names of the parts that are made of a file: its place among the files."""
        return f"part-{self.sources.index(source):05d}"

    def chunks(self, source: Source) -> Iterator[Chunk]:
        """The same chunks every time, as far as the file's share goes."""
        left = self.shares[source.path].records
        for chunk in read_chunks(source, _CHUNK_RECORDS, self.limits):
            yield replace(chunk, items=chunk.items[:left])
            if left is not None:
                left = max(0, left - len(chunk.items))
                if not left:
                    return


@dataclass(frozen=True, slots=True)
class TokenSet:
    """A tokenized training set.

    Attributes:
        folder: of the parts.
        rows: documents to train on.
        rejected: records that are not among them; `folder/_rejects.jsonl` has the reasons.
    """

    folder: Path
    rows: int
    rejected: int

    def parts(self) -> list[str]:
        """Paths of the parts, in order."""
        return sorted(map(str, self.folder.glob("part-*.parquet")))


def tokenize_files(run: TokenRun, *, local: bool = False) -> TokenSet:
    """Tokenize the files, or find what an earlier run has finished.

    Args:
        run: what is tokenized.
        local: without Ray, on this machine.

    Raises:
        UserError: a worker met a mistake of the user, could not write, or no record is left.
    """
    step = StepCache(run.folder).do(STEP, run.inputs(), lambda _: _tokenize(run, local))
    return TokenSet(step.folder, step.outcome["rows"], step.outcome["rejected"])


def _tokenize(run: TokenRun, local: bool) -> dict[str, int]:
    with writing(run.output):
        (run.state / "rejects").mkdir(parents=True, exist_ok=True)
    sources = [source for source in run.sources if source.path in run.shares]
    size = sum(share.bytes for share in run.shares.values())
    if local:
        counts = process_chunks_locally(run, sources, size, _TokenizeChunk)
    else:
        import ray
        from ray.data import ActorPoolStrategy

        actors = max(1, min(int(ray.cluster_resources().get("CPU", 1)), -(-size // _ACTOR_BYTES)))
        placement = {"compute": ActorPoolStrategy(size=actors), "num_cpus": ACTOR_CPUS}
        counts = process_chunks(run, sources, size, _TokenizeChunk, placement)
    if not counts.written:
        raise UserError(
            f"none of {counts.rejected:,} records can be trained on",
            where=", ".join(source.name for source in run.sources[:3]),
            fix=f"{run.output / REJECTS_FILE} has the reasons",
        )
    return {"rows": counts.written, "rejected": counts.rejected}


class _TokenizeChunk(ChunkActor[TokenRun]):
    """An actor: records to rows, one chunk after the other."""

    activity = "tokenizing"

    def open(self) -> None:
        self.files = {source.name: place for place, source in enumerate(self.run.sources)}

    def process(self, chunk: Chunk, part: str) -> None:
        records: list[Record] = []
        rejects: list[Reject] = []
        for parsed in parse_chunk(chunk, self.run.lang, self.run.limits):
            if isinstance(parsed, Reject):
                rejects.append(parsed)
            elif self.run.excluded and self.run.excluded & fingerprints(parsed.document):
                rejects.append(Reject(parsed.source, parsed.line, "the document is in --exclude"))
            else:
                records.append(parsed)
        first = ((self.files[chunk.source] << _CHUNK_BITS) + chunk.index) << _ROW_BITS
        rows = []
        for place, (record, row) in enumerate(zip(records, self.run.task.tokenize(records), strict=True)):
            if isinstance(row, str):
                rejects.append(Reject(record.source, record.line, row))
            else:
                rows.append({**row, ORDER: first + place})
        schema = self.run.task.schema().append(pa.field(ORDER, pa.int64()))
        rejects.sort(key=lambda reject: reject.line)
        self.write_rejects(rejects, part)
        with whole_file(self.run.output / f"{part}.parquet") as unfinished:
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), unfinished, compression="zstd")
