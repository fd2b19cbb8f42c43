"""Raw records of tables: CSV, TSV and Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from kpray.corpus.fields import column_names, text_columns
from kpray.corpus.items import MOST_BLANK_LINES, Item, Items, Raw, Unreadable, lost_rest, too_large, too_many_blanks
from kpray.corpus.limits import Reading
from kpray.errors import RejectedDocument
from kpray.failures import all_or_each
from kpray.storage import parquet_file

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

_BLOCK = 64 * 1024
_PARQUET_BATCH_ROWS = 64  #: maximum number of rows decoded at once; few, because a row may be a whole book
_DECODED_BYTES = 128 * 1024 * 1024  #: more than this is not decoded at once, unless one row has more
_MOST_GROWTH = 1000  #: texts grow less than this when they are unpacked
_LIST_VALUES = 1000  #: maximum mean number of values of a row, such as its keyphrases
_FEW_VALUES = 1_000_000  #: a row group may have this many values, whatever their mean number


class _LongRowError(Exception):
    """A row exceeds the size limit; raised by `_Lines` inside the csv reader."""


class _Lines:
    """Lines for the csv reader. It limits the size of a row and keeps the line number of the row's start."""

    def __init__(self, text: io.TextIOWrapper, limit: int) -> None:
        self._text, self._limit = text, limit
        self.number = 0  # of the last line given
        self.row_start = 1
        self.ended = False
        self._row_characters = 0
        self._held: str | None = None  # a line that was read ahead

    def first(self) -> str:
        """The first line, which is given once more."""
        self._held = self._text.readline(self._limit + 1)
        return self._held.rstrip("\r\n")

    def start_row(self) -> None:
        self.row_start, self._row_characters = self.number + 1, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._limit + 1) if self._held is None else self._held
        self._held = None
        if not line:
            self.ended = True
            raise StopIteration
        self.number += 1
        self._row_characters += len(line)
        if self._row_characters > self._limit:
            while line and not line.endswith(("\n", "\r")):
                line = self._text.readline(_BLOCK)
            raise _LongRowError
        return line


def read_csv(file: BinaryIO, reading: Reading) -> Items:
    """Raw rows of a CSV file with a header line; the header shows whether `,`, `;`, tab or `|` separates the columns.

    Rows that are not UTF-8 or do not match the header are rejected.
    """
    return _read_delimited(file, reading, ",;\t|")


def read_tsv(file: BinaryIO, reading: Reading) -> Items:
    """Raw rows of a TSV file: CSV with tabs as separators."""
    return _read_delimited(file, reading, "\t")


def _read_delimited(file: BinaryIO, reading: Reading, delimiters: str) -> Items:
    # The csv module's limit applies to the whole process and is too small for a paper; `_Lines` limits rows instead.
    csv.field_size_limit(max(csv.field_size_limit(), reading.limits.max_record_bytes))
    # Bytes that are not UTF-8 become surrogates, so that only the row with them is rejected.
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        lines = _Lines(text, reading.limits.max_record_bytes)
        delimiter = _delimiter(lines.first(), delimiters, reading)
        for item in _rows(lines, reading, delimiter):
            yield item, file.tell()


def _delimiter(header: str, delimiters: str, reading: Reading) -> str:
    """The separator that gives a header with a column of text; else the one that gives most columns."""

    def columns(delimiter: str) -> tuple[bool, int]:
        names = next(csv.reader([header], delimiter=delimiter), [])
        return bool(text_columns(names, reading)), len(names)

    return max(delimiters, key=columns)


def _rows(lines: _Lines, reading: Reading, delimiter: str) -> Iterator[Item]:
    rows = csv.reader(lines, delimiter=delimiter)
    header: list[str | None] = []
    blank = 0
    while True:
        lines.start_row()
        try:
            row = next(rows)
        except StopIteration:
            return
        except _LongRowError:
            if not header or lines.number > lines.row_start:  # the start of the next row is unknown
                reason = "a row is too long (limits.max_record_bytes), or a quote is not closed"
                yield Item(lines.row_start, lost_rest(reason))
                return
            yield Item(lines.row_start, too_large("the row", reading.limits.max_record_bytes))
            continue
        if lines.ended:
            yield Item(lines.row_start, lost_rest("a quote is not closed"))
            return
        blank = 0 if row else blank + 1
        if blank > MOST_BLANK_LINES:
            yield Item(lines.row_start, too_many_blanks())
            return
        if not row:
            continue
        if header:
            yield Item(lines.row_start, _table_row(header, row))
            continue
        try:
            header = column_names(row, reading)
        except RejectedDocument as error:
            yield Item(lines.row_start, Unreadable(error.reason))
            return


def _table_row(header: list[str | None], row: list[str]) -> Raw:
    if len(row) != len(header):
        return Unreadable(f"the row has {len(row)} fields, but the header has {len(header)}")
    joined = "".join(row)
    if "\0" in joined:
        return Unreadable("the row contains NUL bytes")
    try:
        joined.encode("utf-8")
    except UnicodeEncodeError:
        return Unreadable("not UTF-8")
    return {name: value for name, value in zip(header, row, strict=True) if name is not None}


def read_parquet(file: BinaryIO, reading: Reading) -> Items:
    """Raw rows of a Parquet file; only the columns that make a record are read.

    The byte count of each row is its share of the file size. A small file can decode to very much. A row group that
    does so is rejected as a whole, and large ones are decoded in few rows at once.
    """
    import pyarrow as pa

    size = file.seek(0, io.SEEK_END)
    row, name = 0, str(getattr(file, "name", "Parquet"))
    try:
        parquet = parquet_file(file)
        total = parquet.metadata.num_rows
        given = parquet.schema_arrow.names
        columns = [column for column, name in zip(given, column_names(given, reading), strict=True) if name is not None]
        for group in range(parquet.num_row_groups):
            about = parquet.metadata.row_group(group)
            try:
                rows = _rows_at_once(about, columns)
            except RejectedDocument as error:
                yield Item(row + 1, Unreadable(error.reason)), size * (row + about.num_rows) // total
                row += about.num_rows
                continue
            batches = parquet.iter_batches(rows, [group], columns=columns, use_threads=False)
            for batch in batches:
                names = [name or "" for name in column_names(batch.schema.names, reading)]
                for raw in _batch_rows(batch.rename_columns(names), name, row + 1):
                    row += 1
                    fits = not isinstance(raw, dict) or _characters(raw) <= reading.limits.max_record_bytes
                    item = Item(row, raw if fits else too_large("the row", reading.limits.max_record_bytes))
                    yield item, size * row // total
    except RejectedDocument as error:
        yield Item(1, Unreadable(error.reason)), size
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # errors of Arrow have no errno
            raise
        yield Item(row + 1, lost_rest(error)), size


def _rows_at_once(group: pyarrow.parquet.RowGroupMetaData, names: Sequence[str]) -> int:
    """Number of rows of a row group to decode at once, so that they need at most `_DECODED_BYTES`.

    A column may store a long text once for many rows, so each row may be as large as the whole column.

    Raises:
        RejectedDocument: the row group is far larger than its bytes in the file.
    """
    row_bytes = 1
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema.split(".")[0] not in names:
            continue
        unpacked, packed, values = column.total_uncompressed_size, column.total_compressed_size, column.num_values
        grows = unpacked > _DECODED_BYTES and unpacked > _MOST_GROWTH * packed
        if grows or values > _LIST_VALUES * group.num_rows + _FEW_VALUES:
            what = f"{packed:,} bytes to {unpacked:,}" if grows else f"{group.num_rows:,} rows to {values:,} values"
            raise RejectedDocument(f"{group.num_rows:,} rows are not read: a column of them grows from {what}")
        row_bytes += unpacked
    return max(1, min(_PARQUET_BATCH_ROWS, _DECODED_BYTES // row_bytes))


def _batch_rows(batch: pyarrow.RecordBatch, name: str, first: int) -> list[Raw]:
    """The rows of a batch. A row that cannot be converted, such as one with a date after the year 9999, is rejected."""

    def rows(indices: Sequence[int]) -> list[Raw]:
        try:
            found: list[Raw] = batch.slice(indices[0], len(indices)).to_pylist()
        except UnicodeDecodeError as error:
            raise RejectedDocument("not UTF-8") from error
        return found

    results = all_or_each(rows, range(batch.num_rows), [f"{name}:{first + index}" for index in range(batch.num_rows)])
    return [Unreadable(row.reason) if isinstance(row, RejectedDocument) else row for row in results]


def _characters(row: dict[str, Any]) -> int:
    return sum(len(value) for value in row.values() if isinstance(value, str | bytes | list))
