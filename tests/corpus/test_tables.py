"""CSV, TSV and Parquet."""

from __future__ import annotations

import io
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kpray import failures
from kpray.corpus import tables
from kpray.corpus.limits import Limits
from kpray.corpus.records import read_records
from kpray.document import Document, Record


def parquet(table: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def test_csv_row_is_a_record_with_the_line_it_starts_on(read: Any, tmp_path: Any) -> None:
    contents = b'ID, Title ,Abstract,keywords,year\n\n1,"A ""title""","two\nlines","a b;c",2001\n2,,body,,\n'
    source = f"{tmp_path}/a.csv"
    assert read("a.csv", contents) == [
        Record(Document("1", "two\nlines", 'A "title"'), ("a b", "c"), source=source, line=3),
        Record(Document("2", "body"), source=source, line=5),
    ]


NO_COLUMN = (
    "no column of text: one of these fields is needed: title, abstract, text, document, body, content, contents, src, "
    "or --text-field"
)
REST = "the rest of the file cannot be read:"


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (b"", []),
        (b"text\n", []),
        (b"text\n\n\n", []),
        (b"\xef\xbb\xbftext,id\na,1\n", ["a"]),
        (b"text,id\r\na,1\r\nb,2", ["a", "b"]),
        (b"text,id\ra,1\rb,2\r", ["a", "b"]),
        (b"text,id\n,\n", [""]),
        (b'text,id\n5" disk,1\n', ['5" disk']),
        ("text,id\ncafé,1\n".encode(), ["café"]),
        (b"text,id\ncaf\xe9\xc3\xa9,1\nb,2\n", ["2: not UTF-8", "b"]),
        (b"text,id\na\0,1\nb,2\n", ["2: the row contains NUL bytes", "b"]),
        (b"text,id\na\nb,2\n", ["2: the row has 1 fields, but the header has 2", "b"]),
        (b"text,id\na,1,2\nb,2\n", ["2: the row has 3 fields, but the header has 2", "b"]),
        (b'text,id\na,1\n"b,2\nc,3\n', ["a", f"3: {REST} a quote is not closed"]),
        (b'"text,id\na,1\n', [f"1: {REST} a quote is not closed"]),
        (b"author\nx\n", [f"1: {NO_COLUMN}; the columns are: author"]),
    ],
)
def test_csv(contents: bytes, expected: list[str], read: Any, bodies: Any) -> None:
    assert bodies(read("a.csv", contents)) == expected
    assert bodies(read("a.tsv", contents.replace(b",", b"\t"))) == expected


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (b"text,id\n12345678,1\n123456789,2\n" + b"x" * 90_000 + b"\nb,3\n", ["12345678", 3, 4, "b"]),
        (
            b'text,id\na,1\n"b\n' + b"x\n" * 10_000,
            ["a", f"3: {REST} a row is too long (limits.max_record_bytes), or a quote"],
        ),
        (b"x" * 100 + b"\na,1\n", [f"1: {REST} a row is too long"]),
    ],
)
def test_oversize_rows(contents: bytes, expected: list[str | int], read: Any, bodies: Any) -> None:
    too_large = "the row is larger than the limit of 11 bytes (limits.max_record_bytes)"
    starts = [text if isinstance(text, str) else f"{text}: {too_large}" for text in expected]
    found = bodies(read("a.csv", contents, Limits(max_record_bytes=11)))
    assert [text[: len(start)] for text, start in zip(found, starts, strict=True)] == starts


def test_field_longer_than_the_limit_of_the_csv_module(read: Any, bodies: Any) -> None:
    assert bodies(read("a.csv", b'text\n"' + b"x" * 200_000 + b'"\n')) == ["x" * 200_000]


def test_parquet_columns_and_rows(read: Any, tmp_path: Any) -> None:
    table = pa.table(
        {
            "id": pa.array([7, 8, 9]),
            "title": pa.array(["T", None, None]).dictionary_encode(),
            "abstract": pa.array(["A", "", None], pa.large_string()),
            "keyphrases": pa.array([["a", "b"], None, []]),
            "embedding": pa.array([[1.0], [2.0], [3.0]]),
        }
    )
    [first, second, third] = read("a.parquet", parquet(table, row_group_size=2))
    source = f"{tmp_path}/a.parquet"
    assert first == Record(Document("7", "A", "T"), ("a", "b"), source=source, line=1)
    assert second == Record(Document("8", ""), source=source, line=2)
    assert (third.line, third.reason[:8]) == (3, "no text:")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["a", None]), ["a", None]),
        (
            pa.array([1, 2]),
            ["1: field text: expected a string, found an integer", "2: field text: expected a string, found an"],
        ),
        (
            pa.array([b"a", b"b"]),
            ["1: field text: expected a string, found bytes", "2: field text: expected a string, found bytes"],
        ),
        (pa.array([["a"], None]), ["a", None]),
        (pa.array([[1], None]), ["1: field text: item 1 is an integer, not a string", None]),
        (pa.array([{"a": 1}, None]), ["1: field text: expected a string, found an object", None]),
        (
            pa.array(["x" * 51, "y" * 50]),
            ["1: the row is larger than the limit of 50 bytes (limits.max_record_bytes)", "y" * 50],
        ),
    ],
)
def test_parquet_values(column: Any, expected: list[str | None], read: Any, bodies: Any) -> None:
    starts = [text or "2: no text: one of" for text in expected]
    found = bodies(read("a.parquet", parquet(pa.table({"text": column})), Limits(max_record_bytes=50)))
    assert [text[: len(start)] for text, start in zip(found, starts, strict=True)] == starts


def test_parquet_without_a_known_column_is_one_reject(read: Any, bodies: Any) -> None:
    table = pa.table({"author": ["a", "b", "c"], "year": [1, 2, 3]})
    assert bodies(read("a.parquet", parquet(table))) == [f"1: {NO_COLUMN}; the columns are: author, year"]


def test_parquet_row_that_is_not_utf8_is_one_reject(read: Any, bodies: Any) -> None:
    raw = pa.array([b"good", b"\xff\xfe", b"fine"])
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    assert bodies(read("a.parquet", parquet(pa.table({"text": text})))) == ["good", "2: not UTF-8", "fine"]


@pytest.mark.parametrize("contents", [b"PAR1", b"plain text", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_file_that_is_not_parquet_is_one_reject(contents: bytes, read: Any) -> None:
    [reject] = read("a.parquet", contents)
    assert reject.line == 1
    assert reject.reason.startswith("the rest of the file cannot be read: Parquet ")


def test_truncated_parquet_is_one_reject(read: Any) -> None:
    contents = parquet(pa.table({"text": ["a"] * 100}))
    [reject] = read("a.parquet", contents[:-20])
    assert reject.reason.startswith("the rest of the file cannot be read: Parquet magic bytes not found in footer")


def test_damaged_parquet_gives_the_row_groups_before_the_damage(read: Any, bodies: Any) -> None:
    table = pa.table({"text": [f"text {n}" for n in range(300)]})
    contents = bytearray(parquet(table, row_group_size=100, use_dictionary=False))
    groups = pq.ParquetFile(io.BytesIO(contents)).metadata
    start = groups.row_group(1).column(0).data_page_offset
    contents[start : start + groups.row_group(1).column(0).total_compressed_size] = b"\xff" * (
        groups.row_group(1).column(0).total_compressed_size
    )
    *records, reject = bodies(read("a.parquet", bytes(contents)))
    assert records == [f"text {n}" for n in range(100)]
    assert reject.startswith("101: the rest of the file cannot be read: ")


def test_empty_parquet(read: Any) -> None:
    assert read("a.parquet", parquet(pa.table({"text": pa.array([], pa.string())}))) == []


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (b'id;text\n1;"a; b, c"\n', ["a; b, c"]),
        (b"id\ttext\n1\ta, b\n", ["a, b"]),
        (b"id|text\n1|a, b\n", ["a, b"]),
        (b"text;a,b,c\nwords;1\n", ["words"]),  # the separator that gives a column of text
        (b"text\na; b\n", ["a; b"]),
        (b'"text";"a, b"\nwords;1\n', ["words"]),
        (b"a;b,c\n1;2\n", [f"1: {NO_COLUMN}; the columns are: a;b, c"]),
        (b"", []),
    ],
)
def test_separator_follows_from_the_header(contents: bytes, expected: list[str], read: Any, bodies: Any) -> None:
    assert bodies(read("a.csv", contents)) == expected


def test_columns_named_by_options(tmp_path: Path, bodies: Any) -> None:
    (tmp_path / "a.csv").write_text("Key;Long Text;year\nx;a;1999\n")
    pq.write_table(pa.table({"Key": [1.5], "Long Text": ["a"], "year": [1999]}), tmp_path / "b.parquet")
    options: dict[str, Any] = {"text_field": ["Long Text"], "id_field": "Key", "keep": ["year"], "lang": "en"}
    records = [record for record in read_records([str(tmp_path)], **options) if isinstance(record, Record)]
    assert [record.document for record in records] == [Document("x", "a"), Document("1.5", "a")]
    assert [record.metadata for record in records] == [{"year": "1999"}, {"year": 1999}]
    assert (
        bodies(list(read_records([str(tmp_path)], text_field=["Text"])))
        == ["1: no column 'Text'; the columns are: Key, Long Text, year"] * 2
    )


def test_many_columns_are_not_all_named(read: Any, bodies: Any) -> None:
    [reject] = bodies(read("a.csv", ",".join(f"c{number}" for number in range(99)).encode()))
    assert reject.endswith("c18, c19, ...")


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_parquet_row_that_cannot_be_converted_is_one_reject(
    unit: str, read: Any, bodies: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "_logged", set())
    year_10000 = 253402300800 * (1 if unit == "s" else 1000)
    ids = pa.array([0, year_10000, 1, year_10000], pa.timestamp(unit))
    table = pa.table({"id": ids, "text": ["good", "after 9999", "fine", "again"]})
    found = bodies(read("a.parquet", parquet(table)))
    [error] = {line.removeprefix(f"{row}: internal error: ") for row, line in ((2, found[1]), (4, found[3]))}
    assert (found[0], found[2]) == ("good", "fine")
    assert error in ("ValueError", "OverflowError")
    logged = capsys.readouterr().err
    assert f"a.parquet:2: internal error: {error}; this is a bug, please report it" in logged
    assert logged.count("Traceback") == 1  # for both


def test_parquet_row_group_that_grows_too_much_is_rejected(
    read: Any, bodies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_DECODED_BYTES", 100_000)
    texts = ["first", "second", "a" * 3_000_000, "b" * 3_000_000, "last", "of all"]
    options: dict[str, Any] = {"row_group_size": 2, "compression": "zstd", "use_dictionary": False}
    first, second, reject, *rest = bodies(read("a.parquet", parquet(pa.table({"text": texts}), **options)))
    assert (first, second, rest) == ("first", "second", ["last", "of all"])
    assert re.fullmatch(r"3: 2 rows are not read: a column of them grows from [\d,]{3,5} bytes to 6,000,\d{3}", reject)


def test_parquet_rows_with_millions_of_values_are_rejected(read: Any, bodies: Any) -> None:
    lists = pa.array([["few"], ["many"] * 1_002_000], pa.list_(pa.string()))
    table = pa.table({"text": ["one", "two"], "keyphrases": lists})
    assert bodies(read("a.parquet", parquet(table, row_group_size=1))) == [
        "one",
        "2: 1 rows are not read: a column of them grows from 1 rows to 1,002,000 values",
    ]


def nested(depth: int, kind: str) -> Any:
    array: Any = pa.array(["x"])
    for _ in range(depth):
        array = (
            pa.ListArray.from_arrays([0, 1], array) if kind == "list" else pa.StructArray.from_arrays([array], ["a"])
        )
    return array


ODD: dict[str, Any] = {
    "decimal": pa.array([Decimal("1.5")], pa.decimal256(50, 2)),
    "dictionary": pa.array(["a"]).dictionary_encode(),
    "string view": pa.array(["a"], pa.string_view()),
    "binary": pa.array([b"a \xff"]),
    "fixed binary": pa.array([b"abcd"], pa.binary(4)),
    "null": pa.array([None]),
    "float16": pa.array(np.array([1], np.float16)),
    "not a number": pa.array([float("nan")]),
    "uint64": pa.array([2**64 - 1], pa.uint64()),
    "no time zone": pa.array([1], pa.timestamp("us", tz="Mars/Phobos")),
    "duration": pa.array([2**62], pa.int64()).cast(pa.duration("s")),
    "list of null": pa.array([[None, "b"]]),
    "list of lists": pa.array([[["a"]]]),
    "struct": pa.array([{"a": "b"}]),
    "map": pa.array([[("a", "b")]], pa.map_(pa.string(), pa.string())),
    "nested lists": nested(60, "list"),
    "nested structs": nested(2000, "struct"),
}


@pytest.mark.parametrize("column", ["id", "title", "keyphrases"])
@pytest.mark.parametrize("kind", ODD)
def test_columns_of_any_type_give_a_record_or_a_reject(kind: str, column: str, read: Any) -> None:
    good = {"id": ["1"], "lang": ["en"], "title": ["T"], "text": ["A text."], "keyphrases": [["text"]]}
    contents = parquet(pa.table({**{name: pa.array(values) for name, values in good.items()}, column: ODD[kind]}))
    [found] = read("a.parquet", contents)
    assert isinstance(found, Record) or len(found.reason.splitlines()) == 1
