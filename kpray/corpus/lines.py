"""Raw records of JSON files: JSON lines, or one JSON value for the whole file."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from itertools import count, islice
from typing import BinaryIO

from kpray.corpus.items import MOST_BLANK_LINES, Item, Items, lost_rest, too_large, too_many_blanks
from kpray.corpus.limits import Reading

_BLOCK = 64 * 1024
_WHITE_SPACE = re.compile(r"[ \t\n\r]*")


def bounded_lines(file: BinaryIO, limit: int) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the content of each line. Lines over `limit` bytes are cut to `limit` + 1 bytes.

    Line numbers count from 1 and include blank lines. The rest of a cut line is skipped without keeping it in memory.
    Byte-order marks are dropped.
    """
    for number in count(1):
        line = file.readline(limit + 1)
        if not line:
            return
        if is_cut(line, limit):
            blank, rest = not line.strip(), line
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(_BLOCK)
                blank = blank and not rest.strip()
            line = b"\n" if blank else line
        else:
            line = line.removeprefix(codecs.BOM_UTF8)
        yield number, line


def is_cut(line: bytes, limit: int) -> bool:
    """Whether `bounded_lines` cut this line because it was too long."""
    return len(line) > limit and not line.endswith(b"\n")


def line_item(number: int, line: bytes, reading: Reading) -> Item:
    """Raw record of a line that is not blank."""
    if is_cut(line, reading.limits.max_record_bytes):
        return Item(number, too_large("the line", reading.limits.max_record_bytes))
    return Item(number, line.rstrip(b"\r\n"))


def read_json_lines(file: BinaryIO, reading: Reading) -> Items:
    """Raw records of a JSON lines file; blank lines are skipped."""
    blank = 0
    for number, line in bounded_lines(file, reading.limits.max_record_bytes):
        if line.strip():
            blank = 0
            yield line_item(number, line, reading), file.tell()
        elif blank == MOST_BLANK_LINES:
            yield Item(number, too_many_blanks()), file.tell()
            return
        else:
            blank += 1


def read_json(file: BinaryIO, reading: Reading) -> Items:
    """Raw records of a .json file: one object per line, one object, or one array of objects.

    An array is read element by element, so it need not fit into memory.
    """
    lines = islice(bounded_lines(file, reading.limits.max_record_bytes), MOST_BLANK_LINES + 1)
    first = next((line for _, line in lines if line.strip()), b"")
    file.seek(0)
    if (
        not first
        or _is_object(first)
        or (is_cut(first, reading.limits.max_record_bytes) and first.lstrip().startswith(b"{"))
    ):
        yield from read_json_lines(file, reading)
    else:
        yield from _read_json_value(file, reading)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):  # the value continues on the next line, or is rejected later
        return False


def _read_json_value(file: BinaryIO, reading: Reading) -> Items:
    # Bytes that are not UTF-8 become surrogates and are restored later, so that only the record with them is rejected.
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        for item in _json_values(_Cursor(text, reading.limits.max_record_bytes)):
            yield item, file.tell()


def _json_values(cursor: _Cursor) -> Iterator[Item]:
    try:
        if cursor.peek() != "[":
            yield cursor.value()
        else:
            cursor.skip()
            while cursor.peek() != "]":
                yield cursor.value()
                if cursor.peek() == ",":
                    cursor.skip()
                elif cursor.peek() != "]":
                    raise ValueError("expected ',' or ']' after an element of the array")
            cursor.skip()
        if cursor.peek():
            raise ValueError("there is text after the JSON value")
    except RecursionError:
        yield Item(cursor.line, lost_rest("the JSON is nested too deeply"))
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        yield Item(cursor.line, lost_rest(f"not JSON: {reason}"))


class _Cursor:
    """A position in a JSON text that is read block by block."""

    def __init__(self, text: io.TextIOWrapper, limit: int) -> None:
        self._text, self._limit = text, limit
        self._decoder = json.JSONDecoder()
        self._buffer, self._offset = "", 0
        self.line = 1

    def peek(self) -> str:
        """Next character that is not white space; "" at the end."""
        while True:
            match = _WHITE_SPACE.match(self._buffer, self._offset)
            assert match  # the pattern matches the empty string
            self._move_to(match.end())
            if self._offset < len(self._buffer):
                return self._buffer[self._offset]
            if not self._read(_BLOCK):
                return ""

    def skip(self) -> None:
        """Skip the character that `peek` returned."""
        self._offset += 1

    def value(self) -> Item:
        """Raw record of the JSON value that starts at the next character."""
        self.peek()
        ended = False
        while True:
            held = len(self._buffer) - self._offset
            try:
                end = self._decoder.raw_decode(self._buffer, self._offset)[1]
                if end < len(self._buffer) or ended:  # a number at the end of the buffer may continue
                    break
            except json.JSONDecodeError:
                if ended:
                    raise
            if held > self._limit:
                raise ValueError(
                    f"a value is malformed or larger than the limit of {self._limit} bytes (limits.max_record_bytes)"
                )
            ended = not self._read(max(_BLOCK, held))  # doubles the buffer, so that total time is linear
        raw = self._buffer[self._offset : end].encode("utf-8", "surrogateescape")
        item = Item(self.line, raw if len(raw) <= self._limit else too_large("the value", self._limit))
        self._move_to(end)
        return item

    def _move_to(self, offset: int) -> None:
        self.line += self._buffer.count("\n", self._offset, offset)
        self._offset = offset

    def _read(self, characters: int) -> bool:
        block = self._text.read(characters)
        self._buffer, self._offset = self._buffer[self._offset :] + block, 0
        return bool(block)
