"""Raw items: the records of a file before they are parsed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kpray.storage import Location

_LONGEST_REASON = 200
MOST_BLANK_LINES = 1_000_000  #: that follow each other; a compressed file of 1 MB can have a billion


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Replaces a record that could not be read; it becomes a reject with this reason."""

    reason: str


#: JSON text, a table row, a file to read later, or the reason why the record cannot be read
Raw = bytes | dict[str, Any] | Location | Unreadable


@dataclass(frozen=True, slots=True)
class Item:
    """One raw record.

    Attributes:
        line: first line of the record, or its row in a Parquet file, counted from 1.
        raw: the record, unparsed.
        origin: name and format of its file, in a chunk of several files.
    """

    line: int
    raw: Raw
    origin: tuple[str, str] | None = None


#: items of a file in order, each with the number of bytes of the file that were read up to its end
Items = Iterator[tuple[Item, int]]


def too_large(unit: str, limit: int) -> Unreadable:
    """The item for a line, row or file that was not read because of its size."""
    return Unreadable(f"{unit} is larger than the limit of {limit} bytes (limits.max_record_bytes)")


def too_many_blanks() -> Unreadable:
    """The item for the rest of a file after `MOST_BLANK_LINES`."""
    return lost_rest(f"more than {MOST_BLANK_LINES:,} blank lines follow each other")


def lost_rest(error: Exception | str) -> Unreadable:
    """The item for the rest of a file that cannot be read further."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return Unreadable(f"the rest of the file cannot be read: {lines[0][:_LONGEST_REASON]}")
