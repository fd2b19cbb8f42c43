"""Text of PDF files."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence

from kpray.corpus.pdf_layout import Line, block_ends, running_lines
from kpray.corpus.pdf_pages import STAMP_CHARACTERS, read_pages
from kpray.errors import RejectedDocument
from kpray.text.detection import document_language
from kpray.text.languages import primary_language
from kpray.text.line_ends import heading_breaks, hyphen_edits

_SOFT_HYPHEN = "\u00ad"
_HYPHENS = ("-", "\u2010", _SOFT_HYPHEN)
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_CHECKED = 5000  # characters
_MOST_SYMBOLS = 0.2  # share of characters such as dingbats, which a font without a table of letters gives


def pdf_text(contents: bytes, lang: str, *, max_characters: int, max_seconds: int) -> str:
    """Text of all pages of a PDF without its line breaks; words that were hyphenated at a line break are joined.

    Running headers and footers are left out. An empty line separates headings, the lines of the title block, and
    paragraphs from each other. Reading stops after the page with which the text exceeds `max_characters`.

    Raises:
        RejectedDocument: the PDF has no text, or see `read_pages`.
    """
    pages = read_pages(contents, max_characters, max_seconds)
    running = running_lines(pages)
    lines: list[Line] = []
    for number, page in enumerate(pages):
        lines += [line for index, line in enumerate(page.lines) if (number, index) not in running]
    scans = sum(page.scan for page in pages)
    if not lines and not scans:  # pages with the same text are no headers
        lines = [line for page in pages for line in page.lines]
    texts = [line.text for line in lines]
    characters = sum(map(len, texts))
    if scans and characters < STAMP_CHARACTERS * scans and all(page.scan or not page.lines for page in pages):
        stamp = " ".join(line.text for line in lines or pages[0].lines)[:60].strip()
        note = f"; its only text is a stamp: {stamp!r}" if stamp else ""
        raise RejectedDocument(f"the pages of the PDF are scans{note}; run OCR first")
    text = join_lines(texts, lang, block_ends(lines))
    if not text:
        raise RejectedDocument("the PDF has no text; if its pages are scans, run OCR first")
    symbols = sum(unicodedata.category(character) in ("So", "Co", "Cn") for character in text[:_CHECKED])
    if symbols > _MOST_SYMBOLS * len(text[:_CHECKED]):
        raise RejectedDocument("the fonts of the PDF do not say which letters they show; run OCR first")
    return text


def join_lines(lines: Sequence[str], lang: str, ends: Collection[int] = ()) -> str:
    r"""Join lines into one, except at the end of a block, and join words that were hyphenated at a line break.

    `rein-`, `forcement` becomes `reinforcement`; see `hyphen_edits` for hyphens that stay. Ligatures become letters.

    Args:
        lines: the lines; blank ones are left out.
        lang: language of the text; `auto`: detected.
        ends: indices of lines that end a block. The ends of headings are found, too. An empty line follows them.
    """
    lines = [_valid(line).translate(_LIGATURES).strip() for line in lines]
    kept = [(line, index in ends) for index, line in enumerate(lines) if line]
    if not kept:
        return ""
    heading = [*heading_breaks([line for line, _ in kept]), False]
    text = "".join(
        line + ("\n\n" if (end or head) and not line.endswith(_HYPHENS) else "\n")
        for (line, end), head in zip(kept, heading, strict=True)
    )
    text = text.replace(_SOFT_HYPHEN + "\n", "").replace(_SOFT_HYPHEN, "")
    parts, done = [], 0
    for start, end, replacement in hyphen_edits(text, primary_language(document_language(lang, text)[0])):
        parts += [text[done:start], replacement]
        done = end
    paragraphs = [" ".join(paragraph.split()) for paragraph in "".join([*parts, text[done:]]).split("\n\n")]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _valid(text: str) -> str:
    """The text without the lone surrogates that some fonts give."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
