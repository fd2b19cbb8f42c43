"""Measure kpray: `python benchmarks/run.py NAME`, where NAME is a benchmark in this folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = str(Path(__file__).parents[1])
if ROOT not in sys.path:  # run as a script
    sys.path.insert(0, ROOT)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))  # for Ray's workers

# ruff: noqa: E402
from typing import Annotated, Any

from pydantic import Field, PositiveInt

import kpray.cluster  # noqa: F401  # turns on token authentication before Ray is imported
from benchmarks.capacity import PlanConfig, plan
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
from kpray.rgit.config import RGITSettings
from kpray.samrank.config import SAMRankConfig
from kpray.serve.config import ReplicasConfig
from kpray.settings import Settings, parse_settings, run_main
from kpray.training import OptimConfig, RunConfig
from kpray.unikeyphrase.config import ModelConfig, TaskConfig

_USUAL = ("predictor", "workers", "users", "seconds", "request_documents")


class Benchmark(Settings):
    """Settings of every benchmark that takes documents."""

    input: tuple[str, ...] = ()
    """Files and folders of English documents with gold keyphrases. Without them, those of the quickstart's corpus."""
    documents: Annotated[int, Field(ge=1)] = 200
    """Maximum number of documents."""
    rounds: Annotated[int, Field(ge=1)] = 3
    """Number of times that each contestant is timed. The best time counts."""
    output: Path | None = None
    """Markdown file for the table of results."""


class SAMRankBenchmark(Benchmark):
    """Settings of the benchmark of SAMRank."""

    samrank: SAMRankConfig = SAMRankConfig(
        heads=("4-12",), weighting="unit", candidates="paper", position_scale=None, merge_stems=False
    )


class UniKeyphraseBenchmark(Benchmark):
    """Settings of the benchmark of UniKeyphrase."""

    task: TaskConfig = TaskConfig(model=ModelConfig(backbone=MINILM, attention_dropout=0.0, target_tokens=48))
    optim: OptimConfig = OptimConfig(batch=32)
    run: RunConfig = RunConfig(micro_tokens=4096)
    predictor: str | None = None
    """Folder of a trained UniKeyphrase, to time its prediction as well."""
    workers: tuple[int, ...] = ()
    """Numbers of workers, such as `1 2`, to time training with Ray Train as well."""


class RGITBenchmark(Benchmark):
    """Settings of the benchmark of RGIT, which measures wall time because the work is in Ray's processes."""

    retriever: RetrieverConfig = RetrieverConfig(backbone=MINILM, marks=None, passage_tokens=64)
    """Encoder that embeds the documents. A useful measurement takes some thousands of documents."""
    generate: GenerateConfig = GenerateConfig()


class ServeBenchmark(Benchmark):
    """Settings of the benchmark of serving."""

    samrank: SAMRankConfig = SAMRankConfig()
    replicas: ReplicasConfig = ReplicasConfig(max_replicas=1)
    users: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 4, 16, 64)
    """Numbers of concurrent users, in increasing order."""
    seconds: PositiveInt = 20
    """Duration of each measurement in seconds."""
    words: PositiveInt | None = None
    """Number of words after which each document is cut. If null, documents are not cut."""
    request_documents: PositiveInt = 1
    """Number of documents per request."""
    trace: bool = False
    """Print what autoscaling does, `seconds` each, with one user, with the last number of `users`, and with one user
    again, instead of the measurements."""


class SchedulingConfig(Settings):
    """Settings of the benchmark of Ray's overhead."""

    nodes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (1, 2, 4, 8)
    """Numbers of simulated nodes with one core each, in addition to a head node without work."""
    tasks: Annotated[int, Field(ge=1)] = 2000
    """Number of empty tasks."""
    chunks: Annotated[int, Field(ge=1)] = 400
    """Number of chunks of the batch job's pipeline, each of which only writes an empty file."""


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


def measure_ray_overhead(config: SchedulingConfig) -> list[dict[str, Any]]:
    from benchmarks.ray_overhead import measure_scheduling

    return measure_scheduling(config)


# Name -> settings, function that measures, and a sentence for the help.
BENCHMARKS: dict[str, tuple[type[Benchmark], Callable[[Any, list[Record]], list[dict[str, Any]]], str]] = {
    "samrank": (SAMRankBenchmark, measure_samrank, "Time SAMRank, its lower bound and other tools."),
    "unikeyphrase": (UniKeyphraseBenchmark, measure_unikeyphrase, "Time UniKeyphrase's prediction and training."),
    "rgit": (RGITBenchmark, measure_rgit, "Time RAMKG's encoder, generator and rounds of RGIT."),
    "serve": (ServeBenchmark, measure_serve, "Measure the throughput and latency of the HTTP service."),
}
CLUSTER: dict[str, tuple[type[Settings], Callable[[Any], list[dict[str, Any]]], str]] = {
    "ray_overhead": (SchedulingConfig, measure_ray_overhead, "Measure Ray's overhead per task and chunk."),
    "capacity": (PlanConfig, plan, "Estimate, without measuring, how long jobs take on a cluster."),
}


def main(arguments: Sequence[str], prog: str) -> int:
    """Parse the arguments, measure, print the table."""
    name, *options = arguments or ["--help"]
    if name in ("-h", "--help", "--help-all"):
        sys.stdout.write(_usage(prog))
        return 0
    if name in CLUSTER:
        settings, tell, about = CLUSTER[name]
        config = parse_settings(settings, options, prog=f"{prog} {name}", description=about, examples=("",))
        print_tables({name: tell(config)})
        return 0
    if name not in BENCHMARKS:
        raise UserError(f"there is no benchmark {name!r}", fix=f"known: {', '.join([*BENCHMARKS, *CLUSTER])}")
    schema, measure, about = BENCHMARKS[name]
    usual = [*Benchmark.model_fields, *(field for field in _USUAL if field in schema.model_fields)]
    job = parse_settings(
        schema,
        options,
        prog=f"{prog} {name}",
        description=about,
        usual=usual,
        examples=("", "--input test.jsonl --documents 50"),
    )
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


def _usage(prog: str) -> str:
    program = f"python {prog}" if ".py" in prog else prog
    lines = [f"  {name:<14}{about}\n" for name, (*_, about) in [*BENCHMARKS.items(), *CLUSTER.items()]]
    last = f"{program} NAME --help describes the options of a benchmark."
    return f"usage: {prog} NAME [OPTIONS]\n\n{''.join(lines)}\n{last}\n"


if __name__ == "__main__":
    run_main(lambda: main(sys.argv[1:], "benchmarks/run.py"))
