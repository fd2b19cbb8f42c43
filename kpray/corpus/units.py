"""Splits a document into sentences or sections, which then get keyphrases of their own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from kpray.document import Document, Record
from kpray.text.words import sentence_spans

Split = Literal["sentences", "sections"]

_BLANK_LINES = re.compile(r"\n[^\S\n]*+\n\s*+")
_MARKS = re.compile(r"#{1,6}\s+|\s+#+$")
_HEADING = re.compile(r"(?:#{1,6}\s+\S[^\n]*|[^\n]{1,80}(?<![.!?:;,。！？…]))", re.DOTALL)


def split_document(document: Document, split: Split) -> list[Document]:
    """Split a document into units with the ids `ID#1`, `ID#2`, ... and the language of the document.

    Args:
        document: the document.
        split: `sentences`, or `sections`, which begin at headings: short lines between blank lines that do not end as a
            sentence, or lines that begin with `#`. A text without headings is split at its blank lines.

    Returns:
        Units that have text; none for a document without text. The title of a section is its heading.
    """
    if split == "sentences":
        units = [("", document.text[start:end]) for start, end in sentence_spans(document.text)]
    else:
        units = _sections(document)
    return [
        Document(f"{document.id}#{number}", body, title=title, lang=document.lang)
        for number, (title, body) in enumerate(units, start=1)
    ]


def split_record(record: Record, split: Split | None) -> list[Record]:
    """The units of a record as records; None: the record itself."""
    if split is None:
        return [record]
    return [replace(record, document=unit) for unit in split_document(record.document, split)]


def _sections(document: Document) -> list[tuple[str, str]]:
    """Heading and text of each section; the title of the document is the heading of what comes before the first."""
    blocks = [block.strip() for block in _BLANK_LINES.split(document.body) if block.strip()]
    headings = [_heading(block) for block in blocks]
    if not any(headings):
        return [(document.title if index == 0 else "", block) for index, block in enumerate(blocks)] or [
            (document.title, "") for _ in document.title[:1]
        ]
    sections: list[tuple[str, list[str]]] = [(document.title, [])]
    for block, heading in zip(blocks, headings, strict=True):
        if heading:
            sections.append((heading, []))
        heading_lines = block.split("\n", 1) if heading and block.startswith("#") else [block]
        sections[-1][1].extend(heading_lines[1:] if heading else [block])
    return [(title, "\n\n".join(texts)) for title, texts in sections if title or texts]


def _heading(block: str) -> str:
    """The heading that a block is, or begins with (a line that begins with `#`); empty if it has none."""
    first = block.split("\n", 1)[0] if block.startswith("#") else block
    return _MARKS.sub("", first).strip() if _HEADING.fullmatch(first) else ""
