"""Files with one document each: text, Markdown, reStructuredText, HTML, DOCX, EPUB and PDF."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import BinaryIO, cast

from kpray.corpus.encodings import as_utf8, detect_unnamed, first_bytes
from kpray.corpus.fields import check_length, decode, make_document
from kpray.corpus.items import too_large
from kpray.corpus.limits import AUTO_ENCODING, Reading
from kpray.corpus.markup import html_text, rst_text
from kpray.corpus.packages import docx_text, epub_text
from kpray.corpus.pdf import pdf_text
from kpray.corpus.sources import GZIP, TEXT_FORMATS, Source
from kpray.document import Record
from kpray.errors import RejectedDocument, UserError
from kpray.log import say
from kpray.storage import CONCURRENT_READS, Location, location, reason_of
from kpray.text.edits import BLOCK_END, PHRASE_END

_SAMPLED_FILES = 1000
# Front matter must start with a field; otherwise it is ordinary text between two horizontal rules.
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?=[\w-]+[ \t]*:).*?^(---|\.\.\.)[ \t]*\r?$", re.DOTALL | re.MULTILINE)


def open_text(file: BinaryIO, format: str, name: str, reading: Reading) -> BinaryIO:
    """The contents of an open file: unpacked if they are compressed, and as UTF-8 if they are text."""
    if format.removesuffix(GZIP) not in TEXT_FORMATS:
        return _unpacked(file, format)
    sample = first_bytes(_unpacked(file, format))
    return as_utf8(_unpacked(file, format), sample, reading.encoding, name)


def _unpacked(file: BinaryIO, format: str) -> BinaryIO:
    """The contents from the start. Closing them does not close the file if it is compressed."""
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if format.endswith(GZIP) else file


def say_encodings(sources: Sequence[Source], reading: Reading) -> None:
    """Say which encodings the files seem to have that are not UTF-8, for a job whose workers cannot say it."""
    texts = [source for source in sources if source.format.removesuffix(GZIP) in TEXT_FORMATS][:_SAMPLED_FILES]
    if reading.encoding != AUTO_ENCODING or not texts:
        return
    with ThreadPoolExecutor(CONCURRENT_READS) as pool:
        found = Counter(name for name in pool.map(_encoding_name, texts) if name)
    if found:
        names = ", ".join(f"{name} ({number:,})" for name, number in found.most_common())
        text = f"{found.total():,} of {len(texts):,} files are not UTF-8; read as {names} (--encoding names another)"
        say("encoding", text, encodings=dict(found))


def _encoding_name(source: Source) -> str:
    try:
        with location(source.path).open("rb") as file:
            return detect_unnamed(first_bytes(_unpacked(file, source.format)))[1]
    except OSError as error:
        raise UserError(f"the file cannot be read: {reason_of(error)}", where=source.name) from error


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
    contents = file.read(limits.max_record_bytes + 1)
    try:
        if len(contents) <= limits.max_record_bytes:
            contents = open_text(io.BytesIO(contents), format, source, reading).read(limits.max_record_bytes + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RejectedDocument(f"the file is damaged: {error}") from error
    if len(contents) > limits.max_record_bytes:
        raise RejectedDocument(too_large("the file", limits.max_record_bytes).reason)
    title, body = _title_and_body(contents, format.removesuffix(GZIP), reading)
    document = make_document(id=source, body=body, title=title, lang=reading.lang, limits=limits)
    return Record(document, source=source)


def _title_and_body(contents: bytes, format: str, reading: Reading) -> tuple[str, str]:
    if format == "pdf":
        limits = reading.limits
        text = pdf_text(contents, reading.lang, max_characters=limits.max_characters, max_seconds=limits.max_seconds)
        return "", text
    if format == "docx":
        return docx_text(contents, reading.limits)
    if format == "epub":
        return epub_text(contents, reading.limits)
    text = decode(contents)
    if format == "html":
        return html_text(contents)
    if format == "rst":
        check_length(text, reading.limits)  # before it is parsed: docutils takes 10 s for a million characters
        return rst_text(text, reading.limits.max_characters)
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
