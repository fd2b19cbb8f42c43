"""Acronyms that an English text explains: "fuzzy logic system (FLS)", "IoT (internet of things)"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kpray.text.general_words import STOP_WORDS

MAX_ACRONYM = 10
_PIECE = re.compile(r"[^\s\-‐‑–]+")
_ACRONYM = re.compile(r"[A-Z][A-Za-z0-9]*[A-Z0-9]")


def find_definitions(words: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Find the explained acronyms.

    Args:
        words: the words of the document.

    Returns:
        For each explanation, the acronym, and the first word and one past the last word of its expansion.
    """
    for index, word in enumerate(words):
        if word != "(" or index + 2 >= len(words):
            continue
        if words[index + 2] == ")" and _is_acronym(words[index + 1]):
            acronym = words[index + 1]
            spans = [(start, index) for start in range(index - 1, max(-1, index - 2 * len(acronym)), -1)]
        elif index and _is_acronym(words[index - 1]):
            acronym = words[index - 1]
            longest = index + 1 + 2 * len(acronym)
            spans = [(index + 1, words.index(")", index))] if ")" in words[index:longest] else []
        else:
            continue
        for start, end in spans:
            if _spell(words[start:end], acronym.removesuffix("s").lower()):
                yield acronym, start, end
                break


def _is_acronym(word: str) -> bool:
    return len(word) <= MAX_ACRONYM and _ACRONYM.fullmatch(word.removesuffix("s")) is not None


def _spell(words: Sequence[str], acronym: str) -> bool:
    """Whether an acronym consists of the initials of the words. Stop words may have none, and `ex` may give an x."""
    if not words or words[0].lower() in STOP_WORDS:
        return False
    pattern = ""
    for piece in [piece for word in words for piece in _PIECE.findall(word.lower())]:
        if not piece[0].isalnum():
            return False
        initials = {"to": "[t2]", "for": "[f4]"}.get(piece, "[ex]" if piece.startswith("ex") else piece[0])
        pattern += f"{initials}?" if piece in STOP_WORDS else initials
    return re.fullmatch(pattern, acronym) is not None
