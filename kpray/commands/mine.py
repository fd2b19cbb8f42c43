"""`kpray mine`: retrieval of pairs of documents that are translations of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from kpray.batch.config import BatchConfig
from kpray.cluster.inputs import check_apart
from kpray.cluster.job import Folder, JobSettings, describe_inputs, print_plan, write_configuration, writing
from kpray.cluster.mirror import mirrored, working_folder
from kpray.corpus.limits import ReadingSettings
from kpray.printing import print_result
from kpray.ramkg.config import BitextConfig
from kpray.report.progress import Activity
from kpray.settings import parse_settings
from kpray.storage import location

DESCRIPTION = (
    "Find pairs of documents that are translations of each other, by the margin of their embeddings "
    "(Artetxe & Schwenk, ACL 2019)."
)
EXAMPLES = ("--passages german.jsonl --english english.jsonl --output pairs/",)
USUAL = ("lang", "bitext.model", "bitext.margin", "address", "dry_run")


class MineCommand(ReadingSettings, JobSettings):
    """Settings of `kpray mine`."""

    passages: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of documents in other languages."""
    english: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of English documents."""
    output: Folder
    """Output folder for pairs.jsonl: the documents that have a translation, whose id is in the field `english_ids`."""
    bitext: BitextConfig = BitextConfig()
    batch: BatchConfig = BatchConfig()


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the command."""
    job = parse_settings(MineCommand, arguments, prog=prog, description=DESCRIPTION, usual=USUAL, examples=EXAMPLES)
    if job.dry_run:
        given = {"--passages:": job.passages, "--english:": job.english}
        print_plan(job, describe_inputs(given, job.reading()))
        return 0
    check_apart([*job.passages, *job.english], location(job.output))
    with mirrored(job.output):
        pairs, passages, english = _mine(job, working_folder(job.output))
    print_result(f"{pairs:,} pairs of {passages:,} and {english:,} documents: {job.output}/pairs.jsonl")
    return 0


def _mine(job: MineCommand, output: Path) -> tuple[int, int, int]:
    """Write the pairs; returns their number and the numbers of documents in other languages and in English."""
    with Activity("loading the libraries"):
        from kpray.cluster.session import ray_session
        from kpray.corpus.store import PassageStore
        from kpray.ramkg.bitext import margin_pairs
        from kpray.rgit.corpora import write_documents
        from kpray.rgit.passage_stores import english_store, passage_store
        from kpray.rgit.retrieval import embed_bitext, read_vectors
        from kpray.rgit.steps import RGITSteps

    write_configuration(job, output)
    with Activity("reading the documents"):
        english = PassageStore(english_store(job.english, output, job.reading()))
        passages = PassageStore(passage_store("passages", job.passages, output, job.reading()))
    with ray_session(job.address, output, (job.bitext.model,)):
        steps = RGITSteps(output / "steps")
        queries, targets = (
            read_vectors(embed_bitext(steps, store, job.bitext, job.batch)) for store in (passages, english)
        )
    with Activity("matching the documents"):
        pairs = margin_pairs(queries, targets, job.bitext.neighbors, job.bitext.margin)
    records = (
        replace(passages.record(query), english_ids=(english.record(row).document.id,)) for query, row, _ in pairs
    )
    with writing(output):
        write_documents(records, output / "pairs.jsonl")
    return len(pairs), len(passages), len(english)
