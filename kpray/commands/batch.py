"""`kpray batch`: keyphrases for any number of documents, on Ray Data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from kpray.batch.config import BatchConfig
from kpray.claims import claimed
from kpray.cluster.job import JobSettings, describe_sources, print_plan, write_configuration
from kpray.corpus.files import say_encodings
from kpray.corpus.ids import count_repeated_ids, say_repeated_ids
from kpray.corpus.sources import find_sources
from kpray.corpus.units import Split
from kpray.corpus.writing import REJECTS_FILE
from kpray.printing import print_result
from kpray.registry import PredictionSettings, section_of
from kpray.report.progress import Activity
from kpray.selection import SelectionOptions
from kpray.settings import parse_settings
from kpray.storage import location

DESCRIPTION = (
    "Extract keyphrases from any number of documents, on one machine or a Ray cluster. "
    "The same command continues a run that was interrupted."
)
EXAMPLES = (
    "--input papers/ --output keyphrases/",
    "--input s3://corpus/ --output s3://keyphrases/ --address auto",
)
USUAL = ("predictor", "top", "diversity", "lang", "address", "dry_run")


class BatchCommand(PredictionSettings, SelectionOptions, JobSettings):
    """Settings of `kpray batch`."""

    input: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of documents: JSON lines, JSON, CSV, Parquet, text, Markdown, RST, HTML, DOCX, EPUB or PDF;
    also gzipped. s3:// and gs:// also work."""
    output: str
    """Output folder for the keyphrases (Parquet) and the rejected records (_rejects.jsonl). s3:// and gs:// also
    work."""
    predictor: str = "samrank"
    """Predictor: samrank, the folder of a saved predictor, or its id on the Hugging Face hub."""
    top: Annotated[int, Field(ge=1)] = 10
    """Maximum number of keyphrases per document."""
    keep: tuple[str, ...] = ()
    """Columns or fields of the records to write to the output, too, as JSON in the column `metadata`."""
    split: Split | None = None
    """Predict keyphrases for each sentence or each section separately, with the ids ID#1, ID#2, ... Sections begin at
    headings, or at blank lines in a text without headings. If null, for whole documents."""
    batch: BatchConfig = BatchConfig()


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the command."""
    job = parse_settings(BatchCommand, arguments, prog=prog, description=DESCRIPTION, usual=USUAL, examples=EXAMPLES)
    sources = find_sources(job.input, follow_links=job.follow_links)
    if job.dry_run:
        print_plan(job, describe_sources(sources, job.reading()))
        return 0
    with Activity("loading the libraries"):
        from kpray.batch.extract import BatchRun, check_manifest, predict_files
        from kpray.cluster.inputs import check_apart
        from kpray.cluster.session import ray_session

    output, config = location(job.output), section_of(job.predictor, job)
    check_apart(job.input, output)
    reading, selection = job.reading(keep=job.keep, gold=False), SelectionOptions.of(job)
    run = BatchRun.pinned(output, job.predictor, config, job.top, reading, job.batch, selection, job.split)
    with claimed(run.output):
        bundled = check_manifest(run, sources)
        say_encodings(sources, run.reading)
        write_configuration(job, output)
        with ray_session(job.address, run.output, run.models(), bfloat16=run.bfloat16()):
            counts = predict_files(run, bundled, job.batch)
        say_repeated_ids(count_repeated_ids(run.output), "columns of the output")
    print_result(f"{counts.written:,} documents written to {output}, {counts.rejected:,} rejected ({REJECTS_FILE})")
    return 0
