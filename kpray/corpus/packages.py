"""Text of DOCX and EPUB files, which are ZIP archives of XML."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

from kpray.corpus.items import too_large
from kpray.corpus.limits import Limits
from kpray.corpus.markup import local_name, parse_xml, xhtml_text
from kpray.errors import RejectedDocument
from kpray.text.edits import BLOCK_END

if TYPE_CHECKING:
    from lxml import etree

_TITLE_STYLES = frozenset("title titel titre titolo título título1 tytuł rubrik".split())


def docx_text(contents: bytes, limits: Limits) -> tuple[str, str]:
    """Title and text of a DOCX file; the title is the first paragraph of the style Title.

    Deleted text, comments, footnotes, headers and footers are left out. Paragraphs are separated by an empty line.

    Raises:
        RejectedDocument: the file is damaged or protected, or is too large when it is unpacked.
    """
    archive = _Archive(contents, "DOCX", limits)
    relations = archive.xml("_rels/.rels")
    targets = [each.get("Target", "") for each in relations if each.get("Type", "").endswith("/officeDocument")]
    document = archive.xml(targets[0].lstrip("/") if targets else "word/document.xml")
    title = ""
    blocks = []
    for style, text in _paragraphs(document):
        if not title and style in _TITLE_STYLES:
            title = text
        elif text:
            blocks.append(text)
    return title, BLOCK_END.join(blocks)


def _paragraphs(document: etree._Element) -> Iterator[tuple[str, str]]:
    """Style and text of each paragraph. Paragraphs may contain others, in text boxes."""
    for paragraph in document.iter("{*}p"):
        style, parts = "", []
        stack = [*reversed(paragraph)]
        while stack:
            element = stack.pop()
            name = local_name(element)
            if name == "pstyle":
                style = next((value for key, value in element.items() if key.endswith("val")), "").lower()
            elif name == "t":
                parts.append(element.text or "")
            elif name in ("tab", "br", "cr"):
                parts.append(" ")
            elif name not in ("p", "del", "txbxcontent", "fallback"):  # a fallback repeats what is before it
                stack += [*reversed(element)]
        if not any(local_name(above) == "fallback" for above in paragraph.iterancestors()):
            yield style, " ".join("".join(parts).split())


def epub_text(contents: bytes, limits: Limits) -> tuple[str, str]:
    """Title and text of an EPUB book, in its reading order, without its table of contents.

    Raises:
        RejectedDocument: the file is damaged or protected, or is too large when it is unpacked.
    """
    archive = _Archive(contents, "EPUB", limits)
    container = archive.xml("META-INF/container.xml")
    path = next((each.get("full-path", "") for each in container.iter("{*}rootfile")), "")
    package = archive.xml(path)
    titles = [" ".join("".join(each.itertext()).split()) for each in package.iter("{*}title")]
    files = {each.get("id"): each for each in package.iter("{*}item")}
    texts = []
    for reference in package.iter("{*}itemref"):
        item = files.get(reference.get("idref"))
        if item is None or reference.get("linear") == "no" or "nav" in item.get("properties", "").split():
            continue
        if "html" in item.get("media-type", ""):
            name = posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(item.get("href", ""))))
            chapter, text = xhtml_text(archive.read(name))
            texts += [chapter, text] if chapter not in titles else [text]
    return (titles or [""])[0], BLOCK_END.join(text for text in texts if text)


class _Archive:
    """A ZIP archive; all files that are read from it may have `limits.max_record_bytes` together."""

    def __init__(self, contents: bytes, kind: str, limits: Limits) -> None:
        self._kind, self._limit, self._read = kind, limits.max_record_bytes, 0
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(contents))
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise RejectedDocument(f"the {kind} file cannot be read: {error}") from error
        if "META-INF/rights.xml" in self._archive.namelist():
            raise RejectedDocument(f"the {kind} file is protected (DRM)")

    def read(self, name: str) -> bytes:
        """Contents of a file in the archive; no more than the limit is unpacked."""
        try:
            with self._archive.open(name) as file:
                contents = file.read(self._limit - self._read + 1)
        except KeyError as error:
            raise RejectedDocument(f"the {self._kind} file cannot be read: it has no {name!r}") from error
        except ValueError as error:  # a negative position in the archive
            raise RejectedDocument(f"the {self._kind} file cannot be read: its list of files is damaged") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
            raise RejectedDocument(f"the {self._kind} file cannot be read: {error}") from error
        self._read += len(contents)
        if self._read > self._limit:
            raise RejectedDocument(too_large("the unpacked file", self._limit).reason)
        return contents

    def xml(self, name: str) -> etree._Element:
        """Root of an XML file in the archive."""
        root = parse_xml(self.read(name))
        assert root is not None  # only a parser that recovers gives None
        return root
