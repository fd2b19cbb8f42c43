"""Files with one document each: text, Markdown and PDF."""

from __future__ import annotations

import re
from itertools import pairwise

from kpray.corpus.fields import decode, make_document
from kpray.corpus.items import too_large
from kpray.corpus.limits import Limits
from kpray.corpus.pdf import pdf_text
from kpray.document import Record
from kpray.errors import RejectedDocument, UserError
from kpray.storage import Location
from kpray.text.edits import BLOCK_END, PHRASE_END

# Front matter must start with a field; otherwise it is ordinary text between two horizontal rules.
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?=[\w-]+[ \t]*:).*?^(---|\.\.\.)[ \t]*\r?$", re.DOTALL | re.MULTILINE)


def parse_file(path: Location, format: str, *, source: str, lang: str, limits: Limits) -> Record:
    """Read a file that is one document; the document's id is the name of the file.

    Args:
        path: the file.
        format: "text", "markdown" or "pdf".
        source: name of the file.
        lang: language of the document.
        limits: maximum sizes; a larger file is rejected.

    Raises:
        RejectedDocument: the file is too large or damaged, is not UTF-8, or is a PDF without text.
        UserError: the file does not exist or cannot be read.
    """
    try:
        with path.open("rb") as file:
            contents = file.read(limits.max_record_bytes + 1)
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror or error}", where=source) from error
    return parse_contents(contents, format, source=source, lang=lang, limits=limits)


def parse_contents(contents: bytes, format: str, *, source: str, lang: str, limits: Limits) -> Record:
    """Make a record from the contents of a file; see `parse_file`."""
    if len(contents) > limits.max_record_bytes:
        raise RejectedDocument(too_large("the file", limits.max_record_bytes).reason)
    title, body = "", ""
    if format == "pdf":
        body = pdf_text(contents, limits.max_characters, lang)
    elif format == "markdown":
        title, body = markdown_text(decode(contents))
    else:
        body = decode(contents)
    return Record(make_document(id=source, body=body, title=title, lang=lang, limits=limits), source=source)


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
