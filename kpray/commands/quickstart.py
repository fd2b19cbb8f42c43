"""`kpray quickstart`, `make quickstart`: a small real run of the whole system on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from kpray.batch.config import BatchConfig
from kpray.cluster.job import JobSettings, describe_sources, print_plan, write_configuration
from kpray.corpus.limits import Limits
from kpray.corpus.quickstart import quickstart_records, quickstart_text
from kpray.corpus.sources import find_sources
from kpray.corpus.writing import read_made_by, read_predictions, write_text
from kpray.document import Keyphrase, Record
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import get_protocol
from kpray.pretrained import MINILM
from kpray.printing import print_result, print_tables
from kpray.registry import MethodSections, open_predictor, section_of
from kpray.report.heat_map import draw_heads
from kpray.report.rounds import round_rows, score_rows
from kpray.rgit.config import RGITSettings
from kpray.settings import parse_settings
from kpray.train.config import TrainSettings
from kpray.training import OptimConfig, RunConfig
from kpray.unikeyphrase.config import ModelConfig, TaskConfig

DESCRIPTION = "Run a small example of the whole system on this machine: extraction, evaluation and two trainings."
NEXT = """
What to do next:
  kpray extract FILE...                                           keyphrases of your documents
  kpray batch --input PATH --output DIR                           of very many, on one machine or a cluster
  kpray evaluate --input PATH --predictions DIR --protocol samrank
  kpray train unikeyphrase --config small --train PATH --valid PATH --output DIR
  kpray rgit --config planted --output DIR
"""
# Six times over 60 short texts: about a minute on two cores.
TINY = TaskConfig(
    model=ModelConfig(backbone=MINILM, relation_layers=1, attention_dropout=0.0, source_tokens=160, target_tokens=48)
)
OPTIM, RUN = OptimConfig(lr=5e-4, epochs=6, batch=8), RunConfig(zero=0, micro_tokens=2048, log_every=8)


class QuickstartCommand(MethodSections, JobSettings):
    """Settings of `kpray quickstart`."""

    output: Path = Path("quickstart")
    """Output folder."""


def main(arguments: Sequence[str], prog: str) -> int:
    """Write the corpus, run the batch job over it, evaluate, draw the heads, print the table."""
    job = parse_settings(
        QuickstartCommand,
        arguments,
        prog=prog,
        description=DESCRIPTION,
        usual=("output", "address", "dry_run"),
        examples=("", "--output example/"),
    )
    from kpray.batch.extract import BatchRun, check_manifest, predict_files
    from kpray.cluster.session import ray_session
    from kpray.samrank.heads import f1_of_heads

    job.output.mkdir(parents=True, exist_ok=True)
    corpus = job.output / "corpus.jsonl"
    write_text(quickstart_text(), corpus)
    sources = find_sources([str(corpus)])
    if job.dry_run:
        print_plan(job, describe_sources(sources, Limits()))
        return 0
    started = time.monotonic()
    batch = BatchConfig(chunk_records=10)
    config = section_of("samrank", job)
    run = BatchRun.pinned(job.output / "keyphrases", "samrank", config, 15, "en", Limits(), batch)
    check_manifest(run, sources)
    write_configuration(job, job.output)
    with ray_session(job.address):
        counts = predict_files(run, sources, batch)
    records, predictions = quickstart_records(), read_predictions(run.output)
    print_result(f"\n{counts.written} documents, {counts.rejected} rejected, {time.monotonic() - started:.0f} s\n")
    show(records[0], predictions["en", records[0].document.id])

    report = evaluate(records, predictions, get_protocol("samrank"))
    english = [record for record in records if record.document.lang == "en"]
    draw_heads({"quickstart, English": f1_of_heads(job.samrank, english)[:, :, -1]}, job.output / "heads.png", "F1@15")
    print_tables(
        {
            f"F1 in percent ({read_made_by(run.output)['tagger']} tagger)": report.language_rows(),
            "all documents, protocol samrank": report.score_rows(),
        }
    )
    train_tiny(job, str(corpus), records[0])
    run_two_rounds(job)
    print_result(
        f"\n{job.output}/: corpus.jsonl, keyphrases/*.parquet, heads.png (F1 of every attention head), "
        f"unikeyphrase/ and rgit/ (models, metrics, what they were made of)\n{NEXT.rstrip()}"
    )
    return 0


def train_tiny(job: QuickstartCommand, corpus: str, record: Record) -> None:
    """Train a UniKeyphrase on the corpus, open it, use it on a document that it has learnt by heart."""
    from kpray.train.job import train
    from kpray.unikeyphrase.task import UniKeyphraseTask

    print_result("\ntraining a UniKeyphrase on the same texts, for a minute: it shows that it works, not how well\n")
    output = job.output / "unikeyphrase"
    settings = TrainSettings(
        train=(corpus,), valid=(corpus,), output=str(output), optim=OPTIM, run=RUN, address=job.address
    )
    state = train(UniKeyphraseTask(TINY), settings)
    predictor = open_predictor(str(output / "best"))
    show(record, predictor.predict([record.document])[0])
    print_result(f"{state.step} steps; F1@M of what it was trained on: {state.best:.1f} percent")


def run_two_rounds(job: QuickstartCommand) -> None:
    """Let a retriever and a generator train each other on a corpus with a known answer."""
    from kpray.rgit.job import run_rgit

    print_result(
        "\ntwo rounds of RGIT on a made-up bilingual corpus, for four minutes: it shows that it works, not how well\n"
    )
    options = ["--config", "planted-small", "--output", str(job.output / "rgit")]
    settings = parse_settings(RGITSettings, options, prog="jobs/rgit.py", description="")
    report = run_rgit(settings.model_copy(update={"address": job.address}))
    print_tables({"rounds": round_rows(report), "keyphrases of the test documents": score_rows(report)})


def show(record: Record, keyphrases: list[Keyphrase]) -> None:
    """Print one document with its predicted and its gold keyphrases."""
    present = [keyphrase.text for keyphrase in keyphrases[:8] if keyphrase.present]
    absent = [keyphrase.text for keyphrase in keyphrases[:8] if not keyphrase.present]
    print_result(record.document.title)
    print_result(f"  predicted: {'; '.join(present)}{' | not in the text: ' if absent else ''}{'; '.join(absent)}")
    print_result(f"  assigned:  {'; '.join(record.keyphrases)}\n")
