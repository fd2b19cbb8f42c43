"""Files with one document each: text, Markdown, reStructuredText, HTML, DOCX, EPUB and PDF."""

from __future__ import annotations

import gzip
import re
import zlib
from itertools import pairwise
from typing import BinaryIO, cast

from kpray.corpus.encodings import as_utf8, first_bytes
from kpray.corpus.fields import decode, make_document
from kpray.corpus.items import too_large
from kpray.corpus.limits import Reading
from kpray.corpus.markup import html_text, rst_text
from kpray.corpus.packages import docx_text, epub_text
from kpray.corpus.pdf import pdf_text
from kpray.corpus.sources import GZIP, TEXT_FORMATS
from kpray.document import Record
from kpray.errors import RejectedDocument, UserError
from kpray.storage import Location
from kpray.text.edits import BLOCK_END, PHRASE_END

# Front matter must start with a field; otherwise it is ordinary text between two horizontal rules.
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?=[\w-]+[ \t]*:).*?^(---|\.\.\.)[ \t]*\r?$", re.DOTALL | re.MULTILINE)


def open_text(file: BinaryIO, format: str, name: str, reading: Reading) -> BinaryIO:
    """The contents of an open file: unpacked if they are compressed, and as UTF-8 if they are text."""

    def unpacked() -> BinaryIO:
        file.seek(0)
        # Closing the GzipFile does not close `file`.
        return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if format.endswith(GZIP) else file

    if format.removesuffix(GZIP) not in TEXT_FORMATS:
        return unpacked()
    sample = first_bytes(unpacked())
    return as_utf8(unpacked(), sample, reading.encoding, name)


def parse_file(path: Location, format: str, *, source: str, reading: Reading) -> Record:
    """Read a file that is one document; the document's id is the name of the file.

    Args:
        path: the file.
        format: its format, one of the values of `FORMATS`.
        source: name of the file.
        reading: encoding and language of the document, and maximum sizes; a larger file is rejected.

    Raises:
        RejectedDocument: the file is too large or damaged, is not UTF-8, or is a PDF without text.
        UserError: the file does not exist or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return parse_open_file(file, format, source=source, reading=reading)
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror or error}", where=source) from error


def parse_open_file(file: BinaryIO, format: str, *, source: str, reading: Reading) -> Record:
    """Make a record from an open file; see `parse_file`."""
    limits = reading.limits
    try:
        contents = open_text(file, format, source, reading).read(limits.max_record_bytes + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RejectedDocument(f"the file is damaged: {error}") from error
    if len(contents) > limits.max_record_bytes:
        raise RejectedDocument(too_large("the file", limits.max_record_bytes).reason)
    title, body = _title_and_body(contents, format.removesuffix(GZIP), reading)
    document = make_document(id=source, body=body, title=title, lang=reading.lang, limits=limits)
    return Record(document, source=source)


def _title_and_body(contents: bytes, format: str, reading: Reading) -> tuple[str, str]:
    if format == "pdf":
        return "", pdf_text(contents, reading.limits.max_characters, reading.lang)
    if format == "docx":
        return docx_text(contents, reading.limits)
    if format == "epub":
        return epub_text(contents, reading.limits)
    text = decode(contents)
    if format == "html":
        return html_text(contents)
    if format == "rst":
        return rst_text(text, reading.limits.max_record_bytes)
    return markdown_text(text) if format == "markdown" else ("", text)


def markdown_text(markdown: str) -> tuple[str, str]:
    """Title and plain text of a Markdown document.

    The title is the first heading of level 1. The text leaves out code, images (badges, too) and HTML. Blocks are
    separated by an empty line.
    """
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

    def plain(tokens: list[Token], code: bool) -> str:
        parts = []
        for token in tokens:
            if token.type == "code_inline" and not code:
                parts.append(PHRASE_END)
            elif token.type == "softbreak":
                parts.append("\n")
            elif token.type == "hardbreak":
                parts.append(BLOCK_END)
            elif token.type not in ("html_inline", "image"):
                parts.append(token.content)
        return "".join(parts)

    tokens = MarkdownIt("commonmark").enable("table").parse(_FRONT_MATTER.sub("", markdown))
    title, blocks = "", []
    for before, token in pairwise(tokens):  # an inline token always follows the token that opens its block
        if token.type != "inline":
            continue
        text = plain(token.children or [], code=before.type == "heading_open")
        if not title and before.type == "heading_open" and before.tag == "h1":
            title = text
        elif text.strip():
            blocks.append(text.strip())
    return title, BLOCK_END.join(blocks)
