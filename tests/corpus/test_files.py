"""Text, Markdown and PDF files."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.corpus.files import markdown_text, parse_open_file
from kpray.corpus.limits import Limits, Reading
from kpray.corpus.pdf import join_lines
from kpray.corpus.records import Reject, read_records
from kpray.document import Document, Record
from kpray.errors import RejectedDocument


def test_text_file_is_one_document_named_by_the_file(read: Any, tmp_path: Path) -> None:
    name = f"{tmp_path}/a.txt"
    [record] = read("a.txt", "\ufeffOne line.\n\nCafé {}\n".encode())
    assert record == Record(Document(name, "One line.\n\nCafé {}"), source=name, line=1)


def test_empty_text_file_is_an_empty_document(read: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    [record] = read_records([str(tmp_path / "empty.txt")])
    assert isinstance(record, Record)
    assert record.document.text == ""


@pytest.mark.parametrize(
    ("name", "contents", "reason"),
    [
        ("a.txt", b"caf\xe9\xc3\xa9", "not UTF-8 at byte 4"),
        ("a.md", b"caf\xe9\xc3\xa9", "not UTF-8 at byte 4"),
        ("a.txt", b"\xe9\0\0\0", "not UTF-8 at byte 1"),
        ("a.txt", b"x" * 1001, "the file is larger than the limit of 1000 bytes (limits.max_record_bytes)"),
        ("a.md", b"x" * 1001, "the file is larger than the limit of 1000 bytes (limits.max_record_bytes)"),
        ("a.pdf", b"x" * 1001, "the file is larger than the limit of 1000 bytes (limits.max_record_bytes)"),
        ("a.txt", b"x" * 101, "the text has 101 characters, more than the limit of 100 (limits.max_characters)"),
        ("a.rst", b"x" * 101, "the text has 101 characters, more than the limit of 100 (limits.max_characters)"),
        ("a.html", b"x" * 101, "the text has 101 characters, more than the limit of 100 (limits.max_characters)"),
        (
            "a.md",
            b"# " + b"x" * 99 + b"\n\ny",
            "the text has 102 characters, more than the limit of 100 (limits.max_characters)",
        ),
        ("a.pdf", b"", "the PDF cannot be read: Failed to load document (PDFium: Data format error)"),
        ("a.pdf", b"no pdf", "the PDF cannot be read: Failed to load document (PDFium: Data format error)"),
        ("a.pdf", [[]], "the PDF has no text; if its pages are scans, run OCR first"),
        (
            "a.pdf",
            [["x" * 51], ["x" * 51], ["not read"]],
            "the text has 103 characters, more than the limit of 100 (limits.max_characters)",
        ),
    ],
)
def test_rejected_files(
    name: str, contents: bytes | list[list[str]], reason: str, read: Any, pdf: Any, tmp_path: Path
) -> None:
    limit = 1000
    if isinstance(contents, list):
        contents = pdf(contents)
        limit = 10_000
    [reject] = read(name, contents, Limits(max_record_bytes=limit, max_characters=100))
    assert isinstance(reject, Reject)
    assert (reject.source, reject.line) == (f"{tmp_path}/{name}", 1)
    assert reject.reason.startswith(reason)
    assert "\n" not in reject.reason


MARKDOWN = """---
layout: post
---

Before the title.

# A *title* with `code`

Some **bold** and [linked](http://example.org "tip") text
on two lines, an ![image of a cat](cat.png), <b>html</b> and 2 \\* 3 &amp; more; call `run()`.

[![build](https://x.example/b.svg)](https://x.example)
![docs](https://x.example/d.svg)

## Second

- one
- two

> quoted

```python
left_out = True
```

    left out

<div>left out</div>

| a | b |
|---|---|
| c | d |

# Another
"""


def test_markdown_becomes_plain_text() -> None:
    assert markdown_text(MARKDOWN) == (
        "A title with code",
        "Before the title.\n\n"
        "Some bold and linked text\non two lines, an , html and 2 * 3 & more; call  , .\n\n"
        "Second\n\none\n\ntwo\n\nquoted\n\na\n\nb\n\nc\n\nd\n\nAnother",
    )


def test_markdown_between_rules_is_text() -> None:
    assert markdown_text("---\nSome text\n\n---\nmore") == ("", "Some text\n\nmore")


def test_markdown_file(read: Any, tmp_path: Path) -> None:
    name = f"{tmp_path}/a.md"
    [record] = read("a.md", b"A title\r\n=======\r\n\r\nText.\r\n")
    assert record == Record(Document(name, "Text.", "A title"), source=name, line=1)


def test_pdf_pages_become_one_text(read: Any, pdf: Any, tmp_path: Path) -> None:
    pages = [["Learning by rein-", "forcement is", "state-of-the-"], ["art. It was", "named by Kullback-", "Leibler."]]
    [record] = read("a.pdf", pdf(pages))
    name = f"{tmp_path}/a.pdf"
    body = "Learning by reinforcement is state-of-the-art. It was named by Kullback-Leibler."
    assert record == Record(Document(name, body), source=name, line=1)


def encrypted(contents: bytes, user_password: str, algorithm: str = "RC4-128") -> bytes:
    writer = pypdf.PdfWriter(io.BytesIO(contents))
    writer.encrypt(user_password, owner_password="owner", algorithm=algorithm)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def test_pdf_that_needs_a_password_is_rejected(read: Any, bodies: Any, pdf: Any) -> None:
    contents = pdf([["Some text"]])
    assert bodies(read("a.pdf", encrypted(contents, "secret"))) == ["1: the PDF is protected by a password"]
    for algorithm in ("RC4-128", "AES-128", "AES-256"):  # encrypted, but readable without a password
        assert bodies(read("a.pdf", encrypted(contents, "", algorithm))) == ["Some text"]


def test_repaired_pdf_is_read_without_log_output(
    read: Any, bodies: Any, pdf: Any, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    contents = pdf([["Some text"]]).replace(b"startxref\n", b"startxref\n9")
    with caplog.at_level(logging.WARNING):
        assert bodies(read("a.pdf", contents)) == ["Some text"]
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("rein-\nforcement", "reinforcement"),
        ("rein\u2010 \n  forcement", "reinforcement"),
        ("rein\u00ad\nforcement soft\u00adhyphen", "reinforcement softhyphen"),
        ("one\ntwo\r\nthree\x0cfour\n\n five", "one two three four five"),
        ("state-of-the-\nart", "state-of-the-art"),
        ("Kullback-\nLeibler", "Kullback-Leibler"),
        ("COVID-\n19", "COVID-19"),
        ("pages 10-\n20", "pages 10-20"),
        ("über-\nführen", "überführen"),
        ("a - b -\nc", "a - b - c"),
        ("classi\ufb01cation e\ufb03cient", "classification efficient"),
        ("a \ud83d\ude00 b \ud83d c", "a \U0001f600 b \ufffd c"),
        (" \n ", ""),
        (
            "soil salt rises long-\nterm, price-\ndetermining and import-\ners",
            "soil salt rises long-term, price-determining and importers",
        ),
        (
            "Tidal power\nTurbines in the sea turn with\nthe tide.",
            "Tidal power\n\nTurbines in the sea turn with the tide.",
        ),
    ],
)
def test_join_lines(text: str, joined: str) -> None:
    assert join_lines(text.splitlines(), "en") == joined


@settings(deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=[])))
def test_joined_lines_are_paragraphs_of_valid_unicode(text: str) -> None:
    joined = join_lines(text.splitlines(), "en")
    joined.encode("utf-8")
    assert [" ".join(paragraph.split()) for paragraph in joined.split("\n\n")] == joined.split("\n\n")


@settings(deadline=None)
@given(data=st.data())
def test_damaged_pdf_is_a_record_or_a_reject(pdf: Any, data: st.DataObject) -> None:
    contents = bytearray(pdf([["Some text", "of two lines"], ["and two pages"]]))
    for _ in range(data.draw(st.integers(1, 5))):
        contents[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = parse_open_file(io.BytesIO(contents), "pdf", source="a.pdf", reading=Reading(lang="en")).document.body
    except RejectedDocument as error:
        found = f"rejected: {error.reason}"
    assert found
    assert not found.startswith("rejected: ") or found.startswith("rejected: the PDF ")
