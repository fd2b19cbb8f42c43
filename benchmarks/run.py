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
from typing import Any

import kpray.cluster  # noqa: F401  # turns on token authentication before Ray is imported
from benchmarks.capacity import PlanConfig, plan
from benchmarks.settings import (
    AblationSettings,
    AttentionMapSettings,
    BaselinesBenchmark,
    Benchmark,
    BenchmarkSettings,
    GenerationBenchmark,
    GPUBenchmark,
    RealRGITSettings,
    RGITBenchmark,
    SAMRankBenchmark,
    SchedulesBenchmark,
    SchedulingConfig,
    ServeBenchmark,
    UniKeyphraseBenchmark,
)
from benchmarks.timing import time_contestants
from kpray.cluster.job import describe_inputs, print_plan
from kpray.corpus.limits import Reading
from kpray.corpus.quickstart import quickstart_records
from kpray.corpus.records import Reject, read_records
from kpray.document import Document, Record
from kpray.errors import UserError
from kpray.printing import print_result, print_tables
from kpray.registry import open_predictor
from kpray.report.tables import markdown_table
from kpray.settings import parse_settings, run_main


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
    from kpray.rgit.config import RGITSettings

    options = ["--config", "planted-small", "--output", "unused"]
    rounds = parse_settings(RGITSettings, options, prog="jobs/rgit.py", description="")
    return benchmark(job.retriever, rounds, records)


def compare_schedules(config: SchedulesBenchmark) -> int:
    from benchmarks.schedules import measure
    from kpray.rgit.config import RGITSettings

    options = ["--config", "planted" if config.plant == "full" else "planted-small", "--output", str(config.output)]
    options += ["--planted.seed", str(config.seed), "--local"]
    job = parse_settings(RGITSettings, options, prog="jobs/rgit.py", description="")
    print_tables(measure(job))
    return 0


def measure_generation(job: GenerationBenchmark, records: list[Record]) -> list[dict[str, Any]]:
    from benchmarks.generation import benchmark

    return benchmark(job.generate, records, job.rounds)


def measure_serve(job: ServeBenchmark, records: list[Record]) -> list[dict[str, Any]]:
    from benchmarks.serve import Load, benchmark, trace

    documents = [record.document for record in records]
    if job.words is not None:
        documents = [Document(id=one.id, body=" ".join(one.text.split()[: job.words])) for one in documents]
    load = Load(documents, job.request_documents, job.users, job.seconds, Path(__file__).with_name("locustfile.py"))
    samrank = job.samrank.model_dump(mode="json", exclude_unset=True)
    return (trace if job.trace else benchmark)(samrank, job.replicas.model_dump(mode="json"), load)


def measure_ray_overhead(config: SchedulingConfig) -> int:
    from benchmarks.ray_overhead import measure_scheduling

    print_tables({"ray_overhead": measure_scheduling(config)})
    return 0


def measure_gpu(config: GPUBenchmark) -> int:
    from benchmarks.gpu import measure

    return measure(config)


def compare_baselines(config: BaselinesBenchmark) -> int:
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before numpy reads them
    from benchmarks.baselines.command import measure

    print_tables({f"{data}, F1 in percent": rows for data, rows in measure(config).items()})
    return 0


def train_ablations(config: AblationSettings) -> int:
    from benchmarks.ablations import ablations

    print_tables({"UniKeyphrase, F1 in percent, with 95% intervals over the seeds": ablations(config)})
    return 0


def train_real_rgit(config: RealRGITSettings) -> int:
    from benchmarks.real_rgit import measure

    print_tables(measure(config))
    print_result(f"the tables: {config.output / 'real_rgit.md'}")
    return 0


def draw_map(config: AttentionMapSettings) -> int:
    from benchmarks.attention_map import draw_attention_map

    draw_attention_map(config)
    print_result(f"the figure: {config.output}")
    return 0


def estimate_capacity(config: PlanConfig) -> int:
    print_tables({"capacity": plan(config)})
    return 0


# Name -> settings, function that measures, sentence for the help.
BENCHMARKS: dict[str, tuple[type[Benchmark], Callable[[Any, list[Record]], list[dict[str, Any]]], str]] = {
    "samrank": (SAMRankBenchmark, measure_samrank, "Time SAMRank, its lower bound and other tools."),
    "unikeyphrase": (UniKeyphraseBenchmark, measure_unikeyphrase, "Time UniKeyphrase's prediction and training."),
    "rgit": (RGITBenchmark, measure_rgit, "Time RAMKG's encoder and rounds of RGIT."),
    "generation": (GenerationBenchmark, measure_generation, "Compare RAMKG's beam search with that of transformers."),
    "serve": (ServeBenchmark, measure_serve, "Measure the throughput and latency of the HTTP service."),
}
# These take no documents from `Benchmark`, and print their results.
OTHERS: dict[str, tuple[type[BenchmarkSettings], Callable[[Any], int], str]] = {
    "gpu": (GPUBenchmark, measure_gpu, "Measure the hot paths on one GPU, and the limits of the card."),
    "ray_overhead": (SchedulingConfig, measure_ray_overhead, "Measure Ray's overhead per task and chunk."),
    "baselines": (BaselinesBenchmark, compare_baselines, "Score SAMRank and the methods that the papers compare with."),
    "ablations": (AblationSettings, train_ablations, "Train variants of UniKeyphrase and compare their scores."),
    "real_rgit": (RealRGITSettings, train_real_rgit, "Train RAMKG and RGIT on real text with a backbone from scratch."),
    "schedules": (SchedulesBenchmark, compare_schedules, "Compare RGIT's schedules with wrong and with right pairs."),
    "attention_map": (AttentionMapSettings, draw_map, "Draw the attention map of one of SAMRank's heads."),
    "capacity": (PlanConfig, estimate_capacity, "Estimate, without measuring, how long jobs take on a cluster."),
}
# Settings with files.
INPUTS = ("input", "background", "train", "valid", "test", "foreign", "english", "pretrain", "others")
EXAMPLES = {
    "gpu": ("", "--tiny"),
    "baselines": ("--input test.jsonl --background train.jsonl --output baselines/",),
    "ablations": ("--train train.jsonl --valid valid.jsonl --output ablations/",),
    "real_rgit": ("--foreign fr.jsonl --english en.jsonl --pretrain acm.jsonl --output real/",),
    "schedules": ("--output schedules/", "--plant small --output schedules/"),
    "attention_map": ("--input abstract.txt --output map.svg",),
}
USUAL = {
    "baselines": ("output", "methods", "background"),
    "unikeyphrase": ("predictor", "workers"),
    "serve": ("users", "seconds", "request_documents"),
    "ablations": ("train_documents", "seeds", "seconds"),
    "real_rgit": ("others", "seeds", "backbone.documents", "rgit.rounds"),
}


def main(arguments: Sequence[str], prog: str) -> int:
    """Parse the arguments, measure, print the table."""
    name, *options = arguments or ["--help"]
    if name in ("-h", "--help", "--help-all"):
        sys.stdout.write(_usage(prog))
        return 0
    if name in OTHERS:
        settings, run, about = OTHERS[name]
        chosen = parse_settings(
            settings,
            options,
            prog=f"{prog} {name}",
            description=about,
            usual=USUAL.get(name, ()),
            examples=EXAMPLES.get(name, ("",)),
        )
        return _print_plan(chosen) if chosen.dry_run else run(chosen)
    if name not in BENCHMARKS:
        raise UserError(f"there is no benchmark {name!r}", fix=f"known: {', '.join([*BENCHMARKS, *OTHERS])}")
    schema, measure, about = BENCHMARKS[name]
    job = parse_settings(
        schema,
        options,
        prog=f"{prog} {name}",
        description=about,
        usual=(*Benchmark.model_fields, *USUAL.get(name, ())),
        examples=("", "--input test.jsonl --documents 50"),
    )
    if job.dry_run:
        return _print_plan(job)
    found = read_records(job.input) if job.input else quickstart_records()
    english = [r for r in found if not isinstance(r, Reject) and r.document.lang == "en" and r.keyphrases]
    if not english:
        raise UserError("no English document with gold keyphrases", where=", ".join(job.input))

    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before numpy reads them
    rows = measure(job, english[: job.documents])
    clocks = {"serve": "by the clock", "generation": "processor time of each round"}
    clock = clocks.get(name, f"processor time, best of {job.rounds}")
    title = f"{len(english[: job.documents])} documents, one thread, {clock}"
    print_tables({title: rows})
    if job.output is not None:
        job.output.write_text(f"{title}\n\n{markdown_table(rows)}\n", encoding="utf-8")
    return 0


def _print_plan(job: BenchmarkSettings) -> int:
    inputs = {f"--{name}:": value for name in INPUTS if (value := getattr(job, name, ()))}
    print_plan(job, describe_inputs(inputs, Reading()) or "no documents are given")
    return 0


def _usage(prog: str) -> str:
    program = f"python {prog}" if ".py" in prog else prog
    lines = [f"  {name:<14}{about}\n" for name, (*_, about) in [*BENCHMARKS.items(), *OTHERS.items()]]
    last = f"{program} NAME --help describes the options of a benchmark."
    return f"usage: {prog} NAME [OPTIONS]\n\n{''.join(lines)}\n{last}\n"


if __name__ == "__main__":
    run_main(lambda: main(sys.argv[1:], "benchmarks/run.py"))
