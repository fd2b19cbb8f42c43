"""`kpray`: keyphrases at the command line, in this process, without Ray; `kpray serve` alone starts one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from kpray import __version__
from kpray.corpus.limits import Limits
from kpray.corpus.records import Reject, read_records
from kpray.document import Document
from kpray.errors import RejectedDocument, UserError
from kpray.log import say
from kpray.predictor import Explanation
from kpray.ramkg.config import RAMKGOptions
from kpray.samrank.config import SAMRankConfig
from kpray.settings import Settings, parse_settings, run_main
from kpray.unikeyphrase.config import UniKeyphraseOptions

USAGE = """usage: kpray COMMAND

  extract FILE...   print the keyphrases of documents (kpray extract --help)
  serve             answer over HTTP, with a page to try it on (kpray serve --help)
  download-nltk     fetch the data of NLTK's tagger for English
  --version         print the version
"""
_DOCUMENTS_AT_ONCE = 64


class ExtractCommand(Settings):
    """What `kpray extract` takes."""

    files: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders: JSON lines, Parquet, CSV, text, Markdown, PDF; - is standard input."""
    predictor: str = "samrank"
    """samrank, or the folder of a saved predictor."""
    top: Annotated[int, Field(ge=1)] = 10
    """Most keyphrases of a document."""
    format: Literal["table", "json", "jsonl"] = "table"
    """A table to read, one JSON array, or one JSON object a line."""
    explain: bool = False
    """Print each text with its tokens shaded by score, and write the same as a page."""
    explain_page: Path = Path("kpray-explain.html")
    """Where --explain writes the page."""
    lang: str = "en"
    """Language of records that name none."""
    rejects: Path | None = None
    """Write records that could not be processed to this file; null: name them on standard error."""
    limits: Limits = Limits()
    samrank: SAMRankConfig = SAMRankConfig()
    unikeyphrase: UniKeyphraseOptions = UniKeyphraseOptions()
    ramkg: RAMKGOptions = RAMKGOptions()


def main() -> None:
    """Entry point of the command `kpray`."""
    run_main(_main)


def _main() -> int:
    command, *arguments = sys.argv[1:] or ["--help"]
    if command == "extract":
        return _extract(
            parse_settings(
                ExtractCommand,
                arguments,
                prog="kpray extract",
                description="Print the keyphrases of documents.",
                positional="files",
            )
        )
    if command == "serve":
        return _serve(arguments)
    if command == "download-nltk":
        return _download_nltk()
    if command in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if command == "--version":
        print(f"kpray {__version__}")
        return 0
    raise UserError(f"unknown command {command!r}", fix="known: extract, serve, download-nltk; see kpray --help")


def _extract(settings: ExtractCommand) -> int:
    from kpray.printing import Printer, write_file
    from kpray.registry import open_predictor, section_of

    records = read_records(settings.files, settings.lang, settings.limits)
    predictor = open_predictor(settings.predictor, section_of(settings.predictor, settings))
    rejects: list[Reject] = []

    def reject(source: str, line: int, reason: str) -> None:
        rejects.append(Reject(source, line, reason))
        if settings.rejects is None:
            say("rejected", f"rejected {source}:{line}: {reason}", source=source, line=line, reason=reason)

    def documents() -> Iterator[tuple[Document, object]]:
        for record in records:
            if isinstance(record, Reject):
                reject(record.source, record.line, record.reason)
                continue
            try:
                prepared = predictor.prepare(record.document)
            except RejectedDocument as error:
                reject(record.source, record.line, error.reason)
            else:
                yield record.document, prepared

    with Printer(settings.format, predictor.describe(), settings.explain_page if settings.explain else None) as printer:
        waiting = documents()
        while batch := list(islice(waiting, _DOCUMENTS_AT_ONCE)):
            explanations: list[Explanation] = predictor.predict_prepared([ready for _, ready in batch], settings.top)
            for (document, _), explanation in zip(batch, explanations, strict=True):
                printer.print(document, explanation)
    if settings.rejects is not None:
        lines = (json.dumps(asdict(reject), ensure_ascii=False) + "\n" for reject in rejects)
        write_file("".join(lines), settings.rejects)
    if rejects and printer.documents == 0:
        raise UserError(f"none of {len(rejects)} records could be processed", where=", ".join(settings.files))
    return 0


def _serve(arguments: list[str]) -> int:
    try:
        from kpray.serve.command import ServeCommand, run_server
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed", fix="pip install 'kpray[cluster]'") from error
    run_server(
        parse_settings(ServeCommand, arguments, prog="kpray serve", description="Keyphrases over HTTP, on Ray Serve.")
    )
    return 0


def _download_nltk() -> int:
    import nltk

    from kpray.text.tagging import NLTK_TAGGER

    if not nltk.download(NLTK_TAGGER):
        raise UserError("the download failed", fix=f"fetch {NLTK_TAGGER} elsewhere and set NLTK_DATA to its folder")
    return 0


if __name__ == "__main__":
    main()
