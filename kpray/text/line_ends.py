"""Line breaks: which of them end a phrase, and which words were hyphenated at one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kpray.text.detection import AUTO, document_language
from kpray.text.edits import BLOCK_END, Edit
from kpray.text.english_words import is_compound

_PARAGRAPH = re.compile(r"\S[^\n]*(?:\n[^\S\n]*[^\s][^\n]*)*")
# A list item, a row of a table, or a field such as "Name: value" of its own.
_MARKER = re.compile(r"\s*(?:[-*+•‣◦▪●■○◆◇►▶➢➤★–—·»→]\s+\S|[☐☑✓✔]|\(?(?:\d{1,3}|[a-z]|[ivx]{1,5})[.)]\s+\S|\||#+\s)")
_TITLES = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|Prof|St)\. ")
_NUMBERING = re.compile(
    r"[ \d.)]*(?:(?:Chapter|Section|Part|Step|Appendix|Figure|Fig\.|Table|Lesson|Unit|Day|Week) \w{1,6}[:.]?)?\s*",
    re.IGNORECASE,
)
_FIELD = re.compile(r"\s*[A-Z][\w /-]{0,25}:(?:\s|$)")
_CELL = re.compile(r"(?<=[^\s.!?:])(?:[^\S\n]*\t[^\S\n]*|[ ]{3,})(?=\S)")
_HYPHEN = re.compile(r"(?<![\w-])((?:\w[\w'’]*[-‐])*)(\w+)([-‐\u00ad])[^\S\n]*\n[^\S\n]*(?=(\w+))")
_SPELLING = re.compile(r"\w+(?:[-‐]\w+)*+")
_SENTENCE_INSIDE = re.compile(r"[,;.!?:]\s+\w")
_SENTENCE_BREAK = re.compile(r"[.!?]\s+\w")
_SENTENCE_END = re.compile(r"[.!?;:。！？…,)\]\"'”’-]\s*\Z")
_TERMINAL = re.compile(r"[.!?:。！？…][\"'”’)\]]*\s*\Z")
#: Words that a line of running text begins or ends with, and an item of a list does not.
_INNER_WORDS = frozenset(
    """
    a an and are as at be but by for from has have in into is it its of on or that the their these this those to
    was were which who with der die das den dem des ein eine und oder von zu mit im ist le la les un une des du de
    et ou est en el los las y o del que il lo gli e di da per com os ao na no do dos
    """.split()
)
_NARROW = 40  # running text has longer lines, a list of names has not
_SHORT = 60
_MAX_NAME_WORDS = 5
_MIN_PART = 3  # a shorter part is a syllable


def line_edits(text: str, lang: str) -> Iterator[Edit]:
    """Join hyphenated line ends, and put an empty line where a line break ends a phrase."""
    if "\n" not in text and "\t" not in text and "   " not in text:
        return
    hyphens = {text.index("\n", edit.start): edit for edit in hyphen_edits(text, lang)}
    for paragraph in _PARAGRAPH.finditer(text):
        yield from _paragraph_edits(text, *paragraph.span(), hyphens)


def _paragraph_edits(text: str, start: int, end: int, hyphens: dict[int, Edit]) -> Iterator[Edit]:
    lines = text[start:end].split("\n")
    ends = phrase_ends(lines)
    cells = [bool(_CELL.search(line.strip())) for line in lines]
    offset = start
    for index, line in enumerate(lines):
        # Columns: this line and one next to it have gaps.
        if cells[index] and any(cells[max(0, index - 1) : index] + cells[index + 1 : index + 2]):
            lead = len(line) - len(line.lstrip())
            for cell in _CELL.finditer(line.rstrip(), lead):
                yield Edit(offset + cell.start(), offset + cell.end(), BLOCK_END)
        offset += len(line)
        if index + 1 == len(lines):
            break
        if offset in hyphens:
            yield hyphens[offset]
        elif ends[index] or (cells[index] and cells[index + 1]):
            yield Edit(offset, offset + 1, BLOCK_END)
        offset += 1


def phrase_ends(lines: list[str]) -> list[bool]:
    """For each line of a paragraph but the last, whether its line break ends a phrase.

    It does at list items, at table rows, between fields, and after a heading (see `heading_breaks`). In a list of short
    names all line breaks do, and in short lines that all begin with a capital.
    """
    words = [line.split() for line in lines]
    listed = (
        max(map(len, lines)) <= _NARROW
        and all(map(_is_name, words, lines))
        and not any(_SENTENCE_END.search(line) for line in lines[lines[0].rstrip().endswith(":") : -1])
    )
    marked = [bool(_MARKER.match(line)) for line in lines]
    if any(marked) and not all(marked[lines[0].rstrip().endswith(":") :]):
        listed = False  # an item goes on in a line without a mark
    if listed and (len(lines) > 2 or not words[-1][0][0].islower()):
        return [True] * (len(lines) - 1)
    if len(lines) > 2 and all(map(_is_short, words, lines)):
        return [True] * (len(lines) - 1)
    return [
        heading
        or bool(_MARKER.match(after))
        or bool(_FIELD.match(before) and _FIELD.match(after))
        or before.lstrip().startswith("|")
        or before.isupper() != after.isupper()
        for heading, before, after in zip(heading_breaks(lines), lines, lines[1:], strict=False)
    ]


def _is_name(words: list[str], line: str) -> bool:
    inner = any(word.lower() in _INNER_WORDS and not word.isupper() for word in (words[0], words[-1]))
    return len(words) <= _MAX_NAME_WORDS and not inner and not _SENTENCE_INSIDE.search(_TITLES.sub("", line))


def _is_short(words: list[str], line: str) -> bool:
    """Whether a line may be an item or a sentence of its own: it begins with a capital, and no sentence ends inside."""
    inside = _SENTENCE_BREAK.search(_TITLES.sub("", line[_after_number(line) :]))
    return len(line) <= _SHORT and not words[0][0].islower() and words[-1].lower() not in _INNER_WORDS and not inside


def heading_breaks(lines: list[str]) -> list[bool]:
    """For each line but the last, whether it is a heading or an item: a line that is not part of running text.

    Such a line begins after a line that ends a sentence or after another heading, and it has no sentence end inside.
    The first word of the next line begins with a capital and would still fit; wrapped text fills its lines.
    """
    widths = [len(line.rstrip()) for line in lines]
    widest = _full_width(widths)
    found: list[bool] = []
    fresh = True
    for width, before, after in zip(widths, lines, lines[1:], strict=False):
        words, first = before.split(), after.split()[0]
        found.append(
            fresh
            and not words[0][0].islower()
            and not first[0].islower()
            and words[-1].lower() not in _INNER_WORDS
            and not _SENTENCE_INSIDE.search(before[_after_number(before) :])
            and width + 1 + len(first) <= widest
        )
        fresh = found[-1] or bool(_TERMINAL.search(before))
    return found


def _after_number(line: str) -> int:
    """Offset after the number of a heading: `2.1 `, `Chapter 3: `."""
    match = _NUMBERING.match(line)
    return match.end() if match else 0


def _full_width(widths: list[int]) -> int:
    """Width of the longest lines; in a long text a tenth may be longer, such as a title over two columns."""
    return sorted(widths)[len(widths) - 1 - len(widths) // 10]


def hyphen_edits(text: str, lang: str) -> Iterator[Edit]:
    """Join words that were hyphenated at a line end; the hyphen of a compound (`long-term`) stays.

    Args:
        text: any text. A spelling that occurs elsewhere in it decides.
        lang: primary code of its language, or `auto`; in English, a list of words decides about spellings that occur
            only once.
    """
    matches = list(_HYPHEN.finditer(text))
    if lang == AUTO and matches:
        lang, _ = document_language(lang, text)
    spellings = {word.lower().replace("‐", "-") for word in _SPELLING.findall(text)} if matches else set()
    for match in matches:
        yield Edit(match.start(3) + _keeps_hyphen(match, spellings, lang), match.end(), "")


def _keeps_hyphen(match: re.Match[str], spellings: set[str], lang: str) -> bool:
    before, after = match[2], match[4]
    if match[3] == "\u00ad":
        return False
    if match[1] or not after[0].islower() or not before[-1].isalpha() or before.isupper():
        return True  # state-of-the-art, Kullback-Leibler, COVID-19, MRI-based
    before, after = before.lower(), after.lower()
    if before + after in spellings:
        return False
    if f"{before}-{after}" in spellings:
        return True
    return lang == "en" and min(len(before), len(after)) >= _MIN_PART and is_compound(before, after)
