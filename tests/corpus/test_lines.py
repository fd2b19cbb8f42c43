"""JSON lines, plain and gzip, and .json files."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest

from kpray.corpus.limits import Limits
from kpray.corpus.lines import bounded_lines

BOM = b"\xef\xbb\xbf"
GOOD = b'{"text": "good"}'
NO_TEXT = "no text: one of these fields is needed: title, abstract, text, document, body, content, contents, src"


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (GOOD, ["good"]),
        (GOOD + b"\n", ["good"]),
        (GOOD + b"\r\n" + GOOD + b"\r\n", ["good", "good"]),
        (BOM + GOOD + b"\n" + BOM + GOOD, ["good", "good"]),
        (b"\n \t \n" + GOOD + b"\n\n", ["good"]),
        (BOM, []),
        (b"\n", []),
        (b"{}\n" + GOOD, [f"1: {NO_TEXT}; there are no fields", "good"]),
        (b"\xff\xc3\xa9{\n" + GOOD, ["1: not UTF-8 at byte 1", "good"]),
        (GOOD + b"\n\n" + b'{"text": "cut', ["good", "3: not JSON: Unterminated string starting at column 10"]),
        (b'{"text": "a\\u0000b"}', ["a\0b"]),
    ],
)
def test_json_lines(contents: bytes, expected: list[str], read: Any, bodies: Any) -> None:
    assert bodies(read("a.jsonl", contents)) == expected
    assert bodies(read("a.ndjson.gz", gzip.compress(contents))) == expected


def test_each_oversize_line_is_one_reject(read: Any, bodies: Any) -> None:
    limits = Limits(max_record_bytes=20)
    fits = b'{"text": "12345678"}'
    assert len(fits) == 20
    lines = [fits, fits.replace(b"8", b"89"), b" " * 100, b"x" * 200_000, fits, b"y" * 21]
    too_large = "the line is larger than the limit of 20 bytes (limits.max_record_bytes)"
    expected = ["12345678", f"2: {too_large}", f"4: {too_large}", "12345678", f"6: {too_large}"]
    assert bodies(read("a.jsonl", b"\n".join(lines), limits)) == expected
    assert bodies(read("a.json", b"\n".join(lines), limits)) == expected
    assert bodies(read("a.jsonl.gz", gzip.compress(b"\n".join(lines)), limits)) == expected


def test_lines_are_cut_one_byte_after_the_limit() -> None:
    file = io.BytesIO(b"1234\n12345\n123456\n\n1234567890")
    assert list(bounded_lines(file, 5)) == [(1, b"1234\n"), (2, b"12345\n"), (3, b"123456"), (4, b"\n"), (5, b"123456")]


def test_truncated_gzip_gives_the_lines_before_the_cut(read: Any) -> None:
    lines = [json.dumps({"id": n, "text": f"{n * n} {n * 7919 % 1009}"}) for n in range(5000)]
    whole = gzip.compress("\n".join(lines).encode())
    results = read("a.jsonl.gz", whole[: len(whole) // 2])
    *records, reject = results
    assert 1000 < len(records) < 4000
    assert [record.document.id for record in records] == [str(n) for n in range(len(records))]
    assert reject.line == len(records) + 1
    assert reject.reason == (
        "the rest of the file cannot be read: Compressed file ended before the end-of-stream marker was reached"
    )


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (b"no gzip", ["1: the rest of the file cannot be read: Not a gzipped file (b'no')"]),
        (gzip.compress(GOOD, mtime=0)[:-8] + b"12345678", ["1: the rest of the file cannot be read: CRC check failed"]),
        (
            gzip.compress(GOOD + b"\n", mtime=0) + b"tail",
            ["good", "2: the rest of the file cannot be read: Not a gzipped file"],
        ),
        (gzip.compress(GOOD + b"\n", mtime=0) + gzip.compress(GOOD, mtime=0), ["good", "good"]),
        (
            gzip.compress(b"", mtime=0)[:10] + b"\xff" * 20,
            ["1: the rest of the file cannot be read: Error -3 while decompressing"],
        ),
    ],
)
def test_damaged_gzip(contents: bytes, expected: list[str], read: Any, bodies: Any) -> None:
    found = bodies(read("a.jsonl.gz", contents))
    assert [text[: len(start)] for text, start in zip(found, expected, strict=True)] == expected


REST = "the rest of the file cannot be read: not JSON:"


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (b"", []),
        (b" \n ", []),
        (b"[]", []),
        (b"[\n]\n", []),
        (GOOD, ["good"]),
        (BOM + b'{\n"text":\n"good"\n}\n', ["good"]),
        (b"[" + GOOD + b"]", ["good"]),
        (BOM + b"\n[" + GOOD + b",\n\n" + GOOD + b"\n]\n", ["good", "good"]),
        (GOOD + b"\n" + GOOD, ["good", "good"]),
        (GOOD + b"\nnothing\n" + GOOD, ["good", "2: not JSON: Expecting value at column 1", "good"]),
        (b"[" + GOOD + b",\n12,\n" + GOOD + b"]", ["good", "2: expected a JSON object, found an integer", "good"]),
        (b"12", ["1: expected a JSON object, found an integer"]),
        (b'[\n{"text": "caf\xe9\xc3\xa9"},' + GOOD + b"]", ["2: not UTF-8 at byte 14", "good"]),
        (b'[{"text": "caf\xc3\xa9 \\ud83d\\ude00"}]', ["café \U0001f600"]),
        (
            b"[" + GOOD + b",\n" + GOOD,
            ["good", "good", f"2: {REST} expected ',' or ']' after an element of the array"],
        ),
        (b"[" + GOOD + b",\n]", ["good"]),  # no element is lost
        (b"[" + GOOD + b",,\n]", ["good", f"1: {REST} Expecting value"]),
        (b"[" + GOOD + b"\n" + GOOD + b"]", ["good", f"2: {REST} expected ',' or ']' after an element of the array"]),
        (b"[" + GOOD + b',\n\n{"text": "cut', ["good", f"3: {REST} Unterminated string starting at"]),
        (b"[" + GOOD + b"]\nmore", ["good", f"2: {REST} there is text after the JSON value"]),
        (b'{\n"text": "good"}\n{\n}', ["good", f"3: {REST} there is text after the JSON value"]),
        (b"hello\n", [f"1: {REST} Expecting value"]),
        (b"[" * 100_000, ["1: the rest of the file cannot be read: the JSON is nested too deeply"]),
    ],
)
def test_json_file(contents: bytes, expected: list[str], read: Any, bodies: Any) -> None:
    assert bodies(read("a.json", contents)) == expected


def test_array_larger_than_a_block_is_read_element_by_element(read: Any, bodies: Any) -> None:
    texts = ["x" * (n * 997 % 100_000) for n in range(50)]  # some exceed a block of 64 KiB
    contents = json.dumps([{"text": text} for text in texts]).encode()
    assert bodies(read("a.json", contents, Limits(max_record_bytes=100_000))) == texts


def test_numbers_of_an_array_are_not_cut_at_block_boundaries(read: Any) -> None:
    numbers = [10**9 + n for n in range(20_000)]
    results = read("a.json", json.dumps(numbers).encode())
    assert len(results) == 20_000
    assert {result.reason for result in results} == {"expected a JSON object, found an integer"}


def test_oversize_element_of_an_array(read: Any, bodies: Any) -> None:
    contents = b"[" + GOOD + b',\n{"text": "' + b"x" * 100 + b'"},' + GOOD + b"]"
    too_large = "the value is larger than the limit of 50 bytes (limits.max_record_bytes)"
    assert bodies(read("a.json", contents, Limits(max_record_bytes=50))) == ["good", f"2: {too_large}", "good"]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz"])
@pytest.mark.parametrize("records", [0, 1])
def test_compressed_blank_lines_without_end_are_one_reject(name: str, records: int, read: Any, bodies: Any) -> None:
    head = b"text\ngood\n" if "csv" in name else b'{"text": "good"}\n' * records
    records = head.count(b"good")
    lines = head.count(b"\n")
    enough = gzip.compress(head + b"\n" * 1_000_000, 1)
    more = gzip.compress(head + b"\n" * 1_000_001, 1)
    assert bodies(read(name, enough)) == ["good"] * records
    reason = "the rest of the file cannot be read: more than 1,000,000 blank lines follow each other"
    assert bodies(read(name, more)) == ["good"] * records + [f"{lines + 1_000_001}: {reason}"]
