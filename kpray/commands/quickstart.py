"""`kpray quickstart`, or `make quickstart` in a clone of the repository: a small example on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kpray.claims import claimed
from kpray.cluster.job import (
    JobSettings,
    describe_sources,
    print_plan,
    run_details,
    write_configuration,
    writing,
)
from kpray.corpus.limits import Reading
from kpray.corpus.quickstart import quickstart_records, quickstart_text
from kpray.corpus.sources import find_sources
from kpray.corpus.writing import read_made_by, read_predictions, write_text
from kpray.document import Keyphrase, Record
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import get_protocol
from kpray.printing import print_result, print_tables
from kpray.registry import MethodSections, open_predictor, section_of
from kpray.report.page import Section, write_pages
from kpray.report.progress import Activity
from kpray.report.tables import Cell
from kpray.settings import parse_settings

# Ray, PyTorch and the trainings are imported only before they are used, so that the first table comes seconds earlier.

DESCRIPTION = (
    "Try kpray on this machine: extract keyphrases from 60 short texts in five languages, score them, and draw a heat "
    "map of the attention heads."
)
Rows = list[dict[str, Cell]]

_SHOWN = 3  # keyphrases of a document in the first table
_HEADS = 5  # best heads in the report
_NEXT = (
    ("kpray extract FILE...", "keyphrases of your documents"),
    ("kpray batch --input FOLDER --output DIR", "keyphrases of a whole folder, with Ray"),
)
_MORE = ("kpray quickstart --all", "also train tiny models, in three minutes")
_SERVE = ("kpray serve", "an HTTP endpoint, with a page to try it")


class QuickstartCommand(MethodSections, JobSettings):
    """Settings of `kpray quickstart`."""

    output: Path = Path("quickstart")
    """Output folder."""
    all: bool = False
    """Also train a tiny UniKeyphrase and run two rounds of RGIT, which takes about three minutes more on two
    cores."""


def main(arguments: Sequence[str], prog: str) -> int:
    """Extract keyphrases from a small corpus with the batch job, score them, and draw the heat map of all heads."""
    started = time.monotonic()
    job = parse_settings(
        QuickstartCommand,
        arguments,
        prog=prog,
        description=DESCRIPTION,
        usual=("output", "all", "address", "dry_run"),
        examples=("", "--all"),
    )
    with writing(job.output):
        job.output.mkdir(parents=True, exist_ok=True)
    corpus = job.output / "corpus.jsonl"
    write_text(quickstart_text(), corpus)
    if job.dry_run:
        print_plan(job, describe_sources(find_sources([str(corpus)]), Reading()))
        return 0
    with claimed(job.output):
        return _run(job, corpus, started)


def _run(job: QuickstartCommand, corpus: Path, started: float) -> int:
    write_configuration(job, job.output)
    records = quickstart_records()
    tables: dict[str, Rows] = {}
    languages = len({record.document.lang for record in records})
    print_result(f"SAMRank on {len(records)} short texts in {languages} languages ({corpus}), with a local Ray:")
    predictions = extract(job, corpus)
    title = f"Keyphrases after {time.monotonic() - started:.0f} s: the first document of each language"
    tables["Keyphrases: the first document of each language"] = rows = example_rows(records, predictions)
    print_tables({title: rows})

    with Activity("scoring the predictions"):
        report = evaluate(records, predictions, get_protocol("samrank"))
    tagger = read_made_by(job.output / "keyphrases")["tagger"]
    scores = {
        f"F1 by language, in percent ({tagger} tagger)": report.language_rows(),
        "All documents, protocol samrank": report.score_rows(),
    }
    print_tables(scores)
    tables |= scores
    tables |= draw_heat_map(job, records)
    if job.all:
        tables |= train_tiny(job, str(corpus), records[0])
        tables |= run_two_rounds(job)
    with writing(job.output):
        sections = [Section(name, rows=rows) for name, rows in tables.items()]
        sections.insert(
            1, Section("Heat map of all attention heads", images={"heads.svg": "F1@15 of each head, English documents"})
        )
        write_pages(job.output, "kpray quickstart", run_details(job, started), sections)
    print_result(f"\nDone in {time.monotonic() - started:.0f} s. Everything is in {job.output}/:")
    print_lines(files(job.all))
    print_result("\nWhat to try next:")
    print_lines([*_NEXT, _SERVE if job.all else _MORE])
    return 0


def extract(job: QuickstartCommand, corpus: Path) -> Mapping[tuple[str, str], list[Keyphrase]]:
    """Run the batch job over the corpus. Returns the predictions by language and id."""
    with Activity("loading Ray"):
        from kpray.batch.config import BatchConfig
        from kpray.batch.extract import BatchRun, check_manifest, predict_files
        from kpray.cluster.session import ray_session

    # One process with a model: two would start more slowly than one predicts 60 short texts.
    batch = BatchConfig(chunk_records=20, actors=1)
    sources = find_sources([str(corpus)])
    run = BatchRun.pinned(
        job.output / "keyphrases", "samrank", section_of("samrank", job), 15, Reading(lang="en"), batch
    )
    sources = check_manifest(run, sources)
    with ray_session(job.address):
        predict_files(run, sources, batch)
    return read_predictions(run.output)


def example_rows(records: Sequence[Record], predictions: Mapping[tuple[str, str], list[Keyphrase]]) -> Rows:
    """The first document of each language with its best keyphrases."""
    first: dict[str, Record] = {}
    for record in records:
        first.setdefault(record.document.lang, record)
    return [
        {
            "lang": lang,
            "title": record.document.title,
            "best keyphrases": "; ".join(phrase.text for phrase in predictions[lang, record.document.id][:_SHOWN]),
        }
        for lang, record in first.items()
    ]


def draw_heat_map(job: QuickstartCommand, records: Sequence[Record]) -> dict[str, Rows]:
    """Score every attention head by itself on the English documents, and draw `heads.svg`.

    Returns:
        Title and rows of the table of the best heads.
    """
    with Activity("loading the model"):
        from kpray.report.heat_map import draw_heads
        from kpray.samrank.heads import f1_of_heads, head_rows

    english = [record for record in records if record.document.lang == "en"]
    f1 = f1_of_heads(job.samrank, english)
    with writing(job.output):
        draw_heads({"quickstart, English": f1[:, :, -1]}, job.output / "heads.svg", "F1@15")
    tables: dict[str, Rows] = {f"The {_HEADS} best attention heads by themselves, English": head_rows(f1)[:_HEADS]}
    print_tables(tables)
    return tables


def train_tiny(job: QuickstartCommand, corpus: str, record: Record) -> dict[str, Rows]:
    """Train a UniKeyphrase on the corpus, and apply it to one of the documents.

    Returns:
        Title and rows of the table of its keyphrases.
    """
    with Activity("loading the training"):
        from kpray.pretrained import MINILM
        from kpray.train.config import TrainSettings
        from kpray.train.job import train
        from kpray.training import OptimConfig, RunConfig
        from kpray.unikeyphrase.config import ModelConfig, TaskConfig
        from kpray.unikeyphrase.task import UniKeyphraseTask

    print_result("\nTraining UniKeyphrase on the same texts for a minute. It shows how to train, not how good it gets.")
    output = job.output / "unikeyphrase"
    model = ModelConfig(backbone=MINILM, relation_layers=1, attention_dropout=0.0, source_tokens=160, target_tokens=48)
    settings = TrainSettings(
        train=(corpus,),
        valid=(corpus,),
        output=str(output),
        optim=OptimConfig(lr=5e-4, epochs=6, batch=8),
        run=RunConfig(zero=0, micro_tokens=2048, log_every=8),
        address=job.address,
    )
    state = train(UniKeyphraseTask(TaskConfig(model=model)), settings)
    predictor = open_predictor(str(output / "best"))
    keyphrases = predictor.predict(record.document)[:8]
    row: dict[str, Cell] = {
        "title": record.document.title,
        "present": "; ".join(keyphrase.text for keyphrase in keyphrases if keyphrase.present),
        "absent": "; ".join(keyphrase.text for keyphrase in keyphrases if not keyphrase.present),
        "gold": "; ".join(record.keyphrases),
    }
    title = f"UniKeyphrase after {state.step} steps (F1@M on its training texts: {state.best:.1f} percent)"
    print_tables({title: [row]})
    return {title: [row]}


def run_two_rounds(job: QuickstartCommand) -> dict[str, Rows]:
    """Run RGIT on a generated bilingual corpus, where the right pairs are known.

    Returns:
        Title and rows of its tables.
    """
    from kpray.report.rounds import round_rows, score_rows
    from kpray.rgit.config import RGITSettings
    from kpray.rgit.job import run_rgit

    print_result(
        "\nTwo rounds of RGIT on a generated bilingual corpus for four minutes. They show how to run it, not how good "
        "it gets."
    )
    options = ["--config", "planted-small", "--output", str(job.output / "rgit")]
    settings = parse_settings(RGITSettings, options, prog="kpray rgit", description="")
    report = run_rgit(settings.model_copy(update={"address": job.address}))
    tables = {"RGIT: rounds": round_rows(report), "RGIT: keyphrases of the test documents": score_rows(report)}
    print_tables(tables)
    return tables


def files(trained: bool) -> list[tuple[str, str]]:
    """Name and contents of everything in the output folder."""
    listed = [
        ("report.html", "this run as a page, with the heat map"),
        ("heads.svg", "the heat map: F1 of every attention head"),
        ("keyphrases/*.parquet", "the keyphrases: id, lang, keyphrases"),
        ("corpus.jsonl", "the texts"),
    ]
    if trained:
        listed += [("unikeyphrase/best/", "the trained UniKeyphrase"), ("rgit/report.html", "the report of RGIT")]
    return listed


def print_lines(pairs: Sequence[tuple[str, str]]) -> None:
    """Print pairs of texts in two columns."""
    width = max(len(left) for left, _ in pairs)
    print_result("\n".join(f"  {left:<{width}}  {right}" for left, right in pairs))
