"""Text of PDF files."""

from __future__ import annotations

import ctypes
import sys
import threading
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from kpray.corpus.pdf_layout import Line, Page, block_ends, running_lines
from kpray.errors import RejectedDocument
from kpray.text.detection import document_language
from kpray.text.languages import primary_language
from kpray.text.line_ends import heading_breaks, hyphen_edits

if TYPE_CHECKING:
    import pypdfium2

_SOFT_HYPHEN = "\u00ad"
_HYPHENS = ("-", "\u2010", _SOFT_HYPHEN)
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_PASSWORD_ERROR = 4
_LINE_HYPHEN = 2  # PDFium's code for a hyphen at a line end; the line break after it is missing
_STAMP_CHARACTERS = 200  # a scanned page with fewer has a stamp, not the text of an OCR
_SCAN_SHARE = 0.5  # of the page that an image covers
_LONG_WORD = 13  # characters; a longer word may be several, with narrow gaps between them
_NARROW_GAP = 0.07  # of the line's height, more than the gap between two letters of a word
_WIDE_GAP = 2.0  # of the line's height: a gap between columns or cells
_CHECKED = 5000  # characters
_MOST_SYMBOLS = 0.2  # share of characters such as dingbats, which a font without a table of letters gives
_lock = threading.Lock()  # PDFium must not be called from two threads at once


def pdf_text(contents: bytes, max_characters: int, lang: str) -> str:
    """Text of all pages of a PDF without its line breaks; words that were hyphenated at a line break are joined.

    Running headers and footers are left out. An empty line separates headings, the lines of the title block, and
    paragraphs from each other. Reading stops after the page with which the text exceeds `max_characters`.

    Raises:
        RejectedDocument: the PDF is damaged, needs a password, or has no text.
    """
    with _lock:
        pages = _read_pages(contents, max_characters)
    running = running_lines(pages)
    lines: list[Line] = []
    for number, page in enumerate(pages):
        lines += [line for index, line in enumerate(page.lines) if (number, index) not in running]
    scans = sum(page.scan for page in pages)
    if not lines and not scans:  # pages with the same text are no headers
        lines = [line for page in pages for line in page.lines]
    texts = [line.text for line in lines]
    characters = sum(map(len, texts))
    if scans and characters < _STAMP_CHARACTERS * scans and all(page.scan or not page.lines for page in pages):
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


def _read_pages(contents: bytes, max_characters: int) -> list[Page]:
    import pypdfium2

    pages: list[Page] = []
    characters = 0
    try:
        document = pypdfium2.PdfDocument(contents)
        try:
            for page in document:
                pages.append(_read_page(page, len(pages)))
                page.close()
                characters += sum(len(line.text) for line in pages[-1].lines)
                if characters > max_characters:
                    break
        finally:
            document.close()
    except pypdfium2.PdfiumError as error:
        if error.err_code == _PASSWORD_ERROR:
            raise RejectedDocument("the PDF is protected by a password") from error
        raise RejectedDocument(f"the PDF cannot be read: {str(error)[:200]}") from error
    return pages


def _read_page(page: pypdfium2.PdfPage, number: int) -> Page:
    textpage = page.get_textpage()
    lines = [line for line in _Characters(textpage, number).lines() if line.text.strip()]
    textpage.close()
    upright = [line for line in lines if line.upright]
    if len(upright) > len(lines) / 2:  # the others are stamps at the margin, watermarks or labels of axes
        lines = upright
    few = sum(len(line.text) for line in lines) < _STAMP_CHARACTERS
    return Page(lines, bottom=page.get_bbox()[1], top=page.get_bbox()[3], scan=few and _is_scan(page))


def _is_scan(page: pypdfium2.PdfPage) -> bool:
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

    width, height = page.get_size()
    for image in page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = image.get_bounds()
        if (right - left) * (top - bottom) > _SCAN_SHARE * width * height:
            return True
    return False


class _Characters:
    """The characters of a page with their boxes."""

    def __init__(self, textpage: pypdfium2.PdfTextPage, number: int) -> None:
        from pypdfium2 import raw

        self._raw, self._page, self._number = raw, textpage, number
        self.codes = [raw.FPDFText_GetUnicode(textpage, index) for index in range(textpage.count_chars())]
        self._rectangle = raw.FS_RECTF()

    def box(self, index: int) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of a character, with the space that its font gives it."""
        box = self._rectangle
        self._raw.FPDFText_GetLooseCharBox(self._page, index, ctypes.byref(box))
        return box.left, box.bottom, box.right, box.top

    def lines(self) -> Iterator[Line]:
        start = 0
        for index, code in enumerate([*self.codes, 10]):
            if code == _LINE_HYPHEN or code in (10, 13):
                end = index + (code == _LINE_HYPHEN)
                yield from self._line(start, end)
                start = index + 1

    def _line(self, start: int, end: int) -> Iterator[Line]:
        """The line of these characters; several, if there are wide gaps in it."""
        shown = [index for index in range(start, end) if self.codes[index] > 32 or self.codes[index] == _LINE_HYPHEN]
        if not shown:
            return
        boxes = [self.box(index) for index in (shown[0], shown[len(shown) // 2], shown[-1])]
        height = median(top - bottom for _, bottom, _, top in boxes) or 1.0
        bottom, top = median(box[1] for box in boxes), median(box[3] for box in boxes)
        upright = abs(self._raw.FPDFText_GetCharAngle(self._page, shown[0])) < 0.1
        cells = [shown[:1]]
        for before, after in pairwise(shown):
            if after > before + 1 and self.box(after)[0] - self.box(before)[2] > _WIDE_GAP * height:
                cells.append([])
            cells[-1].append(after)
        for cell in cells:
            yield Line(self._words(cell, height), bottom, top, height, self._number, upright)

    def _words(self, cell: list[int], height: float) -> str:
        """Text of a cell, also with spaces at narrow gaps that PDFium takes for parts of a word."""
        codes = [self.codes[index] for index in cell]
        characters = ["-" if code == _LINE_HYPHEN else chr(min(code, sys.maxunicode)) for code in codes]
        spaced = [after > before + 1 for before, after in pairwise(cell)]
        text = characters[0] + "".join(
            " " * space + character for space, character in zip(spaced, characters[1:], strict=True)
        )
        if max(map(len, text.split())) < _LONG_WORD:
            return text
        boxes = [self.box(index) for index in cell]
        gaps = [(after[0] - before[2]) / height for before, after in pairwise(boxes)]
        inside = [gap for gap, space in zip(gaps, spaced, strict=True) if not space]
        usual = median(inside) if inside else 0.0
        narrow = [not space and gap > usual + _NARROW_GAP for gap, space in zip(gaps, spaced, strict=True)]
        if sum(narrow) > len(narrow) / 3:  # the font's widths are wrong, or the letters are spaced
            return text
        return characters[0] + "".join(
            " " * (space or gap) + character
            for space, gap, character in zip(spaced, narrow, characters[1:], strict=True)
        )
