"""Predicts keyphrases for any number of documents, chunk by chunk (`kpray.batch.chunks`)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy

from kpray.batch import deaths
from kpray.batch.actors import RecordActor
from kpray.batch.chunks import ACTOR_CPUS, Counts, process_chunks
from kpray.batch.config import BatchConfig
from kpray.batch.stages import model_caller, model_processes
from kpray.cluster.inputs import bundles, identify
from kpray.cluster.job import STATE_FOLDER, bind_output, recorded_inputs, writing
from kpray.cluster.preflight import check_room, node_resources
from kpray.corpus.limits import Reading
from kpray.corpus.reading import Chunk, read_chunks
from kpray.corpus.records import Reject, parse_chunk
from kpray.corpus.sources import Source
from kpray.corpus.units import Split, split_record
from kpray.corpus.writing import predictions_table
from kpray.document import Record
from kpray.errors import RejectedDocument
from kpray.failures import rejecting_failures
from kpray.hub import pin_name
from kpray.predictor import Predictor
from kpray.registry import KINDS, open_predictor, pin_config, shares_model
from kpray.selection import PLAIN, Selection, SelectionOptions
from kpray.storage import Location

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BatchRun:
    """Everything that the output of a batch job depends on. Every worker receives it.

    Attributes:
        output: output folder, as an absolute path that all nodes share.
        predictor: argument of `open_predictor`. A folder is an absolute path.
        config: its resolved configuration (`pin_config`).
        top: maximum number of keyphrases per document.
        reading: how records are read.
        chunk_records: see `BatchConfig`.
        selection: which keyphrases are written.
        split: whether sentences or sections get keyphrases of their own.
        processes: the processes of GPUs that run the model (`kpray.batch.stages`); empty: each worker has the model.
    """

    output: Location
    predictor: str
    config: dict[str, Any]
    top: int
    reading: Reading
    chunk_records: int
    selection: SelectionOptions = PLAIN.options
    split: Split | None = None
    processes: tuple[Any, ...] = ()

    @classmethod
    def pinned(
        cls,
        output: Location,
        predictor: str,
        config: dict[str, Any],
        top: int,
        reading: Reading,
        batch: BatchConfig,
        selection: SelectionOptions = PLAIN.options,
        split: Split | None = None,
    ) -> BatchRun:
        """Make a run from a job's settings. The configuration is resolved on this machine, for all workers."""
        pinned = pin_config(predictor, config)
        if predictor not in KINDS:
            predictor = pin_name(predictor)
        return cls(output.resolve(), predictor, pinned, top, reading, batch.chunk_records, selection, split)

    @property
    def state(self) -> Location:
        """Folder with the state for resuming the job."""
        return self.output / STATE_FOLDER

    def models(self) -> tuple[str, ...]:
        """Folder or hub id of the model that every node loads; empty if the predictor has none."""
        return (str(self.config["model"]),) if "model" in self.config else ()

    def bfloat16(self) -> bool:
        """Whether the model runs in bfloat16 on a processor."""
        return str(self.config.get("dtype")).startswith("bfloat16")

    def part(self, source: Source) -> str:
        """Prefix of the names of a file's parts. The given folder may be renamed."""
        return f"part-{hashlib.sha256(source.inside.encode()).hexdigest()[:12]}"

    def chunks(self, source: Source) -> Iterator[Chunk]:
        """Chunks of a file. Every call yields the same chunks."""
        return read_chunks(source, self.chunk_records, self.reading)

    def manifest(self) -> dict[str, Any]:
        """Values that must be the same for a later run to resume in the output folder."""
        fields = ("predictor", "config", "top", "chunk_records", "split")
        selected = Selection(self.selection).describe().get("selection")
        reading = self.reading.model_dump(mode="json")
        return {**{name: getattr(self, name) for name in fields}, **reading, "selection": selected}


def predict_files(run: BatchRun, sources: Sequence[Source], batch: BatchConfig) -> Counts:
    """Predict keyphrases for every record of the files, into `run.output`. Resumes where an earlier run stopped.

    Args:
        run: describes the output.
        sources: from `check_manifest`.
        batch: how the work is distributed.

    Raises:
        UserError: a worker found a user's mistake or could not write, or not even one actor fits on the cluster.
    """
    resources, size = ray.cluster_resources(), sum(source.bytes for source in sources)
    gpus = model_process_count(run, batch, resources)
    if gpus:
        for count, needs in ((gpus, {"GPU": 1}), (1, {"CPU": ACTOR_CPUS})):
            check_room(count, needs, node_resources(), "batch")
        with model_processes(run.predictor, run.config, gpus) as processes:
            first_stage = placement(batch, {"CPU": resources.get("CPU", 1)})
            return process_chunks(replace(run, processes=processes), sources, size, _PredictChunk, first_stage)
    if batch.actors is None:  # with a given maximum, the pool may wait for an autoscaling cluster to grow
        share = {"GPU": batch.gpu_fraction} if resources.get("GPU") else {}
        check_room(1, {"CPU": ACTOR_CPUS, **share}, node_resources(), "batch")
    return process_chunks(run, sources, size, _PredictChunk, placement(batch))


def model_process_count(run: BatchRun, batch: BatchConfig, resources: dict[str, float]) -> int:
    """Number of processes of GPUs for a run in two stages (`kpray.batch.stages`); 0: each worker has a model.

    Args:
        run: the run.
        batch: how the work is distributed. With a given number of processes with a model, each has one of its own.
        resources: resources of the cluster.
    """
    gpus = int(resources.get("GPU", 0))
    if not gpus or batch.actors is not None or run.config.get("device") == "cpu":
        return 0
    return gpus if shares_model(run.predictor) else 0


def placement(
    batch: BatchConfig, resources: dict[str, float] | None = None, chunks: int | None = None
) -> dict[str, Any]:
    """Arguments of `map_batches` for actors that hold a model.

    Args:
        batch: the number of actors, and their share of a GPU.
        resources: resources of the cluster; None: ask Ray.
        chunks: number of chunks. The pool then has a fixed size of at most one actor per chunk; None: not known.
    """
    resources = ray.cluster_resources() if resources is None else resources
    gpus = resources.get("GPU", 0)
    # An actor's share cannot span two GPUs: with a share of 0.4, two actors fit on a GPU, and four on two GPUs.
    fitting = int(gpus) * int(1 / batch.gpu_fraction) if gpus else int(resources.get("CPU", 1))
    if chunks is not None:
        pool = ActorPoolStrategy(size=max(1, min(batch.actors or fitting, chunks)))
    elif batch.actors is None:
        pool = ActorPoolStrategy(size=max(1, fitting))
    else:
        pool = ActorPoolStrategy(min_size=1, max_size=batch.actors)
    return {"compute": pool, "num_cpus": ACTOR_CPUS, "num_gpus": batch.gpu_fraction if gpus else 0}


def check_manifest(run: BatchRun, sources: Sequence[Source]) -> list[Source]:
    """Make the output folder, or check that its output was made with the same configuration and inputs.

    Returns:
        The sources, in which small files are bundled.

    Raises:
        UserError: the configuration or an input differs, or the folder cannot be written.
    """
    begun = any(run.output.glob("*.parquet"))
    now = identify(sources)
    bundled = bundles(sources, now, recorded_inputs(run.output) if begun else {}, run.chunk_records)
    resumed = bind_output(run.output, run.manifest(), begun, now, may_add=True)
    rejects = run.state / "rejects"
    with writing(run.output):
        rejects.mkdir(parents=True, exist_ok=True)
        if not resumed:
            for leftover in (*rejects.glob("*.jsonl"), *(run.state / deaths.FOLDER).glob("*")):
                leftover.unlink()  # another configuration may accept these records
    return bundled


class _PredictChunk(RecordActor[BatchRun]):
    """Holds one predictor and processes one chunk after another."""

    activity = "predicting keyphrases"
    predictor: Predictor[Any]

    def open(self) -> None:
        model = model_caller(self.run.processes) if self.run.processes else None
        self.predictor = open_predictor(self.run.predictor, self.run.config, model).selecting(self.run.selection)

    def results(self, chunk: Chunk) -> tuple[pa.Table, list[Reject]]:
        rejects: dict[int, Reject] = {}  # index of a record in the chunk -> why it is rejected
        units: list[_Unit] = []  # what gets keyphrases: whole records, or their sentences or sections
        for index, parsed in enumerate(parse_chunk(chunk, self.run.reading)):
            if isinstance(parsed, Reject):
                rejects[index] = parsed
                continue
            try:
                with rejecting_failures(f"{parsed.source}:{parsed.line}"):
                    units += [_Unit(index, unit) for unit in split_record(parsed, self.run.split)]
            except RejectedDocument as error:
                rejects[index] = Reject(parsed.source, parsed.line, error.reason)
        documents = [unit.record.document for unit in units]  # the predictor never sees the gold
        units, prepared = _accepted(units, self.predictor.prepare_each(documents, _names(units)), rejects)
        found = self.predictor.predict_each(prepared, self.run.top, _names(units))
        units, explanations = _accepted(units, found, rejects)
        records = [unit.record for unit in units]
        rows = [
            (record.document.id, record.document.lang, explanation.keyphrases)
            for record, explanation in zip(records, explanations, strict=True)
        ]
        described, keep = self.predictor.describe(), bool(self.run.reading.keep)
        table = predictions_table(rows, described, records=records, metadata=keep)
        return table, [rejects[index] for index in sorted(rejects)]


class _Unit(NamedTuple):
    """A record or a part of it.

    Attributes:
        owner: index of the record in its chunk.
        record: the record or the part.
    """

    owner: int
    record: Record


def _names(units: Sequence[_Unit]) -> list[str]:
    return [f"{unit.record.source}:{unit.record.line}" for unit in units]


def _accepted(
    units: Sequence[_Unit], results: Sequence[Result | RejectedDocument], rejects: dict[int, Reject]
) -> tuple[list[_Unit], list[Result]]:
    """The units whose records are not rejected, and their results. A record is rejected as a whole.

    Args:
        units: the units.
        results: result of each unit.
        rejects: rejects by index of the record; those of `results` are added.
    """
    kept = []
    for unit, result in zip(units, results, strict=True):
        if isinstance(result, RejectedDocument):
            rejects.setdefault(unit.owner, Reject(unit.record.source, unit.record.line, result.reason))
        else:
            kept.append((unit, result))
    kept = [(unit, result) for unit, result in kept if unit.owner not in rejects]
    return [unit for unit, _ in kept], [result for _, result in kept]
