"""Words of languages that are written without spaces."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files
from itertools import pairwise

from kpray.text.words import Words, words_from_spans

_LATIN = re.compile(r"[A-Za-z0-9]")


@cache
def budoux_segmenter(model: str) -> Callable[[str], list[str]]:
    """A model of BudouX: text -> its pieces."""
    from budoux import Parser

    weights = json.loads(files("budoux").joinpath(f"models/{model}.json").read_text("utf-8"))
    segment: Callable[[str], list[str]] = Parser(weights).parse
    return segment


def split_chinese(text: str) -> Words:
    """Split a text into words by rjieba."""
    import rjieba

    return words_from_spans(text, _spans(rjieba.cut(text)))


def split_pieces(text: str, pieces: Iterable[str]) -> Words:
    """Words from the pieces that a text was split into, with a new sentence after each space.

    Japanese and Thai have a space only where a clause ends, or between Latin words, which end no sentence.
    """
    spans = _spans(pieces)
    words = words_from_spans(text, spans)
    spaced = {
        index
        for index, ((_, end), (start, _)) in enumerate(pairwise(spans), 1)
        if end < start and not (_LATIN.match(text[end - 1]) and _LATIN.match(text[start]))
    }
    return Words(words.texts, words.spans, sorted(spaced.union(words.sentences)))


def _spans(pieces: Iterable[str]) -> list[tuple[int, int]]:
    spans, start = [], 0
    for piece in pieces:
        if word := piece.strip():
            first = start + piece.index(word)
            spans.append((first, first + len(word)))
        start += len(piece)
    return spans
