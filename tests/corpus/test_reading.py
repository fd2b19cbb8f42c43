from __future__ import annotations

import gzip
import io
import json
import pickle
import tracemalloc
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray import failures
from kpray.corpus import reading, records
from kpray.corpus.fields import parse_json
from kpray.corpus.items import Item, Unreadable
from kpray.corpus.limits import Limits, Reading
from kpray.corpus.lines import read_json_lines
from kpray.corpus.reading import read_chunks
from kpray.corpus.records import Reject, parse_chunk
from kpray.corpus.sources import Source, find_sources
from kpray.document import Record
from kpray.errors import UserError

RECORDS = [{"id": str(number), "title": f"Title {number}", "text": "word " * number} for number in range(7)]


def parquet(records: list[dict[str, Any]], **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), buffer, **options)
    return buffer.getvalue()


LINES = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()
CSV = "id,title,text\n" + "".join(f"{r['id']},{r['title']},{r['text']}\n" for r in RECORDS)
FILES = {
    "a.jsonl": LINES,
    "a.jsonl.gz": gzip.compress(LINES),
    "lines.json": LINES,
    "array.json": json.dumps(RECORDS, indent=2).encode(),
    "a.parquet": parquet(RECORDS, row_group_size=3),
    "a.csv": CSV.encode(),
    "a.tsv": CSV.replace(",", "\t").encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_every_streamed_format_gives_the_same_records(name: str, read: Any) -> None:
    results = read(name, FILES[name])
    assert [(r.document.id, r.document.title, r.document.body) for r in results] == [
        (r["id"], r["title"], str(r["text"]).strip()) for r in RECORDS
    ]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("records_per_chunk", [1, 2, 3, 7, 100])
def test_chunks_have_the_given_size_cover_the_file_and_are_reproducible(
    name: str, records_per_chunk: int, chunks: Any
) -> None:
    first = chunks(name, FILES[name], records_per_chunk)
    assert [chunk.index for chunk in first] == list(range(len(first)))
    assert [len(chunk.items) for chunk in first] == [
        min(records_per_chunk, 7 - start) for start in range(0, 7, records_per_chunk)
    ]
    assert sum(chunk.bytes for chunk in first) == len(FILES[name])
    assert all(chunk.bytes >= 0 for chunk in first)
    assert [chunk.first_line for chunk in first] == [chunk.items[0].line for chunk in first]
    assert chunks(name, FILES[name], records_per_chunk) == first
    assert pickle.loads(pickle.dumps(first)) == first


def test_bytes_of_json_lines_are_exact(chunks: Any) -> None:
    lines = [b'{"text": "one"}\n', b"\n", b'{"text": "two"}\r\n', b'{"text": "three"}\n', b"  \n"]
    found = chunks("a.jsonl", b"".join(lines), 1)
    # A blank line belongs to the record after it, or to the last.
    assert [chunk.bytes for chunk in found] == [
        len(lines[0]),
        len(lines[1]) + len(lines[2]),
        len(lines[3]) + len(lines[4]),
    ]
    assert [chunk.first_line for chunk in found] == [1, 3, 4]


def test_bytes_of_parquet_are_shares_of_the_rows(chunks: Any) -> None:
    contents = FILES["a.parquet"]
    size = len(contents)
    assert [chunk.bytes for chunk in chunks("a.parquet", contents, 3)] == [
        size * 3 // 7,
        size * 6 // 7 - size * 3 // 7,
        size - size * 6 // 7,
    ]


def test_file_of_blank_lines_is_one_empty_chunk_and_empty_file_none(chunks: Any) -> None:
    [chunk] = chunks("a.jsonl", b"\n \r\n\n")
    assert (chunk.items, chunk.bytes, chunk.first_line) == ([], 5, 1)
    assert chunks("b.jsonl", b"") == []


def test_long_records_close_a_chunk_early(chunks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CHUNK_BYTES", 100)
    line = json.dumps({"text": "x" * 60}).encode()
    found = chunks("a.jsonl", b"\n".join([line] * 5), 100)
    assert [len(chunk.items) for chunk in found] == [2, 2, 1]


def test_whole_files_are_one_item_that_names_the_file(chunks: Any, tmp_path: Path) -> None:
    [chunk] = chunks("a.txt", b"some text")
    assert chunk.items == [Item(1, tmp_path / "a.txt")]
    assert (chunk.format, chunk.bytes) == ("text", 9)


def test_unknown_type_in_a_folder_becomes_a_reject(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.png").write_bytes(b"picture")
    source = find_sources([str(tmp_path)])[1]
    [chunk] = read_chunks(source, 10, Reading())
    assert list(parse_chunk(chunk, Reading(lang="en"))) == [Reject(f"{tmp_path}/b.png", 1, "unknown file type .png")]
    assert chunk.bytes == 7


@pytest.mark.parametrize("format", ["jsonl", "jsonl.gz", "json", "csv", "parquet", "text"])
def test_a_removed_file_is_a_user_error(tmp_path: Path, format: str) -> None:
    source = Source(str(tmp_path / "gone"), "gone", format, 10)
    with pytest.raises(UserError, match=r"^gone: the file cannot be read: No such file or directory$"):
        list(read_chunks(source, 10, Reading()))


def test_a_text_file_that_is_removed_before_parsing_is_a_user_error(chunks: Any, tmp_path: Path) -> None:
    found = chunks("gone.txt", b"text")
    (tmp_path / "gone.txt").unlink()
    with pytest.raises(UserError, match=r"the file cannot be read: No such file or directory$"):
        list(parse_chunk(found[0], Reading(lang="en")))


@pytest.mark.parametrize(
    ("name", "head", "tail"),
    [
        ("a.jsonl", b'{"text": "', b'"}\n{"text": "next"}\n'),
        ("a.csv", b"text\n", b"\nnext\n"),
        ("a.json", b'[{"text": "next"},\n{"text": "', b'"}]'),
    ],
)
def test_memory_does_not_grow_with_an_oversize_record(tmp_path: Path, name: str, head: bytes, tail: bytes) -> None:
    limits = Limits(max_record_bytes=100_000)
    with (tmp_path / name).open("wb") as file:
        file.write(head)
        for _ in range(20):
            file.write(b"x" * 1_000_000)
        file.write(tail)
    [source] = find_sources([str(tmp_path / name)])
    tracemalloc.start()
    results = [
        r
        for chunk in read_chunks(source, 10, Reading(limits=limits))
        for r in parse_chunk(chunk, Reading(lang="en", limits=limits))
    ]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000
    assert [r.document.body for r in results if isinstance(r, Record)] == ["next"]
    [reject] = [r for r in results if isinstance(r, Reject)]
    assert "100000 bytes (limits.max_record_bytes)" in reject.reason


@settings(deadline=None)
@given(contents=st.lists(st.binary(max_size=30) | st.sampled_from([b'{"text": "a"}', b" ", b"{}"])).map(b"\n".join))
def test_every_line_that_is_not_blank_is_a_record_or_a_reject(
    contents: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "property.jsonl"
    path.write_bytes(contents)
    [source] = find_sources([str(path)])
    found = list(read_chunks(source, 3, Reading()))
    results = [result for chunk in found for result in parse_chunk(chunk, Reading(lang="en"))]
    lines = [
        number for number, line in enumerate(contents.split(b"\n"), 1) if line.removeprefix(b"\xef\xbb\xbf").strip()
    ]
    assert [result.line for result in results] == lines
    assert not any(result.reason.startswith("internal error") for result in results if isinstance(result, Reject))
    assert sum(chunk.bytes for chunk in found) == len(contents)


@pytest.mark.parametrize("name", FILES)
@settings(deadline=None)
@given(data=st.data())
def test_damaged_files_raise_nothing(name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    contents = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        contents[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    del contents[data.draw(st.integers(0, len(contents))) :]
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(contents)
    [source] = find_sources([str(path)])
    found = list(read_chunks(source, 3, Reading()))
    results = [result for chunk in found for result in parse_chunk(chunk, Reading(lang="en"))]
    assert all(isinstance(result, Record | Reject) for result in results)
    assert not any(result.reason.startswith("internal error") for result in results if isinstance(result, Reject))
    assert sum(chunk.bytes for chunk in found) == len(contents)
    assert list(read_chunks(source, 3, Reading())) == found


@pytest.mark.parametrize("error", [KeyError("a bug"), MemoryError()])
def test_reader_that_fails_unexpectedly_rejects_the_rest_of_the_file(
    error: Exception, chunks: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_and_fail(file: Any, how: Reading) -> Any:
        yield from islice(read_json_lines(file, how), 3)
        raise error

    monkeypatch.setattr(failures, "_logged", set())
    monkeypatch.setitem(reading._STREAMED, "jsonl", read_and_fail)
    if isinstance(error, MemoryError):
        with pytest.raises(MemoryError):
            chunks("a.jsonl", LINES)
        return
    first, second = chunks("a.jsonl", LINES)
    assert [item.line for item in (*first.items, *second.items)] == [1, 2, 3, 4]
    assert second.items[1].raw == Unreadable("internal error: KeyError; the rest of the file is not read")
    assert first.bytes + second.bytes == len(LINES)
    assert "/a.jsonl:4: internal error: KeyError; this is a bug" in capsys.readouterr().err


def test_record_that_fails_unexpectedly_is_one_reject(read: Any, bodies: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse_or_fail(raw: bytes) -> Any:
        return parse_json(raw)["absent" if b"poison" in raw else "whole"]

    monkeypatch.setattr(failures, "_logged", set())
    monkeypatch.setattr(records, "parse_json", parse_or_fail)
    lines = b'{"whole": {"text": "good"}}\n{"whole": {"text": "poison"}}\n{"whole": {"text": "fine"}}\n'
    assert bodies(read("a.jsonl", lines)) == ["good", "2: internal error: KeyError", "fine"]


def test_too_many_failures_end_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(raw: bytes) -> None:
        raise AttributeError

    monkeypatch.setattr(records, "parse_json", fail)
    (tmp_path / "a.jsonl").write_bytes(LINES * 10)
    found = records.read_records([str(tmp_path / "a.jsonl")])
    assert len(list(islice(found, 50))) == 50
    with pytest.raises(UserError, match=r"^51 of 51 records failed, the last one with an internal error: Attrib"):
        next(found)
