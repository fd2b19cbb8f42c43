"""Punctuation at the edges of a phrase that a model cut out of a text."""

from __future__ import annotations

import regex

_CLOSING = dict(zip("([{（［《〈「『【", ")]}）］》〉」』】", strict=True))
# Punctuation, spaces, and the ASCII signs that are used as punctuation. Underscores belong to names, as in __init__.
_MARK = regex.compile(r"(?V1)[[\p{P}\s+<=>|~^`×]--[_]]")
# Marks that belong to the word before them: C++, Ca2+; C#, A* (one letter); 95%; and the last dot of U.S. and Ph.D.
_KEPT = regex.compile(r"(?:[\w)\]]\+|\w\+\+|\b\p{L}[#*]|\d%|\b(?:\p{L}{1,3}\.){2,})\Z")
_LONGEST_KEPT = 16  # characters before the edge that decide
# Marks that continue the word before them, where the model cut between them.
_CONTINUED = regex.compile(r"(?<=\b\p{L})(?:\+\+|#)(?!\w)|(?<=\b(?:\p{L}{1,3}\.)+\p{L}{1,3})\.")


def phrase_span(text: str, start: int, end: int) -> tuple[int, int]:
    """The span of a phrase without the punctuation around it, but with the marks that belong to its words.

    "Karnik-" becomes "Karnik", and "(fuzzy logic)" becomes "fuzzy logic". "C++", "U.S.", ".NET" and "f(x)" stay. "C"
    becomes "C++" where the text has "C++", and "NET" becomes ".NET".

    Args:
        text: the text.
        start: offset of the phrase's first character.
        end: offset after its last character.

    Returns:
        The new span. It is empty if the phrase has only punctuation.
    """
    start, end = _without_marks(text, start, end)
    if start == end:
        return start, end
    if start and _is_name_dot(text, start - 1):
        start -= 1
    if continued := _CONTINUED.match(text, end):
        end = continued.end()
    elif end < len(text) and any(
        text[index] in _CLOSING and _partner(text, index, end + 1) == end for index in range(start, end)
    ):
        end += 1
    return start, end


def trim_phrase(phrase: str) -> str:
    """A generated phrase without the punctuation around it, but with the marks that belong to its words."""
    start, end = _without_marks(phrase, 0, len(phrase))
    return phrase[start:end]


def _without_marks(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end:
        if _MARK.match(text[end - 1]) and not _belongs_to_the_end(text, start, end):
            end -= 1
        elif _MARK.match(text[start]) and not _belongs_to_the_start(text, start, end):
            # A bracket that encloses the whole phrase is dropped together with its partner.
            end -= _partner(text, start, end) == end - 1
            start += 1
        else:
            break
    return start, end


def _belongs_to_the_start(text: str, start: int, end: int) -> bool:
    if text[start] in _CLOSING:
        return (_partner(text, start, end) or end) < end - 1
    return _is_name_dot(text, start)


def _belongs_to_the_end(text: str, start: int, end: int) -> bool:
    if text[end - 1] in _CLOSING.values():
        return any(text[index] in _CLOSING and _partner(text, index, end) == end - 1 for index in range(start, end))
    return _KEPT.search(text, max(start, end - _LONGEST_KEPT), end) is not None


def _is_name_dot(text: str, index: int) -> bool:
    """Whether a dot begins a name, as in ".NET": it is between white space and a letter."""
    return text[index] == "." and text[index + 1 : index + 2].isalpha() and (index == 0 or text[index - 1].isspace())


def _partner(text: str, opening: int, end: int) -> int | None:
    """Index of the bracket before `end` that closes the one at `opening`."""
    depth = 0
    for index in range(opening, end):
        if text[index] == text[opening]:
            depth += 1
        elif text[index] == _CLOSING.get(text[opening]):
            depth -= 1
            if not depth:
                return index
    return None
