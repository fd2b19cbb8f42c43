"""Streaming of files as chunks of raw records; reading a file again gives the same chunks."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from kpray.corpus.files import open_text
from kpray.corpus.items import Item, Items, Raw, Unreadable, lost_rest
from kpray.corpus.limits import Reading
from kpray.corpus.lines import read_json, read_json_lines
from kpray.corpus.sources import GZIP, UNKNOWN, Source, unknown_type
from kpray.corpus.tables import read_csv, read_parquet, read_tsv
from kpray.errors import UserError
from kpray.failures import failure_reason, is_failure, log_failure
from kpray.storage import location, reason_of

_BUNDLE = "bundle"
_SMALL_DOCUMENT, _SMALL_RECORDS = 1 << 16, 1 << 12  # bytes
CHUNK_BYTES = 1024 * 1024  #: a chunk with this much raw text is closed, so that workers share long documents

_STREAMED: dict[str, Callable[[BinaryIO, Reading], Items]] = {
    "jsonl": read_json_lines,
    "json": read_json,
    "csv": read_csv,
    "tsv": read_tsv,
    "parquet": read_parquet,
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records of one file: the unit in which a batch job commits its work.

    Attributes:
        source: name of the file.
        format: format of the file.
        index: 0, 1, ... within the file.
        first_line: line of the first item; 1 if there is none.
        items: raw records in order; empty only for a file with bytes but without records, which has one chunk. Those of
            a bundle have their `origin`.
        bytes: bytes of the file that this chunk covers. The chunks of a file sum to its size. For gzip these are
            compressed bytes, for Parquet a share by rows; for other formats they are exact up to a read-ahead block.
    """

    source: str
    format: str
    index: int
    first_line: int
    items: list[Item]
    bytes: int


def read_chunks(source: Source, records_per_chunk: int, reading: Reading) -> Iterator[Chunk]:
    """Read a file as chunks of raw records, with about one chunk in memory at a time. A bundle is one chunk.

    The chunks depend only on the file, `records_per_chunk` and `reading`. Damaged content becomes an item that parses
    to a reject.

    Args:
        source: the file.
        records_per_chunk: maximum number of items in a chunk; chunks of long records have fewer (`CHUNK_BYTES`).
        reading: how the file is read.

    Raises:
        UserError: the file does not exist or cannot be read.
    """
    if source.members:
        chunks = (chunk for file in source.members for chunk in read_chunks(file, records_per_chunk, reading))
        yield join_chunks(source, chunks)
        return
    index = start = end = held = 0
    items: list[Item] = []
    try:
        for item, position in _read_items(source, reading):
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


def is_small(source: Source) -> bool:
    """Whether a file is so small that a bundle should have it: one document, or a few records."""
    if source.format.endswith(GZIP) or source.format == "parquet":
        return False  # its contents may be large
    return source.bytes <= (_SMALL_RECORDS if is_streamed(source.format) else _SMALL_DOCUMENT)


def bundle(sources: Sequence[Source]) -> Source:
    """A source for files that are read as one chunk; a single file stays as it is."""
    if len(sources) == 1:
        return sources[0]
    first = sources[0]
    name = f"{first.name} and {len(sources) - 1} other files"
    size = sum(source.bytes for source in sources)
    return Source(first.path, name, _BUNDLE, size, first.inside, members=tuple(sources))


def join_chunks(source: Source, chunks: Iterable[Chunk]) -> Chunk:
    """The chunk of a bundle, from the chunks of its files."""
    items = [replace(item, origin=(chunk.source, chunk.format)) for chunk in chunks for item in chunk.items]
    return Chunk(source.name, source.format, 0, 1, items, source.bytes)


def _read_items(source: Source, reading: Reading) -> Items:
    if source.format == UNKNOWN:
        yield Item(1, Unreadable(source.problem or unknown_type(source.name))), source.bytes
        return
    with location(source.path).open("rb") as file:
        if is_streamed(source.format):
            yield from stream_items(file, source.format, source.name, reading)
        else:
            yield Item(1, location(source.path)), source.bytes


def is_streamed(format: str) -> bool:
    """Whether a file of this format has several records, which are read one after the other."""
    return format.removesuffix(GZIP) in _STREAMED


def stream_items(file: BinaryIO, format: str, name: str, reading: Reading) -> Items:
    """Raw records of an open file. A damaged gzip file yields the records before the damage and one reject.

    So does a file for which the reader fails unexpectedly.

    Args:
        file: the file; it must be able to seek.
        format: its format, see `is_streamed`.
        name: name of the file, for the log.
        reading: how the file is read.
    """
    line = end = 0
    try:
        text = open_text(file, format, name, reading)
        for item, position in _STREAMED[format.removesuffix(GZIP)](text, reading):
            line = item.line
            end = position if text is file else file.tell()
            yield item, end
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield Item(line + 1, lost_rest(error)), file.tell()
    except BaseException as error:
        if not is_failure(error):
            raise
        log_failure(error, f"{name}:{line + 1}")
        yield Item(line + 1, Unreadable(f"{failure_reason(error)}; the rest of the file is not read")), end


def _chunk(source: Source, index: int, items: list[Item], size: int) -> Chunk:
    return Chunk(source.name, source.format, index, items[0].line if items else 1, items, size)


def _size(raw: Raw) -> int:
    if isinstance(raw, bytes):
        return len(raw)
    return sum(len(value) for value in raw.values() if isinstance(value, str)) if isinstance(raw, dict) else 0
