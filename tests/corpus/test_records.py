"""Reading of files, folders and standard input, as used by the command line."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kpray.corpus.limits import Limits
from kpray.corpus.records import Reject, read_records, recognise
from kpray.document import Document, Record
from kpray.errors import UserError
from tests.corpus.test_packages import DOCX, EPUB, package


def test_folder_of_all_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pdf: Any) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("in")
    (folder / "more").mkdir(parents=True)
    line = json.dumps({"id": "x", "text": "of lines"}).encode()
    (folder / "a.jsonl").write_bytes(line + b"\n\nbroken\n")
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(line))
    (folder / "c.json").write_bytes(b"[" + line + b"]")
    (folder / "d.csv").write_bytes(b"text,lang\nof csv,de\n")
    (folder / "more" / "e.md").write_bytes(b"# T\n\nof markdown")
    (folder / "more" / "f.pdf").write_bytes(pdf([["of pdf"]]))
    (folder / "more" / "g.txt").write_bytes(b"of text")
    (folder / "more" / "h.png").write_bytes(b"\x89PNG")
    (folder / "_skipped.txt").write_bytes(b"not read")
    assert list(read_records(["in"], lang="fr")) == [
        Record(Document("x", "of lines", lang="fr"), source="in/a.jsonl", line=1),
        Reject("in/a.jsonl", 3, "not JSON: Expecting value at column 1"),
        Record(Document("x", "of lines", lang="fr"), source="in/b.jsonl.gz", line=1),
        Record(Document("x", "of lines", lang="fr"), source="in/c.json", line=1),
        Record(Document("in/d.csv:2", "of csv", lang="de"), source="in/d.csv", line=2),
        Record(Document("in/more/e.md", "of markdown", "T", lang="fr"), source="in/more/e.md", line=1),
        Record(Document("in/more/f.pdf", "of pdf", lang="fr"), source="in/more/f.pdf", line=1),
        Record(Document("in/more/g.txt", "of text", lang="fr"), source="in/more/g.txt", line=1),
        Reject("in/more/h.png", 1, "unknown file type .png"),
    ]


def test_a_wrong_path_is_an_error_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(UserError, match="absent: no such file or folder"):
        read_records([str(tmp_path / "a.txt"), str(tmp_path / "absent")])


GOOD = b'{"id": "x", "text": "good"}'


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (GOOD + b"\n" + GOOD, ["good", "good"]),
        (
            b"\n \n" + GOOD + b"\n\n{broken\n",
            ["good", "5: not JSON: Expecting property name enclosed in double quotes"],
        ),
        (b"\xef\xbb\xbf  " + GOOD, ["good"]),
        (b'{"text": "' + b"x" * 60 + b'"}\n' + GOOD, ["1: the line is larger than the limit of 50 bytes", "good"]),
        (b"\n\nPlain\n\n" + GOOD, ['Plain\n\n{"id": "x", "text": "good"}']),
        (b"", [""]),
        (b"\n\n", [""]),
        (b"caf\xe9\xc3\xa9", ["1: not UTF-8 at byte 4"]),
        (b"x" * 60, ["1: the file is larger than the limit of 50 bytes (limits.max_record_bytes)"]),
        (b"x y z\n" * 9, ["1: the file is larger than the limit of 50 bytes (limits.max_record_bytes)"]),
    ],
)
def test_standard_input(given: bytes, expected: list[str], monkeypatch: pytest.MonkeyPatch, bodies: Any) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    results = list(read_records(["-"], limits=Limits(max_record_bytes=50)))
    found = bodies(results)
    assert [text[: len(start)] for text, start in zip(found, expected, strict=True)] == expected
    assert {result.source for result in results} == {"stdin"}


@pytest.mark.parametrize(
    ("given", "format", "expected"),
    [
        (b'[{"text": "good"}, {"text": "fine"}]', "json", ["good", "fine"]),
        (b'{\n  "text": "good"\n}\n', "json", ["good"]),
        (b"[1] Text with a number", "text", ["[1] Text with a number"]),
        (b"<!DOCTYPE html><title>T</title><p>good", "html", ["good"]),
        (b'<?xml version="1.0"?>\n<!-- x -->\n<html><p>good</p></html>', "html", ["good"]),
        (b"<b>bold</b>", "text", ["<b>bold</b>"]),
        (gzip.compress(GOOD + b"\n" + GOOD, mtime=0), "jsonl.gz", ["good", "good"]),
        (gzip.compress(b"plain", mtime=0), "text.gz", ["plain"]),
        (
            gzip.compress(b"", mtime=0)[:10] + b"\xff" * 20,
            "text.gz",
            ["1: the file is damaged: Error -3 while decompressing data: invalid block type"],
        ),
        ("Größe".encode("cp1252"), "text", ["Größe"]),
        ("Größe".encode("utf-16"), "text", ["Größe"]),
    ],
)
def test_standard_input_is_recognised(
    given: bytes, format: str, expected: list[str], monkeypatch: pytest.MonkeyPatch, bodies: Any
) -> None:
    assert recognise(given) == format
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert bodies(list(read_records(["-"], lang="en"))) == expected


def test_standard_input_that_is_a_pdf_or_a_package(monkeypatch: pytest.MonkeyPatch, pdf: Any, bodies: Any) -> None:
    for given, format, expected in (
        (pdf([["of pdf"]]), "pdf", "of pdf"),
        (package(DOCX), "docx", "Bees see polarised light.\n\nqueen\n\neggs\n\nin a box"),
        (package(EPUB), "epub", "one\n\nChapter one\n\né end.\n\ntwo\n\nChapter two\n\né end."),
    ):
        assert recognise(given) == format
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        assert bodies(list(read_records(["-"]))) == [expected]


def test_standard_input_in_a_named_format(monkeypatch: pytest.MonkeyPatch, bodies: Any) -> None:
    for format, given, expected in (
        ("csv", b"text;id\ngood;1\n", ["good"]),
        ("markdown", b"# T\n\n*good*", ["good"]),
        ("rst", b"T\n=\n\n*good*", ["good"]),
        ("text", GOOD, [GOOD.decode()]),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        assert bodies(list(read_records(["-"], input_format=format))) == expected


def test_json_lines_from_standard_input_are_read_while_they_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    reading_end, writing_end = os.pipe()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(os.fdopen(reading_end, "rb")))
    with os.fdopen(writing_end, "wb", buffering=0) as pipe:
        pipe.write(GOOD + b"\n")
        records = read_records(["-"], lang="en")
        assert next(records) == Record(Document("x", "good"), source="stdin", line=1)
        pipe.write(GOOD + b"\n")
        assert next(records) == Record(Document("x", "good"), source="stdin", line=2)
    assert list(records) == []
    sys.stdin.close()


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("a.txt.gz", b"good"),
        ("a.md.gz", b"*good*"),
        ("a.rst.gz", b"*good*"),
        ("a.html.gz", b"<p>good</p>"),
        ("a.csv.gz", b"text\ngood\n"),
        ("a.tsv.gz", b"text\tid\ngood\t1\n"),
        ("a.json.gz", b'[{"text": "good"}]'),
        ("a.ndjson.gz", b'{"text": "good"}'),
    ],
)
def test_every_format_of_text_may_be_compressed(name: str, contents: bytes, read: Any, bodies: Any) -> None:
    assert bodies(read(name, gzip.compress(contents))) == ["good"]


def test_compressed_text_is_bounded_and_damage_is_named(read: Any, bodies: Any) -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    assert bodies(read("a.txt.gz", bomb, Limits(max_record_bytes=20_000))) == [
        "1: the file is larger than the limit of 20000 bytes (limits.max_record_bytes)"
    ]
    [reject] = bodies(read("a.txt.gz", gzip.compress(b"good")[:-9]))
    assert reject.startswith("1: the file is damaged: Compressed file ended")


def test_standard_input_that_is_text_is_named_stdin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("of a file")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"of standard input")))
    results = list(read_records(["-", str(tmp_path / "a.txt")], lang="de"))
    assert results[0] == Record(Document("stdin", "of standard input", lang="de"), source="stdin", line=1)
    assert isinstance(results[1], Record)
    assert results[1].document.body == "of a file"


@pytest.mark.parametrize(
    ("name", "documents", "keyphrases", "stems"),
    [
        ("samrank/inspec.jsonl", 500, 4913, True),
        ("samrank/semeval2010.jsonl", 100, 1520, True),
        ("kptimes/sample.jsonl", 10, 56, False),
    ],
)
def test_evaluation_data(
    name: str, documents: int, keyphrases: int, stems: bool, data_file: Callable[[str], Path]
) -> None:
    records = [record for record in read_records([str(data_file(name))]) if isinstance(record, Record)]
    assert len(records) == documents
    assert sum(len(record.keyphrases) for record in records) == keyphrases
    assert all((record.stemmed is not None) == stems for record in records)


def test_abstract_and_text_of_full_papers_are_joined(data_file: Callable[[str], Path]) -> None:
    path = data_file("semeval2010/train.jsonl")
    records = [record for record in read_records([str(path)]) if isinstance(record, Record)]
    raw = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [record.document.body for record in records] == [
        f"{fields['abstract'].strip()}\n{fields['text'].strip()}".strip() for fields in raw
    ]
