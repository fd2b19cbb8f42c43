"""Parsing of raw records into records and rejects."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from kpray.corpus.fields import parse_fields, parse_json
from kpray.corpus.files import parse_contents, parse_file
from kpray.corpus.items import Item, Unreadable
from kpray.corpus.limits import Limits
from kpray.corpus.lines import bounded_lines, line_item
from kpray.corpus.reading import Chunk, read_chunks
from kpray.corpus.sources import Source, find_sources
from kpray.document import Record
from kpray.errors import RejectedDocument
from kpray.text.detection import AUTO

STANDARD_INPUT = "-"
_RECORDS_PER_CHUNK = 100


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that could not be read.

    Attributes:
        source: name of the file.
        line: line or row in the file, counted from 1; 1 if the file is one document.
        reason: why the record could not be read, in one line.
    """

    source: str
    line: int
    reason: str


def parse_chunk(chunk: Chunk, lang: str, limits: Limits) -> Iterator[Record | Reject]:
    """Parse the raw records of a chunk. Each item gives one record or one reject, in order.

    Args:
        chunk: from `read_chunks`.
        lang: language of records without a language field.
        limits: maximum sizes; larger records are rejected.

    Raises:
        UserError: a file with one document was removed after `read_chunks` listed it.
    """
    return _parse_items(chunk.items, chunk.format, chunk.source, lang, limits)


def read_records(paths: Sequence[str], lang: str = AUTO, limits: Limits | None = None) -> Iterator[Record | Reject]:
    """Read the records of files and folders in this process.

    Args:
        paths: files and folders; "-" is standard input. If the first line of standard input that is not blank starts
            with "{", it is read as JSON lines, otherwise as one text named `stdin`.
        lang: language of records without a language field.
        limits: maximum sizes; larger records are rejected. None: the defaults.

    Raises:
        UserError: see `find_sources`; raised at the call, before anything is read.
    """
    inputs: list[Source | None] = []
    for path in paths:
        inputs += [None] if path == STANDARD_INPUT else find_sources([path])
    return chain.from_iterable(_read_input(source, lang, limits or Limits()) for source in inputs)


def _read_input(source: Source | None, lang: str, limits: Limits) -> Iterator[Record | Reject]:
    if source is None:
        yield from _read_standard_input(lang, limits)
    else:
        for chunk in read_chunks(source, _RECORDS_PER_CHUNK, limits):
            yield from parse_chunk(chunk, lang, limits)


def _read_standard_input(lang: str, limits: Limits) -> Iterator[Record | Reject]:
    lines = bounded_lines(sys.stdin.buffer, limits.max_record_bytes)
    first = next(((number, line) for number, line in lines if line.strip()), (1, b""))
    lines = chain([first], lines)
    if first[1].lstrip().startswith(b"{"):
        items = (line_item(number, line, limits) for number, line in lines if line.strip())
        yield from _parse_items(items, "jsonl", "stdin", lang, limits)
        return
    contents = bytearray()
    for _, line in lines:
        contents += line
        if len(contents) > limits.max_record_bytes:  # the text will be rejected as too large
            break
    try:
        yield parse_contents(bytes(contents), "text", source="stdin", lang=lang, limits=limits)
    except RejectedDocument as error:
        yield Reject("stdin", 1, error.reason)


def _parse_items(
    items: Iterable[Item], format: str, source: str, lang: str, limits: Limits
) -> Iterator[Record | Reject]:
    for item in items:
        try:
            result: Record | Reject = _parse_item(item, format, source, lang, limits)
        except RejectedDocument as error:
            result = Reject(source, item.line, error.reason)
        yield result


def _parse_item(item: Item, format: str, source: str, lang: str, limits: Limits) -> Record:
    raw = item.raw
    if isinstance(raw, Unreadable):
        raise RejectedDocument(raw.reason)
    if isinstance(raw, bytes):
        raw = parse_json(raw)
    if isinstance(raw, dict):
        return parse_fields(raw, source=source, line=item.line, lang=lang, limits=limits)
    return parse_file(raw, format, source=source, lang=lang, limits=limits)
