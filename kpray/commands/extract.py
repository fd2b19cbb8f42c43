"""`kpray extract`: keyphrases at the command line, in this process, without Ray."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from kpray.corpus.ids import say_repeated_ids
from kpray.corpus.records import STANDARD_INPUT, Reject, read_records
from kpray.corpus.sources import find_sources
from kpray.corpus.units import Split, split_record
from kpray.document import Record
from kpray.errors import RejectedDocument, UserError
from kpray.escapes import escape_controls
from kpray.failures import FailureLimit, rejecting_failures
from kpray.log import say
from kpray.predictor import Explanation
from kpray.printing import Printer, write_file
from kpray.registry import PredictionSettings, open_predictor, pin_config, predictor_version, section_of
from kpray.selection import SelectionOptions
from kpray.settings import parse_settings

DESCRIPTION = "Print the keyphrases of documents, in this process, without Ray."
EXAMPLES = ("paper.pdf", "notes/ --top 5 --format jsonl", "paper.pdf --explain")
USUAL = ("predictor", "top", "diversity", "format", "lang", "explain", "rejects")
_DOCUMENTS_AT_ONCE = 64


class ExtractCommand(PredictionSettings, SelectionOptions):
    """Settings of `kpray extract`."""

    files: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of documents: JSON lines, JSON, CSV, Parquet, text, Markdown, RST, HTML, DOCX, EPUB or PDF;
    also gzipped. `-` is standard input."""
    input_format: Literal[
        "auto", "jsonl", "json", "csv", "tsv", "parquet", "text", "markdown", "rst", "html", "docx", "epub", "pdf"
    ] = "auto"
    """Format of standard input. `auto` recognises JSON, HTML, PDF, DOCX, EPUB, Parquet and gzip; all else is text."""
    keep: tuple[str, ...] = ()
    """Columns or fields of the records to print, too, in the field `metadata` of JSON output."""
    predictor: str = "samrank"
    """Predictor: samrank, the folder of a saved predictor, or its id on the Hugging Face hub."""
    top: Annotated[int, Field(ge=1)] = 10
    """Maximum number of keyphrases per document."""
    split: Split | None = None
    """Predict keyphrases for each sentence or each section separately, with the ids ID#1, ID#2, ... Sections begin at
    headings, or at blank lines in a text without headings. If null, for whole documents."""
    format: Literal["table", "json", "jsonl", "csv"] = "table"
    """Output format: a table, one JSON object for all documents (`json`), one JSON object per line and document
    (`jsonl`), or one row per keyphrase (`csv`)."""
    explain: bool = False
    """Print each text with its words shaded by score and its keyphrases underlined, and write the same to an HTML
    page. If the predictor retrieves passages: also print what each keyphrase rests on."""
    explain_page: Path = Path("kpray-explain.html")
    """File for the HTML page of --explain."""
    rejects: Path | None = None
    """File for the records that could not be processed. If null, they are reported on standard error."""
    dry_run: bool = False
    """Print the resolved configuration and the input data, and do nothing else."""


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the command."""
    settings = parse_settings(
        ExtractCommand,
        arguments,
        prog=prog,
        description=DESCRIPTION,
        positional="files",
        usual=USUAL,
        examples=EXAMPLES,
    )

    reading = settings.reading(keep=settings.keep, gold=False, input_format=settings.input_format)
    if settings.dry_run:
        from kpray.cluster.job import describe_sources, print_plan

        files = [name for name in settings.files if name != STANDARD_INPUT]
        found = describe_sources(find_sources(files, follow_links=settings.follow_links), reading)
        described = [found, "standard input"] if len(files) < len(settings.files) else [found]
        print_plan(settings, "\n#       ".join(filter(None, described)))
        return 0
    records = read_records(settings.files, reading)
    pinned = pin_config(settings.predictor, section_of(settings.predictor, settings))
    options = SelectionOptions.of(settings)
    predictor = open_predictor(settings.predictor, pinned).selecting(options, support=settings.explain)
    selected = json.dumps(predictor.selection.describe()) if predictor.selection.describe() else ""
    version = predictor_version(settings.predictor, pinned, selected)
    rejects: list[Reject] = []
    limit = FailureLimit()
    ids: Counter[str] = Counter()

    def reject(source: str, line: int, reason: str) -> None:
        rejects.append(Reject(source, line, reason))
        if settings.rejects is None:
            text = escape_controls(f"rejected {source}:{line}: {reason}")
            say("rejected", text, source=source, line=line, reason=reason)
        limit.count(1, [reason])

    def documents() -> Iterator[tuple[Record, object]]:
        for record in records:
            if isinstance(record, Reject):
                reject(record.source, record.line, record.reason)
                continue
            try:
                with rejecting_failures(f"{record.source}:{record.line}"):
                    units = split_record(record, settings.split)
                    prepared = [predictor.prepare(unit.document) for unit in units]
            except RejectedDocument as error:
                reject(record.source, record.line, error.reason)
            else:
                yield from zip(units, prepared, strict=True)

    page = settings.explain_page if settings.explain else None
    with Printer(settings.format, predictor.describe(), page, version) as printer:
        waiting = documents()
        while batch := list(islice(waiting, _DOCUMENTS_AT_ONCE)):
            names = [f"{record.source}:{record.line}" for record, _ in batch]
            predicted: list[Explanation | RejectedDocument] = predictor.predict_each(
                [ready for _, ready in batch], settings.top, names
            )
            for (record, _), explanation in zip(batch, predicted, strict=True):
                if isinstance(explanation, RejectedDocument):
                    reject(record.source, record.line, explanation.reason)
                    continue
                limit.count(1, [])
                ids[record.document.id] += 1
                origin: dict[str, object] = {"source": record.source, "line": record.line}
                if settings.keep:
                    origin["metadata"] = record.metadata
                printer.print(record.document, explanation, origin)
    say_repeated_ids(ids.total() - len(ids), "fields of --format jsonl")
    if settings.rejects is not None:
        lines = (json.dumps(asdict(reject), ensure_ascii=False) + "\n" for reject in rejects)
        write_file("".join(lines), settings.rejects)
    if rejects and printer.documents == 0:
        raise UserError(f"none of {len(rejects)} records could be processed", where=", ".join(settings.files))
    return 0
