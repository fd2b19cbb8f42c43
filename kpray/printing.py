"""Output of commands: keyphrases with their scores (on the terminal, as JSON, as a page), tables, results."""

from __future__ import annotations

import csv
import json
import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain, pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import regex

from kpray.errors import UserError
from kpray.log import say
from kpray.report.render import render
from kpray.report.tables import Cell, fitting_table
from kpray.text.stems import UNSPACED
from kpray.text.words import split_words

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.text import Text

    from kpray.document import Document
    from kpray.predictor import Explanation

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
# A word with the shade n scores higher than this share of the document's other words, and not higher than the next.
SHADES = (0.5, 0.7, 0.8, 0.9)
# Both colours are given, so that the contrast does not depend on the terminal's background.
_STYLES = ("", "white on #1c4030", "white on #1f6144", "black on #4fb286", "bold black on #a6f0c6")
_LINES = 3  # number of underlines below each other where phrases overlap
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_UNSPACED = regex.compile(rf"[{UNSPACED}]|[^{UNSPACED}]+")


class Printer:
    """Writes documents with their keyphrases to standard output, one after the other.

    Args:
        form: `table`, `json`, `jsonl` or `csv`.
        made_by: `Predictor.describe()`, which is part of the output.
        page: HTML file for the texts with their words shaded by score and their keyphrases underlined, which are also
            printed; None: no shaded texts.
        version: `predictor_version`. Each JSON line has it instead of `made_by`, which is logged once.
    """

    def __init__(self, form: str, made_by: dict[str, Any], page: Path | None, version: str) -> None:
        self.form, self.made_by, self.page, self.version = form, made_by, page, version
        self.documents = 0
        self.assumed_english = 0
        self.page_parts: list[Markup] = []
        self._rows = csv.writer(sys.stdout, lineterminator="\n")

    def __enter__(self) -> Printer:
        if self.form == "json":
            head = {"version": self.version, "made_by": self.made_by}
            sys.stdout.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "documents": [')
        if self.form == "csv":
            self._rows.writerow(("id", "source", "line", "rank", "text", "score", "present"))
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
        if self.form == "jsonl":
            made_by = json.dumps(self.made_by, ensure_ascii=False)
            say("version", f"version {self.version} is {made_by}", version=self.version, made_by=self.made_by)
        if self.page is not None:
            page = render(
                "word_scores.html", title="kpray: keyphrases and word scores", documents=self.page_parts, shades=SHADES
            )
            write_file(page, self.page)
            say("page", f"keyphrases and word scores: {self.page}", page=str(self.page))

    def print(self, document: Document, explanation: Explanation, origin: Mapping[str, Any] | None = None) -> None:
        """Write one document; `origin` is what JSON says about its record, such as its file and line."""
        if self.form == "table":
            self._print_table(document, explanation)
        elif self.form == "csv":
            first = (document.id, *((origin or {}).get(name, "") for name in ("source", "line")))
            for rank, each in enumerate(explanation.keyphrases, start=1):
                self._rows.writerow((*first, rank, each.text, each.score, str(each.present).lower()))
        else:
            row: dict[str, Any] = {"id": document.id, "lang": document.lang, **(origin or {})}
            row["keyphrases"] = [asdict(keyphrase) for keyphrase in explanation.keyphrases]
            if self.page is not None:
                row["tokens"] = [
                    {"start": start, "end": end, "score": score}
                    for (start, end), score in zip(explanation.spans.tolist(), explanation.scores.tolist(), strict=True)
                ]
            if self.page is not None and explanation.support is not None:
                row["evidence"] = [
                    {
                        "id": each.document.id,
                        "text": each.document.text,
                        "keyphrases": each.keyphrases,
                        "score": each.score,
                    }
                    for each in explanation.evidence
                ]
                for phrase, support in zip(row["keyphrases"], explanation.support, strict=True):
                    phrase["support"] = [asdict(each) for each in support]
            if self.form == "jsonl":
                print(json.dumps({**row, "version": self.version}, ensure_ascii=False))
            else:
                sys.stdout.write((", " if self.documents else "") + json.dumps(row, ensure_ascii=False))
        if self.page is not None:
            pieces = shaded_pieces(document.text, explanation)
            part = render(
                "scored_document.html",
                id=document.id,
                phrases=explanation.keyphrases,
                pieces=pieces,
                notes=support_notes(explanation),
                evidence=explanation.evidence,
            )
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
        notes = support_notes(explanation)
        for rank, (keyphrase, note) in enumerate(zip(explanation.keyphrases, notes, strict=True), 1):
            number = "" if self.page is None else f"{rank:3}"  # the text has the ranks, too
            absent = "" if keyphrase.present else "  (absent)"
            console.print(Text(f"{number}{keyphrase.score:10.4f}  {_printable(keyphrase.text)}{absent}"))
            if note:
                console.print(Text(f"{'':15}{_printable(note)}", style="dim"))
        if not explanation.keyphrases:
            console.print("  (no keyphrases)")
        if self.page is not None:
            shaded = Text("\n")
            for piece in shaded_pieces(document.text, explanation):
                shaded.append(_printable(piece.text), f"{_STYLES[piece.shade]} {'underline' if piece.lines else ''}")
                shaded.append("˒".join(map(str, piece.ranks)).translate(_SUPERSCRIPTS), "bold")
            console.print(shaded)
            console.print(_legend(shades=len(explanation.scores) > 0 and console.color_system is not None), style="dim")


def support_notes(explanation: Explanation) -> list[str]:
    """For each keyphrase, what it rests on; an empty string where that is nothing or not known."""
    if explanation.support is None:
        return [""] * len(explanation.keyphrases)
    notes: list[str] = []
    for support in explanation.support:
        named = [
            f"{each.keyphrase} ({', '.join(explanation.evidence[index].document.id for index in each.passages)})"
            for each in support
        ]
        notes.append(f"rests on {', '.join(named)}" if named else "")
    return notes


def _legend(*, shades: bool) -> Text:
    """What the marks of a text in the terminal mean; without colours, only the numbers."""
    from rich.text import Text

    legend = Text("\n  underline and number: a keyphrase and its rank")
    if shades:
        legend.append("\n  shade: the word scores higher than ")
        for shade, share in enumerate(SHADES, 1):
            legend.append(f" {share:.0%} ", style=_STYLES[shade])
        legend.append(" of the other words")
    return legend


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


class Piece(NamedTuple):
    """A part of a text that looks the same from its start to its end.

    Attributes:
        text: the part.
        shade: 0 to 4, the number of values in `SHADES` that the word's share reaches.
        lines: numbers from 0 of the underlines; each belongs to one phrase. Several phrases overlap here.
        ranks: ranks from 1 of the phrases that end here.
    """

    text: str
    shade: int = 0
    lines: tuple[int, ...] = ()
    ranks: tuple[int, ...] = ()


def shaded_pieces(text: str, explanation: Explanation) -> list[Piece]:
    """Divide a text into pieces, with the shades of its words, and its keyphrases underlined.

    The shade of a word depends on the share of the document's other words with a lower score. So the few best words
    stand out, whatever the scale of the scores. Text between words has no shade.
    """
    words = word_scores(text, explanation)
    scores = np.array([score for _, _, score in words])
    shares = np.searchsorted(np.sort(scores), scores) / max(len(scores) - 1, 1)
    shades = np.searchsorted(SHADES, shares, side="right").tolist()
    phrases = _underlined(explanation)
    spans = [(start, end) for start, end, _ in words] + [(start, end) for start, end, *_ in phrases]
    pieces: list[Piece] = []
    word = 0
    for start, end in pairwise(sorted({0, len(text), *chain.from_iterable(spans)})):
        while word < len(words) and words[word][1] <= start:
            word += 1
        shade = shades[word] if word < len(words) and words[word][0] <= start else 0
        here = [phrase for phrase in phrases if phrase[0] <= start and phrase[1] >= end]
        lines = tuple(sorted({line for *_, line in here}))
        ranks = tuple(sorted(rank for _, last, rank, _ in here if last == end))
        pieces.append(Piece(text[start:end], shade, lines, ranks))
    return pieces


def word_scores(text: str, explanation: Explanation) -> list[tuple[int, int, float]]:
    """Start, end and score of each word with a scored token, in order.

    The score of a word is the highest score of its tokens. Punctuation is no word. Each Chinese or Japanese character
    is a word.
    """
    spans = [
        (start + match.start(), start + match.end())
        for start, end in split_words(text).spans
        for match in _UNSPACED.finditer(text[start:end])
        if any(map(str.isalnum, match[0]))
    ]
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    best: dict[int, float] = {}
    for (start, end), score in zip(explanation.spans.tolist(), explanation.scores.tolist(), strict=True):
        for word in range(bisect_right(ends, start), bisect_left(starts, end)):
            best[word] = max(score, best.get(word, score))
    return [(*spans[word], best[word]) for word in sorted(best)]


def _underlined(explanation: Explanation) -> list[tuple[int, int, int, int]]:
    """Start, end, rank and number of the underline of each occurrence of each keyphrase, in the order of the text."""
    found = sorted(
        (start, -end, rank)
        for rank, keyphrase in enumerate(explanation.keyphrases, 1)
        for start, end in keyphrase.offsets
    )
    free = [0] * _LINES  # for each line, the end of its last phrase
    underlined = []
    for start, minus_end, rank in found:
        line = next((line for line, end in enumerate(free) if end <= start), _LINES - 1)
        free[line] = max(free[line], -minus_end)
        underlined.append((start, -minus_end, rank, line))
    return underlined


def _language_note(document: Document) -> str:
    if document.lang_source == "assumed":
        return "  (too short to detect its language: English assumed; --lang names it)"
    return f"  (detected: {document.lang})" if document.lang_source == "detected" and document.lang != "en" else ""


def _printable(text: str) -> str:
    """The text without control characters, which could change the terminal (escape sequences)."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
