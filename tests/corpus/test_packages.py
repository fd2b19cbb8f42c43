"""DOCX and EPUB files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from kpray.corpus.limits import Limits
from kpray.corpus.packages import docx_text, epub_text
from kpray.corpus.records import read_records
from kpray.document import Record
from kpray.errors import RejectedDocument

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r" Target="'
    'word/document.xml" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/>'
    "</Relationships>"
)
DOCUMENT = f"""<?xml version="1.0" encoding="UTF-8"?>
<w:document xmlns:w="{WORD}" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><w:body>
<w:p><w:pPr><w:pStyle w:val="Title"/></w:pPr><w:r><w:t>How bees </w:t></w:r><w:r><w:t>see</w:t></w:r></w:p>
<w:p><w:r><w:t>Bees see</w:t><w:tab/><w:t>polar</w:t></w:r><w:hyperlink><w:r><w:t>ised</w:t></w:r></w:hyperlink>
<w:ins><w:r><w:t xml:space="preserve"> light.</w:t></w:r></w:ins><w:del><w:r><w:delText>never</w:delText></w:r></w:del>
<w:r><w:instrText>PAGE</w:instrText></w:r></w:p>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>queen</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>eggs</w:t></w:r></w:p></w:tc></w:tr>
</w:tbl>
<w:p><w:r><mc:AlternateContent>
<mc:Choice><w:txbxContent><w:p><w:r><w:t>in a box</w:t></w:r></w:p></w:txbxContent></mc:Choice>
<mc:Fallback><w:txbxContent><w:p><w:r><w:t>in a box</w:t></w:r></w:p></w:txbxContent></mc:Fallback>
</mc:AlternateContent></w:r></w:p>
</w:body></w:document>"""
CONTAINER = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
BOOK = """<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">
<metadata><dc:title>The life of bees</dc:title></metadata>
<manifest>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="c2" href="text/two%20.xhtml" media-type="application/xhtml+xml"/>
<item id="c1" href="text/one.xhtml" media-type="application/xhtml+xml"/>
<item id="ad" href="text/ad.xhtml" media-type="application/xhtml+xml"/>
<item id="image" href="bee.png" media-type="image/png"/>
</manifest>
<spine><itemref idref="nav"/><itemref idref="c1"/><itemref idref="c2"/><itemref idref="ad" linear="no"/>
<itemref idref="image"/><itemref idref="absent"/></spine></package>"""
CHAPTER = (
    '<?xml version="1.0"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>'
    '<h2>{0}</h2><p>Chapter&nbsp;{0}<br/>&eacute; <a id="x"/>end.</p></body></html>'
)
CHAPTERS = {
    "OEBPS/nav.xhtml": CHAPTER.format("contents"),
    "OEBPS/text/one.xhtml": CHAPTER.format("one"),
    "OEBPS/text/two .xhtml": CHAPTER.format("two"),
}
EPUB = {"mimetype": "application/epub+zip", "META-INF/container.xml": CONTAINER, "OEBPS/book.opf": BOOK, **CHAPTERS}
DOCX = {"[Content_Types].xml": "<Types/>", "_rels/.rels": RELATIONS, "word/document.xml": DOCUMENT}


def package(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in files.items():
            archive.writestr(name, contents, zipfile.ZIP_STORED if name == "mimetype" else None)
    return buffer.getvalue()


def test_docx() -> None:
    title, text = docx_text(package(DOCX), Limits())
    assert title == "How bees see"
    assert text.split("\n\n") == ["Bees see polarised light.", "queen", "eggs", "in a box"]


def test_epub() -> None:
    title, text = epub_text(package(EPUB), Limits())
    assert title == "The life of bees"
    assert text.split("\n\n") == ["one", "Chapter one", "é end.", "two", "Chapter two", "é end."]


@pytest.mark.parametrize(
    ("name", "contents", "reason"),
    [
        ("a.docx", b"", "the DOCX file cannot be read: File is not a zip file"),
        ("a.epub", b"PK\x03\x04 damaged", "the EPUB file cannot be read: File is not a zip file"),
        ("a.docx", package(EPUB), "the DOCX file cannot be read: it has no '_rels/.rels'"),
        ("a.epub", package(DOCX), "the EPUB file cannot be read: it has no 'META-INF/container.xml'"),
        (
            "a.docx",
            b"PK\x01\x02" + package(DOCX).partition(b"PK\x01\x02")[2],
            "the DOCX file cannot be read: its list of files is damaged",
        ),
        ("a.docx", package({**DOCX, "word/document.xml": "<a><b></a>"}), "the XML cannot be read: "),
        ("a.epub", package({**EPUB, "META-INF/rights.xml": ""}), "the EPUB file is protected (DRM)"),
    ],
)
def test_damaged_files_are_rejected(name: str, contents: bytes, reason: str, read: Any) -> None:
    [reject] = read(name, contents)
    assert reject.reason.startswith(reason)
    assert "\n" not in reject.reason


@pytest.mark.parametrize(
    ("name", "files", "bomb"), [("a.docx", DOCX, "word/document.xml"), ("a.epub", EPUB, "OEBPS/text/one.xhtml")]
)
def test_file_that_is_too_large_when_unpacked_is_rejected(
    name: str, files: dict[str, str], bomb: str, read: Any
) -> None:
    contents = package({**files, bomb: files[bomb] + " " * 5_000_000})
    assert len(contents) < 20_000
    [reject] = read(name, contents, Limits(max_record_bytes=20_000))
    assert reject.reason == "the unpacked file is larger than the limit of 20000 bytes (limits.max_record_bytes)"


def test_entities_in_a_package_are_not_expanded() -> None:
    bomb = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 100}">' for n in range(1, 9))
    document = DOCUMENT.replace("<w:document", f'<!DOCTYPE d [<!ENTITY e0 "bees">{bomb}]><w:document')
    try:
        _, text = docx_text(package({**DOCX, "word/document.xml": document.replace("queen", "&e8;")}), Limits())
    except RejectedDocument as error:
        text = error.reason
    assert len(text) < 500


def test_damaged_bytes_are_a_record_or_a_reject(read: Any) -> None:
    whole = bytearray(package(EPUB))
    for offset in range(0, len(whole), 7):
        contents = bytearray(whole)
        contents[offset] ^= 0x55
        [result] = read("a.epub", bytes(contents))
        assert isinstance(result, Record) or result.reason


def test_installed_book() -> None:
    file = Path("/usr/share/doc/debian-history/docs/project-history.en.epub")
    if not file.exists():
        pytest.skip("needs the package debian-history")
    [record] = read_records([str(file)])
    assert isinstance(record, Record)
    assert record.document.title == "A Brief History of Debian"
