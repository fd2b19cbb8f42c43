"""Output of commands: keyphrases with their scores (on the terminal, as JSON, as a page), tables, results."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from kpray.errors import UserError
from kpray.log import say
from kpray.report.render import render
from kpray.report.tables import Cell, fitting_table

if TYPE_CHECKING:
    from markupsafe import Markup

    from kpray.document import Document
    from kpray.predictor import Explanation

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_SHADES = ("", "on grey15", "on grey23", "on dark_green", "on green4", "bold black on green3")


class Printer:
    """Writes documents with their keyphrases to standard output, one after the other.

    Args:
        form: `table`, `json` or `jsonl`.
        made_by: `Predictor.describe()`, which is part of the output.
        page: HTML file for the texts with their tokens shaded by score, which are also printed; None: no shaded texts.
    """

    def __init__(self, form: str, made_by: dict[str, Any], page: Path | None) -> None:
        self.form, self.made_by, self.page = form, made_by, page
        self.documents = 0
        self.assumed_english = 0
        self.page_parts: list[Markup] = []

    def __enter__(self) -> Printer:
        if self.form == "json":
            sys.stdout.write(json.dumps({"made_by": self.made_by}, ensure_ascii=False)[:-1] + ', "documents": [')
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        if self.form == "json":
            sys.stdout.write("]}\n")
        if self.assumed_english and self.form != "table":  # the table says it at each document
            number = self.assumed_english
            say(
                "language",
                f"{number} of {self.documents} documents too short to detect their language: English assumed "
                "(name it with --lang, or in the field lang)",
                assumed=number,
            )
        if self.form == "table":
            predictor, tagger = self.made_by["predictor"], self.made_by.get("tagger")
            say("predictor", predictor + (f", {tagger} tagger" if tagger else ""), predictor=predictor, tagger=tagger)
        if self.page is not None:
            write_file(render("token_scores.html", title="kpray: token scores", documents=self.page_parts), self.page)
            say("page", f"token scores: {self.page}", page=str(self.page))

    def print(self, document: Document, explanation: Explanation, origin: Mapping[str, Any] | None = None) -> None:
        """Write one document; `origin` is what JSON says about its record, such as its file and line."""
        if self.form == "table":
            self._print_table(document, explanation)
        else:
            row: dict[str, Any] = {"id": document.id, "lang": document.lang, **(origin or {})}
            row["keyphrases"] = [asdict(keyphrase) for keyphrase in explanation.keyphrases]
            if self.page is not None:
                row["tokens"] = [
                    {"start": start, "end": end, "score": score}
                    for (start, end), score in zip(explanation.spans.tolist(), explanation.scores.tolist(), strict=True)
                ]
            if self.form == "jsonl":
                print(json.dumps({**row, "made_by": self.made_by}, ensure_ascii=False))
            else:
                sys.stdout.write((", " if self.documents else "") + json.dumps(row, ensure_ascii=False))
        if self.page is not None:
            phrases = [keyphrase.text for keyphrase in explanation.keyphrases]
            pieces = shaded_pieces(document.text, explanation)
            part = render("scored_document.html", id=document.id, phrases=phrases, pieces=pieces)
            self.page_parts.append(part)
        self.documents += 1
        self.assumed_english += document.lang_source == "assumed"

    def _print_table(self, document: Document, explanation: Explanation) -> None:
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False, soft_wrap=True)
        if self.documents:
            console.print()
        console.print(Text(_printable(document.id), style="bold").append(_language_note(document), style="not bold"))
        for keyphrase in explanation.keyphrases:
            console.print(
                Text(
                    f"{keyphrase.score:10.4f}  {_printable(keyphrase.text)}"
                    + ("" if keyphrase.present else "  (absent)")
                )
            )
        if not explanation.keyphrases:
            console.print("  (no keyphrases)")
        if self.page is not None:
            shaded = Text("\n")
            for piece, share in shaded_pieces(document.text, explanation):
                shaded.append(_printable(piece), style=_SHADES[min(int(share * len(_SHADES)), len(_SHADES) - 1)])
            console.print(shaded)


def print_result(text: str) -> None:
    """Print a result to standard output. Messages about the progress belong to standard error (`kpray.log.say`)."""
    print(text)


def print_tables(tables: Mapping[str, Sequence[Mapping[str, Cell]]]) -> None:
    """Print each title with its rows as a table; titles without rows are left out."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for title, rows in tables.items():
        if rows:
            console.print(Text(title, style="bold"), soft_wrap=True)  # a table would break it at its own width
            console.print(fitting_table(rows, console))


def write_file(text: str, path: Path) -> None:
    """Write a text file, UTF-8.

    Raises:
        UserError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot write: {error.strerror or error}", where=str(path), fix="choose another path"
        ) from error


def shaded_pieces(text: str, explanation: Explanation) -> list[tuple[str, float]]:
    """Split a text at its tokens into pieces, each with the strength of its shade in [0, 1].

    The strength of a token is the share of the document's other tokens with a lower score, cubed. So the few best
    tokens stand out, whatever the scale of the scores. Text between tokens has strength 0.
    """
    scores = explanation.scores
    shares = (np.searchsorted(np.sort(scores), scores) / max(len(scores) - 1, 1)) ** 3
    pieces: list[tuple[str, float]] = []
    end_before = 0
    for (start, end), share in zip(explanation.spans.tolist(), shares.tolist(), strict=True):
        if start > end_before:
            pieces.append((text[end_before:start], 0.0))
        pieces.append((text[max(start, end_before) : end], share))  # tokens may overlap
        end_before = max(end_before, end)
    return [*pieces, (text[end_before:], 0.0)]


def _language_note(document: Document) -> str:
    if document.lang_source == "assumed":
        return "  (too short to detect its language: English assumed; --lang names it)"
    return f"  (detected: {document.lang})" if document.lang_source == "detected" and document.lang != "en" else ""


def _printable(text: str) -> str:
    """The text without control characters, which could change the terminal (escape sequences)."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
