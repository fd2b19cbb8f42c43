"""The layout of a PDF: lines that repeat on its pages, and lines that end a block."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

_MARGIN = 0.15  # of a page's height; running headers and footers are in it
_EDGE_LINES = 3  # that a running header or footer may have
_REPEATED = 3  # pages; all pages of a document with fewer
_NUMBER = re.compile(r"(?<!\d)\d{1,6}(?!\d)")
_ROMAN = re.compile(r"[ivxlc]+")
_OTHER_SIZE = 1.12  # ratio of the heights of a heading and of running text
_PARAGRAPH_GAP = 1.35  # ratio of the distance between two paragraphs and of that between two lines
_LIST_ITEM = re.compile(r"[•‣◦▪●■–·]\s*\S")
_ABSTRACT = re.compile(
    r"(?:abstract|summary|introduction|zusammenfassung|kurzfassung|r[ée]sum[ée]|resumen|resumo|sommario)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page, or one of the cells of a line.

    Attributes:
        text: its characters; a hyphen at its end may be that of a broken word.
        bottom: lower edge of its letters, from the bottom of the page, in points.
        top: upper edge.
        height: height of its font.
        page: number of its page, from 0.
        upright: whether its letters are not rotated.
    """

    text: str
    bottom: float
    top: float
    height: float
    page: int = 0
    upright: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        lines: the lines in the order in which they are read.
        bottom: lower edge of the page in points.
        top: upper edge.
        scan: whether it is an image with hardly any text.
    """

    lines: Sequence[Line]
    bottom: float
    top: float
    scan: bool = False


def running_lines(pages: Sequence[Page]) -> set[tuple[int, int]]:
    """Headers and footers that repeat on the pages, as (page, line) indices.

    A line repeats if its text is the same, also if a number in it counts the pages. Where the text differs, such as
    the title of a section, it is a header if it begins or ends with the number of the page.
    """
    repeated = max(2, min(_REPEATED, len(pages)))
    numbered = max(_REPEATED, len(pages) // 4)
    found: dict[Hashable, set[tuple[int, int]]] = defaultdict(set)  # a key that running lines share -> the lines
    needed: dict[Hashable, int] = {}
    for number, page in enumerate(pages):
        for side, index in _edge_lines(page):
            text = " ".join(page.lines[index].text.lower().split())
            # The title of a paper is also its running header, in smaller letters.
            where = (side, round(page.lines[index].height))
            keys: dict[Hashable, int] = {(where, "roman" if _ROMAN.fullmatch(text) else text): repeated}
            words = _NUMBER.sub("#", text)
            for position, match in enumerate(_NUMBER.finditer(text)):
                offset = int(match[0]) - number
                keys[where, words, position, offset] = repeated
                if match.start() == 0 or match.end() == len(text):
                    keys[side, offset] = numbered
            for key in keys:
                found[key].add((number, index))
            needed |= keys
    return set().union(*(lines for key, lines in found.items() if len({page for page, _ in lines}) >= needed[key]))


def _edge_lines(page: Page) -> Iterator[tuple[str, int]]:
    """The outermost lines in the margins of a page: their side and index."""
    margin = _MARGIN * (page.top - page.bottom)
    bottoms = sorted({round(line.bottom) for line in page.lines})
    lowest, highest = bottoms[:_EDGE_LINES], bottoms[-_EDGE_LINES:]
    for index, line in enumerate(page.lines):
        if line.bottom > page.top - margin and round(line.bottom) in highest:
            yield "top", index
        elif line.top < page.bottom + margin and round(line.bottom) in lowest:
            yield "bottom", index


def block_ends(lines: Sequence[Line]) -> set[int]:
    """Indices of the lines that end a block: a cell, heading, paragraph, list item, or line of the title block.

    Args:
        lines: lines of all pages in the order in which they are read.
    """
    steps = [before.bottom - after.bottom for before, after in pairwise(lines)]
    ratios = (step / line.height for step, line in zip(steps, lines, strict=False))
    down = [ratio for ratio in ratios if 0.5 < ratio < 3]
    usual = median(down) if down else 0.0
    ends = set(_title_block_ends(lines))
    in_row = False
    for index, (before, after, step) in enumerate(zip(lines, lines[1:], steps, strict=False)):
        ratio = max(before.height, after.height) / min(before.height, after.height)
        same_line = before.page == after.page and abs(step) < 0.3 * before.height
        paragraph = before.page == after.page and step > _PARAGRAPH_GAP * max(usual, 0.8) * before.height
        if ratio > _OTHER_SIZE or same_line or in_row or paragraph or _LIST_ITEM.match(after.text):
            ends.add(index)
        in_row = same_line
    return ends


def _title_block_ends(lines: Sequence[Line]) -> Iterator[int]:
    """The lines above the abstract of a paper: each is a block, but a title of several lines is one."""
    first = next((index for index, line in enumerate(lines[:60]) if _ABSTRACT.match(line.text.strip())), None)
    if first is None:
        return
    title = max((line.height for line in lines[:first]), default=0.0)
    for index in range(first):
        is_title = index + 1 < first and min(lines[index].height, lines[index + 1].height) > title / 1.02
        if not is_title or title <= 1.05 * median(line.height for line in lines):
            yield index
    if len(lines[first].text.split()) <= 2:
        yield first
