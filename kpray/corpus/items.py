"""What stands between a file and its records: raw items, still unparsed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kpray.storage import Location

_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in for a record that could not be read; it becomes a reject with this reason."""

    reason: str


#: JSON text, a row of a table, a whole file to read later, or why there is none of them
Raw = bytes | dict[str, Any] | Location | Unreadable


@dataclass(frozen=True, slots=True)
class Item:
    """One raw record.

    Attributes:
        line: where it starts, counted from 1: the line of a text format, the row of a Parquet file.
        raw: the record, unparsed.
    """

    line: int
    raw: Raw


#: items of a file in order, each with the bytes of the file that were read up to its end
Items = Iterator[tuple[Item, int]]


def too_large(unit: str, limit: int) -> Unreadable:
    """Stand-in for a line, row or file that was not read because of its size."""
    return Unreadable(f"{unit} is larger than {limit} bytes (max_record_bytes)")


def lost_rest(error: Exception | str) -> Unreadable:
    """Stand-in for all that follows in a file that cannot be read on."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return Unreadable(f"the rest of the file cannot be read: {lines[0][:_LONGEST_REASON]}")
