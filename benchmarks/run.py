"""Measure kpray: `python benchmarks/run.py NAME --help`, where NAME is that of a file beside this one.

samrank, unikeyphrase, rgit and serve time kpray beside its floor and other tools. gpu measures the hot paths on one GPU
beside what the card can do. ablations trains UniKeyphrase without each of its parts. ray_overhead measures what Ray
costs a task and a chunk on simulated nodes. capacity measures nothing: it estimates how long jobs will take.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = str(Path(__file__).parents[1])
if ROOT not in sys.path:  # run as a script
    sys.path.insert(0, ROOT)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))  # for Ray's workers

# ruff: noqa: E402
if __name__ == "__main__" and sys.argv[1:2] in (["gpu"], ["ablations"]):  # these run where Ray is not installed
    from benchmarks import ablations as ablations_file
    from benchmarks import gpu as gpu_file
    from kpray.settings import run_main

    run_main(lambda: {"gpu": gpu_file, "ablations": ablations_file}[sys.argv[1]].main(sys.argv[2:]))

from typing import Annotated, Any

from pydantic import Field, PositiveInt

import kpray.cluster  # noqa: F401  # turns on token authentication before Ray is imported
from benchmarks.capacity import PlanConfig, plan
from benchmarks.ray_overhead import SchedulingConfig, measure_scheduling
from benchmarks.timing import time_contestants
from kpray.corpus.quickstart import quickstart_records
from kpray.corpus.records import Reject, read_records
from kpray.document import Document, Record
from kpray.errors import UserError
from kpray.pretrained import MINILM
from kpray.printing import print_tables
from kpray.ramkg.config import GenerateConfig, RetrieverConfig
from kpray.registry import open_predictor
from kpray.report.tables import markdown_table
from kpray.samrank.config import SAMRankConfig
from kpray.serve.config import ReplicasConfig
from kpray.settings import Settings, parse_settings, run_main
from kpray.training import OptimConfig, RunConfig
from kpray.unikeyphrase.config import ModelConfig, TaskConfig


class Benchmark(Settings):
    """What every benchmark takes."""

    input: tuple[str, ...] = ()
    """Documents with gold keyphrases; none: the English ones of the quickstart's corpus."""
    documents: Annotated[int, Field(ge=1)] = 200
    """Most documents."""
    rounds: Annotated[int, Field(ge=1)] = 3
    """How often each contestant is timed; the best round counts."""
    output: Path | None = None
    """Markdown file for the table."""


class SAMRankBenchmark(Benchmark):
    """What the benchmark of SAMRank takes."""

    samrank: SAMRankConfig = SAMRankConfig(
        heads=("4-12",), weighting="unit", candidates="paper", position_scale=None, merge_stems=False
    )


class UniKeyphraseBenchmark(Benchmark):
    """What the benchmark of UniKeyphrase takes."""

    task: TaskConfig = TaskConfig(model=ModelConfig(backbone=MINILM, attention_dropout=0.0, target_tokens=48))
    optim: OptimConfig = OptimConfig(batch=32)
    run: RunConfig = RunConfig(micro_tokens=4096)
    predictor: str | None = None
    """Folder of a trained UniKeyphrase, whose prediction is timed too."""
    workers: tuple[int, ...] = ()
    """Numbers of workers whose training is timed too, with Ray Train, such as 1 2."""


class RGITBenchmark(Benchmark):
    """What the benchmark of RGIT takes; it times by the clock, since Ray's processes are others."""

    retriever: RetrieverConfig = RetrieverConfig(backbone=MINILM, marks=None, passage_tokens=64)
    """What embeds the documents, of which there should be some thousands."""
    generate: GenerateConfig = GenerateConfig()


class ServeBenchmark(Benchmark):
    """What the benchmark of serving takes."""

    samrank: SAMRankConfig = SAMRankConfig()
    replicas: ReplicasConfig = ReplicasConfig(max_replicas=1)
    users: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 4, 16, 64)
    """Numbers of users that ask at the same time, rising."""
    seconds: PositiveInt = 20
    """Of each measurement."""
    words: PositiveInt | None = None
    """Words that a document is cut to; null: none is cut."""
    request_documents: PositiveInt = 1
    """Documents of a request."""
    trace: bool = False
    """Instead, print what autoscaling does in `seconds` with few users, many (the last of `users`), and few again."""


def measure_samrank(job: SAMRankBenchmark, records: list[Record]) -> list[dict[str, Any]]:
    from benchmarks.samrank import benchmark

    return benchmark(job.samrank, records, job.rounds)


def measure_unikeyphrase(job: UniKeyphraseBenchmark, records: list[Record]) -> list[dict[str, Any]]:
    from benchmarks.unikeyphrase import benchmark

    rows = benchmark(job.task, job.optim, job.run, records, job.rounds)
    if job.predictor:
        predictor = open_predictor(job.predictor)
        documents = [record.document for record in records]
        seconds, _ = time_contestants({"prediction": lambda: predictor.predict(documents, top=50)}, job.rounds)
        title = f"prediction, {Path(job.predictor).resolve().parent.name}"
        rows.append({"contestant": title, "documents/s": len(documents) / seconds["prediction"]})
    if job.workers:
        from benchmarks.train_scaling import time_workers
        from kpray.unikeyphrase.task import UniKeyphraseTask

        rows += time_workers(UniKeyphraseTask(job.task), job.optim, job.run, records, job.workers)
    return rows


def measure_rgit(job: RGITBenchmark, records: list[Record]) -> list[dict[str, Any]]:
    from benchmarks.rgit import benchmark
    from kpray.rgit.job import RGITSettings

    options = ["--config", "planted-small", "--output", "unused"]
    rounds = parse_settings(RGITSettings, options, prog="jobs/rgit.py", description="")
    return benchmark(job.retriever, job.generate, rounds, records, job.rounds)


def measure_serve(job: ServeBenchmark, records: list[Record]) -> list[dict[str, Any]]:
    from benchmarks.serve import Load, benchmark, trace

    documents = [record.document for record in records]
    if job.words is not None:
        documents = [Document(id=one.id, body=" ".join(one.text.split()[: job.words])) for one in documents]
    load = Load(documents, job.request_documents, job.users, job.seconds, Path(__file__).with_name("locustfile.py"))
    samrank = job.samrank.model_dump(mode="json", exclude_unset=True)
    return (trace if job.trace else benchmark)(samrank, job.replicas.model_dump(mode="json"), load)


BENCHMARKS: dict[str, tuple[type[Benchmark], Callable[[Any, list[Record]], list[dict[str, Any]]]]] = {
    "samrank": (SAMRankBenchmark, measure_samrank),
    "unikeyphrase": (UniKeyphraseBenchmark, measure_unikeyphrase),
    "rgit": (RGITBenchmark, measure_rgit),
    "serve": (ServeBenchmark, measure_serve),
}

# These take no documents.
CLUSTER: dict[str, tuple[type[Settings], Callable[[Any], list[dict[str, Any]]]]] = {
    "capacity": (PlanConfig, plan),
    "ray_overhead": (SchedulingConfig, measure_scheduling),
}


def main() -> int:
    """Parse the arguments, measure, print the table."""
    name, *arguments = sys.argv[1:] or [""]
    if name in CLUSTER:
        settings, tell = CLUSTER[name]
        config = parse_settings(settings, arguments, prog=f"benchmarks/run.py {name}", description=str(tell.__doc__))
        print_tables({name: tell(config)})
        return 0
    if name not in BENCHMARKS:
        raise UserError(f"there is no benchmark {name!r}", fix=f"known: {', '.join([*BENCHMARKS, *CLUSTER])}")
    schema, measure = BENCHMARKS[name]
    job = parse_settings(schema, arguments, prog=f"benchmarks/run.py {name}", description=str(__doc__))
    found = read_records(job.input) if job.input else quickstart_records()
    english = [r for r in found if not isinstance(r, Reject) and r.document.lang == "en" and r.keyphrases]
    if not english:
        raise UserError("no English document with gold keyphrases", where=", ".join(job.input))

    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before numpy reads them
    rows = measure(job, english[: job.documents])
    clock = "by the clock" if name == "serve" else f"processor time, best of {job.rounds}"
    title = f"{len(english[: job.documents])} documents, one thread, {clock}"
    print_tables({title: rows})
    if job.output is not None:
        job.output.write_text(f"{title}\n\n{markdown_table(rows)}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run_main(main)
