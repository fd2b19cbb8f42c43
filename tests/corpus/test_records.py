"""Reading of files, folders and standard input, as used by the command line."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kpray.corpus.limits import Limits
from kpray.corpus.records import Reject, read_records
from kpray.document import Document, Record
from kpray.errors import UserError


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
