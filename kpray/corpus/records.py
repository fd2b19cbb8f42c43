"""Parsing of raw records into records and rejects."""

from __future__ import annotations

import codecs
import io
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from tempfile import TemporaryFile
from typing import Any

from kpray.corpus.encodings import as_utf8
from kpray.corpus.fields import parse_fields, parse_json
from kpray.corpus.files import parse_file, parse_open_file
from kpray.corpus.items import Item, Unreadable
from kpray.corpus.limits import Reading
from kpray.corpus.lines import bounded_lines, line_item
from kpray.corpus.reading import Chunk, is_streamed, read_chunks, stream_items
from kpray.corpus.sources import FORMATS, GZIP, Source, find_sources
from kpray.document import Record
from kpray.errors import RejectedDocument
from kpray.failures import FailureLimit, rejecting_failures
from kpray.settings import validate_settings

STANDARD_INPUT = "-"
_STDIN = "stdin"
_RECORDS_PER_CHUNK = 100
_FIRST_BYTES = 4096
_BLOCK = 64 * 1024
_HTML = re.compile(rb"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<(?:!doctype html|html)\b", re.IGNORECASE | re.DOTALL)


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


def parse_chunk(chunk: Chunk, reading: Reading) -> Iterator[Record | Reject]:
    """Parse the raw records of a chunk. Each item gives one record or one reject, in order.

    Args:
        chunk: from `read_chunks`.
        reading: how records are read.

    Raises:
        UserError: a file with one document was removed after `read_chunks` listed it.
    """
    return _parse_items(chunk.items, chunk.format, chunk.source, reading)


def read_records(paths: Sequence[str], reading: Reading | None = None, **options: Any) -> Iterator[Record | Reject]:
    """Read the records of files and folders in this process.

    Args:
        paths: files and folders; "-" is standard input, whose format is recognised by its first bytes (see
            `recognise`), or is `input_format`. Its name is `stdin`.
        reading: how records are read. None: the defaults.
        options: fields of `Reading`, instead of `reading`, such as `lang="de"` or `text_field=["summary"]`.

    Raises:
        UserError: an option is wrong, or see `find_sources`; raised at the call, before anything is read. While records
            are read: too many of them fail unexpectedly (`FailureLimit`).
    """
    reading = reading or validate_settings(Reading, options, where="read_records")
    inputs: list[Source | None] = []
    for path in paths:
        inputs += [None] if path == STANDARD_INPUT else find_sources([path], follow_links=reading.follow_links)
    return _limit_failures(chain.from_iterable(_read_input(source, reading) for source in inputs))


def _limit_failures(results: Iterable[Record | Reject]) -> Iterator[Record | Reject]:
    limit = FailureLimit()
    for result in results:
        limit.count(1, [result.reason] if isinstance(result, Reject) else [])
        yield result


def _read_input(source: Source | None, reading: Reading) -> Iterator[Record | Reject]:
    if source is None:
        yield from read_standard_input(reading)
    else:
        for chunk in read_chunks(source, _RECORDS_PER_CHUNK, reading):
            yield from parse_chunk(chunk, reading)


def read_standard_input(reading: Reading) -> Iterator[Record | Reject]:
    """Read the records of standard input. JSON lines are read while they arrive, everything else up to its end."""
    file = sys.stdin.buffer
    if not isinstance(file, io.BufferedReader):
        file = io.BufferedReader(file)
    format = reading.input_format if reading.input_format != "auto" else recognise(file.peek(_FIRST_BYTES))
    if format == "jsonl":
        text = as_utf8(file, file.peek(_FIRST_BYTES), reading.encoding, _STDIN)
        lines = bounded_lines(text, reading.limits.max_record_bytes)
        items = (line_item(number, line, reading) for number, line in lines if line.strip())
        yield from _parse_items(items, format, _STDIN, reading)
        return
    with TemporaryFile() as copy:
        most = None if is_streamed(format) else reading.limits.max_record_bytes + 1
        while (most is None or copy.tell() < most) and (block := file.read1(_BLOCK)):
            copy.write(block)
        copy.seek(0)
        if is_streamed(format):
            items = (item for item, _ in stream_items(copy, format, _STDIN, reading))
            yield from _parse_items(items, format, _STDIN, reading)
        else:
            try:
                with rejecting_failures(f"{_STDIN}:1"):
                    result: Record | Reject = parse_open_file(copy, format, source=_STDIN, reading=reading)
            except RejectedDocument as error:
                result = Reject(_STDIN, 1, error.reason)
            yield result


def recognise(first: bytes) -> str:
    """Format of a file by its first bytes: JSON lines, JSON, PDF, DOCX or EPUB, HTML, Parquet, gzip; else text."""
    if first.startswith(b"\x1f\x8b"):
        try:
            format = recognise(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(first, _FIRST_BYTES))
        except zlib.error:  # the reader rejects it
            format = "text"
        return format + GZIP if format + GZIP in FORMATS.values() else f"text{GZIP}"
    if first.startswith(b"PK\x03\x04"):
        return "epub" if b"mimetypeapplication/epub" in first[:200] else "docx"
    for magic, format in ((b"%PDF", "pdf"), (b"PAR1", "parquet")):
        if first.startswith(magic):
            return format
    start = first.removeprefix(codecs.BOM_UTF8).lstrip()
    if start.startswith(b"{"):
        line = start.split(b"\n", 1)[0].strip()
        # The first line of an object over several lines ends inside it.
        return "json" if b"\n" in start and line.endswith((b"{", b"[", b",")) else "jsonl"
    if re.match(rb"\[\s*[{\]]", start):
        return "json"
    return "html" if _HTML.match(start) else "text"


def _parse_items(items: Iterable[Item], format: str, source: str, reading: Reading) -> Iterator[Record | Reject]:
    for item in items:
        name, form = item.origin or (source, format)
        try:
            with rejecting_failures(f"{name}:{item.line}"):
                result: Record | Reject = _parse_item(item, form, name, reading)
        except RejectedDocument as error:
            result = Reject(name, item.line, error.reason)
        yield result


def _parse_item(item: Item, format: str, source: str, reading: Reading) -> Record:
    raw = item.raw
    if isinstance(raw, Unreadable):
        raise RejectedDocument(raw.reason)
    if isinstance(raw, bytes):
        raw = parse_json(raw)
    if isinstance(raw, dict):
        return parse_fields(raw, source=source, line=item.line, reading=reading)
    return parse_file(raw, format, source=source, reading=reading)
