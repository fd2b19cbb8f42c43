"""Files to chunks of raw records: streaming, and the same chunks every time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from kpray.corpus.items import Item, Items, Raw, Unreadable
from kpray.corpus.limits import Limits
from kpray.corpus.lines import read_gzip_json_lines, read_json, read_json_lines
from kpray.corpus.sources import UNKNOWN, Source, unknown_type
from kpray.corpus.tables import read_csv, read_parquet, read_tsv
from kpray.errors import UserError
from kpray.storage import location, reason_of

CHUNK_BYTES = 64 * 1024 * 1024  #: a chunk that holds this much raw text is closed before it has all its records

_STREAMED: dict[str, Callable[[BinaryIO, Limits], Items]] = {
    "jsonl": read_json_lines,
    "jsonl.gz": read_gzip_json_lines,
    "json": read_json,
    "csv": read_csv,
    "tsv": read_tsv,
    "parquet": read_parquet,
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some records of one file that belong together: the unit in which a batch job commits its work.

    Attributes:
        source: name of the file.
        format: its format.
        index: 0, 1, ... within the file.
        first_line: line of the first item; 1 when there is none.
        items: raw records in order; empty only in the one chunk of a file that has bytes but no record.
        bytes: bytes of the file that this chunk stands for; the chunks of a file sum to its size. Compressed bytes
            for gzip, a share by rows for Parquet, and exact to a read-ahead block for the other formats.
    """

    source: str
    format: str
    index: int
    first_line: int
    items: list[Item]
    bytes: int


def read_chunks(source: Source, records_per_chunk: int, limits: Limits) -> Iterator[Chunk]:
    """Read a file as chunks of raw records, holding about one chunk at a time.

    Chunk k of a file depends on the file, `records_per_chunk` and `limits` alone. Whatever is wrong with the content
    becomes an item that parses to a reject.

    Args:
        source: the file.
        records_per_chunk: the most items of one chunk; it has fewer when they are long (`CHUNK_BYTES`).
        limits: sizes beyond which a record is not read.

    Raises:
        UserError: the file is gone, or the system does not let it be read.
    """
    index = start = end = held = 0
    items: list[Item] = []
    try:
        for item, position in _read_items(source, limits):
            if len(items) == records_per_chunk or held >= CHUNK_BYTES:
                yield _chunk(source, index, items, end - start)
                index, start, items, held = index + 1, end, [], 0
            items.append(item)
            held += _size(item.raw)
            end = min(max(position, end), source.bytes)
    except OSError as error:
        raise UserError(f"the file cannot be read: {reason_of(error)}", where=source.name) from error
    if items or source.bytes:
        yield _chunk(source, index, items, source.bytes - start)


def _read_items(source: Source, limits: Limits) -> Items:
    if source.format == UNKNOWN:
        yield Item(1, Unreadable(unknown_type(source.name))), source.bytes
        return
    with location(source.path).open("rb") as file:
        if source.format in _STREAMED:
            yield from _STREAMED[source.format](file, limits)
        else:
            yield Item(1, location(source.path)), source.bytes


def _chunk(source: Source, index: int, items: list[Item], size: int) -> Chunk:
    return Chunk(source.name, source.format, index, items[0].line if items else 1, items, size)


def _size(raw: Raw) -> int:
    if isinstance(raw, bytes):
        return len(raw)
    return sum(len(value) for value in raw.values() if isinstance(value, str)) if isinstance(raw, dict) else 0
