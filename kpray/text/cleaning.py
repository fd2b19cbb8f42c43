"""Text without markup, addresses and line ends, with offsets that point into the text as given.

`clean` runs passes one after the other. A pass finds `Edit`s: parts of the text and what replaces them. A part that
ends a phrase is replaced by an empty line, which ends a sentence (`kpray.text.words`), or by a comma.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from kpray.text.addresses import address_edits, hashtag_edits, phone_edits
from kpray.text.boilerplate import boilerplate_edits
from kpray.text.characters import character_edits
from kpray.text.code import code_edits
from kpray.text.code_blocks import code_block_edits
from kpray.text.data_words import name_edits, number_edits
from kpray.text.edits import Edit
from kpray.text.html import entity_edits, tag_edits
from kpray.text.latex import latex_edits
from kpray.text.line_ends import line_edits
from kpray.text.mail import mail_edits
from kpray.text.markdown import markdown_edits
from kpray.text.markups import bibtex_edits, forum_edits, front_matter_edits, rst_edits, wiki_edits
from kpray.text.transcripts import sound_edits, transcript_edits

_WORD_CHARACTER = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A cleaned text, and the part of the text as given that each of its characters comes from.

    Attributes:
        text: the cleaned text.
        starts: int32 [characters of `text`], offset in the text as given; None if the text did not change.
        ends: int32 [characters of `text`], one past the last offset; None if the text did not change.
    """

    text: str
    starts: np.ndarray | None = None
    ends: np.ndarray | None = None

    def given_spans(self, spans: np.ndarray) -> np.ndarray:
        """Spans in the text as given.

        Args:
            spans: int32 [spans, 2], start and end in `text`.

        Returns:
            int32 [spans, 2].
        """
        if self.starts is None or self.ends is None or not len(spans):
            return spans
        if not self.text:
            return np.zeros_like(spans)
        first = np.minimum(spans[:, 0], len(self.text) - 1)
        last = np.maximum(spans[:, 1] - 1, first)
        return np.stack([self.starts[first], self.ends[last]], axis=1)


def clean(text: str, lang: str = "en") -> Cleaned:
    """Leave out what is no language: markup, code, data, mathematics, addresses, mail headers; join broken lines.

    An ordinary text does not change. A text that is nothing but markup or addresses keeps them.

    Args:
        text: any text.
        lang: primary code of its language; in English, a word list decides about hyphens at line ends and hashtags.
    """
    characters = _apply(Cleaned(text), character_edits)
    cleaned = characters
    passes: list[Callable[[str], Iterable[Edit]]] = [
        tag_edits,
        entity_edits,
        tag_edits,  # tags that were written as entities
        bibtex_edits,
        latex_edits,
        sound_edits,
        transcript_edits,
        mail_edits,
        front_matter_edits,
        boilerplate_edits,
        rst_edits,
        wiki_edits,
        forum_edits,
        code_block_edits,
        markdown_edits,
        address_edits,
        phone_edits,
        lambda text: hashtag_edits(text, lang),
        number_edits,
        name_edits,
        code_edits,
        lambda text: line_edits(text, lang),
    ]
    for find_edits in passes:
        cleaned = _apply(cleaned, find_edits)
    return cleaned if _WORD_CHARACTER.search(cleaned.text) else characters


def _apply(before: Cleaned, find_edits: Callable[[str], Iterable[Edit]]) -> Cleaned:
    """Apply the edits of one pass; they are in order and do not overlap."""
    edits = list(find_edits(before.text))
    if not edits:
        return before
    starts, ends = before.starts, before.ends
    if starts is None or ends is None:
        starts = np.arange(len(before.text), dtype=np.int32)
        ends = starts + 1
    texts, new_starts, new_ends = [], [], []
    done = 0
    for start, end, replacement in edits:
        texts += [before.text[done:start], replacement]
        # Each character of the replacement comes from all characters that it replaces.
        new_starts += [starts[done:start], np.full(len(replacement), starts[start], dtype=np.int32)]
        new_ends += [ends[done:start], np.full(len(replacement), ends[end - 1], dtype=np.int32)]
        done = end
    return Cleaned(
        "".join([*texts, before.text[done:]]),
        np.concatenate([*new_starts, starts[done:]]),
        np.concatenate([*new_ends, ends[done:]]),
    )
