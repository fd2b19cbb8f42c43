"""Predictions for any number of documents on Ray Data: streaming, in chunks that are each committed once.

Reading tasks turn every file into chunks of raw records, an actor turns a chunk into predictions and writes them as one
Parquet file under a name that the chunk alone decides. A file that is there is finished work: after a kill, a lost
worker or a full disk the same command passes over it, so no record is written twice and none is missed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from pydantic import Field
from ray.data import ActorPoolStrategy, DataContext

from kpray import __version__
from kpray.cluster.job import writing
from kpray.corpus.limits import Limits
from kpray.corpus.reading import Chunk, read_chunks
from kpray.corpus.records import Reject, parse_chunk
from kpray.corpus.sources import Source
from kpray.corpus.writing import write_predictions, write_rejects, write_text
from kpray.document import Document, Keyphrase
from kpray.errors import RejectedDocument, UserError
from kpray.predictor import Predictor
from kpray.registry import open_predictor, pin_config
from kpray.report.progress import Progress
from kpray.samrank.config import SAMRankConfig
from kpray.settings import Settings, versions

STATE_FOLDER = "_kpray"  # readers of Parquet folders pass over names that start with an underscore
_READER_CPUS = 0.1
_ACTOR_CPUS = 0.9  # so that every actor on a core leaves room for a reader


class BatchConfig(Settings):
    """How a batch job spreads over a cluster."""

    chunk_records: Annotated[int, Field(ge=1)] = 200
    """Records that are predicted and committed together: one output file each."""
    actors: Annotated[int, Field(ge=1)] | None = None
    """Most processes with a model; null: one for each core, or as many as fit on the GPUs."""
    gpu_fraction: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Share of a GPU that one actor takes, where there are GPUs."""


@dataclass(frozen=True, slots=True)
class BatchRun:
    """All that the output of a batch job depends on; every worker gets it.

    Attributes:
        output: folder, as an absolute path that all nodes see.
        predictor: what `open_predictor` opens.
        config: its configuration, without a choice left to the machine.
        top: most keyphrases of a document.
        lang: language of records that name none.
        limits: sizes beyond which a record is rejected.
        chunk_records: see `BatchConfig`.
    """

    output: Path
    predictor: str
    config: dict[str, Any]
    top: int
    lang: str
    limits: Limits
    chunk_records: int

    @classmethod
    def pinned(
        cls,
        output: Path,
        predictor: str,
        samrank: SAMRankConfig,
        top: int,
        lang: str,
        limits: Limits,
        batch: BatchConfig,
    ) -> BatchRun:
        """The run that a job's settings describe, with what depends on the machine decided here, for all workers."""
        config = pin_config(predictor, samrank.model_dump(mode="json", exclude_unset=True))
        return cls(output.resolve(), predictor, config, top, lang, limits, batch.chunk_records)

    @property
    def state(self) -> Path:
        """Folder of what the job needs to go on."""
        return self.output / STATE_FOLDER

    def manifest(self) -> dict[str, Any]:
        """What must be the same for a second run to go on in the folder."""
        fields = ("predictor", "config", "top", "lang", "chunk_records")
        return {
            "kpray": __version__,
            **{name: getattr(self, name) for name in fields},
            "limits": self.limits.model_dump(),
        }


@dataclass(frozen=True, slots=True)
class Counts:
    """Records of a finished job."""

    written: int
    rejected: int


def predict_files(run: BatchRun, sources: list[Source], batch: BatchConfig) -> Counts:
    """Predict keyphrases for every record of the files, into `run.output`; goes on where an earlier run stopped.

    Raises:
        UserError: a worker met a mistake of the user, or could not write.
    """
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # its progress lines would drown ours
    # Nor is it a mistake to have fewer chunks than actors.
    warnings.filterwarnings("ignore", message="The minimum number of concurrent actors", category=UserWarning)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # one chunk a block: read-ahead is then bounded in chunks, and spreads evenly
    chunks = ray.data.from_items([{"source": pickle.dumps(source)} for source in sources]).map_batches(
        partial(_read, run=run), batch_size=1, batch_format="pyarrow", num_cpus=_READER_CPUS
    )
    results = chunks.map_batches(
        _PredictChunk, batch_size=1, batch_format="pyarrow", fn_constructor_kwargs={"run": run}, **placement(batch)
    )
    written = rejected = 0
    with Progress(total=sum(source.bytes for source in sources)) as progress:
        for table in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            assert isinstance(table, pa.Table)
            for row in table.to_pylist():
                if row["error"]:
                    raise UserError(row["error"])
                written += row["written"]
                rejected += row["rejected"]
                progress.advance(row["bytes"], row["written"] + row["rejected"], new=row["new"])
    _merge_rejects(run)
    return Counts(written, rejected)


def placement(batch: BatchConfig, resources: dict[str, float] | None = None) -> dict[str, Any]:
    """Arguments of `map_batches` for the actors that hold a model.

    Args:
        resources: of the cluster; None asks Ray.
    """
    resources = ray.cluster_resources() if resources is None else resources
    gpus = resources.get("GPU", 0)
    # An actor's share lies on one GPU: of 0.4 there are two to a GPU, not five to two GPUs.
    fitting = int(gpus) * int(1 / batch.gpu_fraction) if gpus else int(resources.get("CPU", 1))
    pool = (
        ActorPoolStrategy(size=max(1, fitting))
        if batch.actors is None
        else ActorPoolStrategy(min_size=1, max_size=batch.actors)
    )
    return {"compute": pool, "num_cpus": _ACTOR_CPUS, "num_gpus": batch.gpu_fraction if gpus else 0}


def check_manifest(run: BatchRun, sources: list[Source]) -> None:
    """Make the output folder, or see that what it holds was begun with the same configuration and inputs.

    Raises:
        UserError: it was not, or the folder cannot be written.
    """
    with writing(run.output):
        (run.state / "rejects").mkdir(parents=True, exist_ok=True)
    path = run.state / "manifest.json"
    manifest = json.loads(json.dumps(run.manifest()))
    inputs = {_absolute(source): source.bytes for source in sources}
    if path.exists() and any(run.output.glob("*.parquet")):  # a run that failed before its first output binds nothing
        before = json.loads(path.read_text(encoding="utf-8"))
        for name, value in manifest.items():
            if before[name] != value:
                raise UserError(
                    f"the folder holds output made with {name} = {before[name]!r}, not {value!r}",
                    where=str(run.output),
                    fix="give another --output, or the same configuration",
                )
        for name, size in before["inputs"].items():
            if inputs.setdefault(name, size) != size:
                raise UserError(
                    f"the input has changed since this output was begun ({size} bytes then, {inputs[name]} now)",
                    where=name,
                    fix="give another --output",
                )
    write_text(json.dumps({**manifest, "inputs": inputs, "versions": versions()}, indent=2) + "\n", path)


def _absolute(source: Source) -> str:
    return str(Path(source.path).resolve())


def _read(table: pa.Table, run: BatchRun) -> Iterator[pa.Table]:
    """Chunks of one file; of a chunk whose output is there, the name alone."""
    source: Source = pickle.loads(table["source"][0].as_py())  # made by this job, never a file of the user's
    key = hashlib.sha256(_absolute(source).encode()).hexdigest()[:12]
    try:
        for chunk in read_chunks(source, run.chunk_records, run.limits):
            part = f"part-{key}-{chunk.index:06d}"
            finished = (run.output / f"{part}.parquet").exists()
            yield _row(part=part, chunk=b"" if finished else pickle.dumps(chunk), bytes=chunk.bytes, error="")
    except UserError as error:
        yield _row(part="", chunk=b"", bytes=0, error=str(error))


class _PredictChunk:
    """An actor: one model, one chunk after the other."""

    def __init__(self, run: BatchRun) -> None:
        import torch

        self.run = run
        torch.set_num_threads(1)  # the actors share the cores among them, one each
        self.predictor: Predictor[Any] | None = None
        self.error = ""
        try:
            self.predictor = open_predictor(run.predictor, run.config)
        except UserError as error:
            self.error = str(error)  # goes to the driver as a row: an exception here would arrive as a traceback

    def __call__(self, table: pa.Table) -> pa.Table:
        row = table.to_pylist()[0]
        error, written, rejected, new = row["error"] or self.error, 0, 0, bool(row["chunk"])
        if not error:
            try:
                if new:
                    self._predict(pickle.loads(row["chunk"]), row["part"])
                written = pq.read_metadata(self.run.output / f"{row['part']}.parquet").num_rows
                rejected = _line_count(self.run.state / "rejects" / f"{row['part']}.jsonl")
            except UserError as mistake:
                error = str(mistake)
            except OSError as failure:
                error = str(UserError(f"cannot write: {failure.strerror or failure}", where=str(self.run.output)))
        return _row(written=written, rejected=rejected, bytes=row["bytes"], new=new, error=error)

    def _predict(self, chunk: Chunk, part: str) -> None:
        assert self.predictor is not None
        documents: list[Document] = []
        prepared, rejects = [], []
        for parsed in parse_chunk(chunk, self.run.lang, self.run.limits):
            if isinstance(parsed, Reject):
                rejects.append(parsed)
                continue
            try:
                prepared.append(self.predictor.prepare(parsed.document))  # the gold of the record stays here
                documents.append(parsed.document)
            except RejectedDocument as error:
                rejects.append(Reject(parsed.source, parsed.line, error.reason))
        explanations = self.predictor.predict_prepared(prepared, self.run.top)
        rows: list[tuple[str, str, list[Keyphrase]]] = [
            (document.id, document.lang, explanation.keyphrases)
            for document, explanation in zip(documents, explanations, strict=True)
        ]
        # The predictions come last: they are the mark that the chunk is finished.
        write_rejects(rejects, self.run.state / "rejects" / f"{part}.jsonl")
        write_predictions(rows, self.run.output / f"{part}.parquet", self.predictor.describe())


def _row(**values: Any) -> pa.Table:
    return pa.Table.from_pylist([values])


def _line_count(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _merge_rejects(run: BatchRun) -> None:
    parts = sorted((run.state / "rejects").glob("*.jsonl"))
    write_text("".join(part.read_text(encoding="utf-8") for part in parts), run.output / "rejects.jsonl")
