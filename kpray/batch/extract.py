"""Predictions for any number of documents: the predictor's work on every chunk of records (`kpray.batch.chunks`)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import ray
from pydantic import Field
from ray.data import ActorPoolStrategy

from kpray.batch.chunks import ACTOR_CPUS, ChunkActor, Counts, process_chunks
from kpray.cluster.job import STATE_FOLDER, bind_output, writing
from kpray.cluster.preflight import check_room, node_resources
from kpray.corpus.limits import Limits
from kpray.corpus.reading import Chunk, read_chunks
from kpray.corpus.records import Reject, parse_chunk
from kpray.corpus.sources import Source
from kpray.corpus.writing import write_predictions
from kpray.document import Document, Keyphrase
from kpray.errors import RejectedDocument
from kpray.predictor import Predictor
from kpray.registry import KINDS, open_predictor, pin_config
from kpray.settings import Settings
from kpray.storage import Location, absolute


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
        predictor: what `open_predictor` opens; a folder as an absolute path.
        config: its configuration, without a choice left to the machine.
        top: most keyphrases of a document.
        lang: language of records that name none.
        limits: sizes beyond which a record is rejected.
        chunk_records: see `BatchConfig`.
    """

    output: Location
    predictor: str
    config: dict[str, Any]
    top: int
    lang: str
    limits: Limits
    chunk_records: int

    @classmethod
    def pinned(
        cls,
        output: Location,
        predictor: str,
        config: dict[str, Any],
        top: int,
        lang: str,
        limits: Limits,
        batch: BatchConfig,
    ) -> BatchRun:
        """The run that a job's settings describe, with what depends on the machine decided here, for all workers."""
        pinned = pin_config(predictor, config)
        if predictor not in KINDS:
            predictor = absolute(predictor)
        return cls(output.resolve(), predictor, pinned, top, lang, limits, batch.chunk_records)

    @property
    def state(self) -> Location:
        """Folder of what the job needs to go on."""
        return self.output / STATE_FOLDER

    def models(self) -> tuple[str, ...]:
        """Folder or hub id of the model that every node reads."""
        return (str(self.config["model"]),) if "model" in self.config else ()

    def part(self, source: Source) -> str:
        """Start of the names of the parts that are made of a file."""
        return f"part-{hashlib.sha256(_absolute(source).encode()).hexdigest()[:12]}"

    def chunks(self, source: Source) -> Iterator[Chunk]:
        """The same chunks every time."""
        return read_chunks(source, self.chunk_records, self.limits)

    def manifest(self) -> dict[str, Any]:
        """What must be the same for a second run to go on in the folder."""
        fields = ("predictor", "config", "top", "lang", "chunk_records")
        return {**{name: getattr(self, name) for name in fields}, "limits": self.limits.model_dump()}


def predict_files(run: BatchRun, sources: Sequence[Source], batch: BatchConfig) -> Counts:
    """Predict keyphrases for every record of the files, into `run.output`; goes on where an earlier run stopped.

    Raises:
        UserError: a worker met a mistake of the user, or could not write.
    """
    if batch.actors is None:  # else as many as there is room for, and an autoscaling cluster may grow
        gpu = {"GPU": batch.gpu_fraction} if ray.cluster_resources().get("GPU") else {}
        check_room(1, {"CPU": ACTOR_CPUS, **gpu}, node_resources(), "batch")
    size = sum(source.bytes for source in sources)
    return process_chunks(run, sources, size, _PredictChunk, placement(batch))


def placement(batch: BatchConfig, resources: dict[str, float] | None = None, most: int | None = None) -> dict[str, Any]:
    """Arguments of `map_batches` for the actors that hold a model.

    Args:
        resources: of the cluster; None asks Ray.
        most: chunks that there are: the pool has a fixed size, and no more actors than these; None: any number.
    """
    resources = ray.cluster_resources() if resources is None else resources
    gpus = resources.get("GPU", 0)
    # An actor's share lies on one GPU: of 0.4 there are two to a GPU, not five to two GPUs.
    fitting = int(gpus) * int(1 / batch.gpu_fraction) if gpus else int(resources.get("CPU", 1))
    if most is not None:
        pool = ActorPoolStrategy(size=max(1, min(batch.actors or fitting, most)))
    elif batch.actors is None:
        pool = ActorPoolStrategy(size=max(1, fitting))
    else:
        pool = ActorPoolStrategy(min_size=1, max_size=batch.actors)
    return {"compute": pool, "num_cpus": ACTOR_CPUS, "num_gpus": batch.gpu_fraction if gpus else 0}


def check_manifest(run: BatchRun, sources: list[Source]) -> None:
    """Make the output folder, or see that what it holds was begun with the same configuration and inputs.

    Raises:
        UserError: it was not, or the folder cannot be written.
    """
    begun = any(run.output.glob("*.parquet"))
    inputs = {_absolute(source): source.bytes for source in sources}
    goes_on = bind_output(run.output, run.manifest(), begun, inputs)
    rejects = run.state / "rejects"
    with writing(run.output):
        rejects.mkdir(parents=True, exist_ok=True)
        if not goes_on:
            for left in rejects.glob("*.jsonl"):  # by another configuration these may be none
                left.unlink()


def _absolute(source: Source) -> str:
    return absolute(source.path)


class _PredictChunk(ChunkActor[BatchRun]):
    """An actor: one model, one chunk after the other."""

    activity = "predicting keyphrases"
    predictor: Predictor[Any]

    def open(self) -> None:
        self.predictor = open_predictor(self.run.predictor, self.run.config)

    def process(self, chunk: Chunk, part: str) -> None:
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
        self.write_rejects(rejects, part)
        write_predictions(rows, self.run.output / f"{part}.parquet", self.predictor.describe())
