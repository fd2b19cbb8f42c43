"""Words with character offsets, and the sentences they stand in; needs no data and no model."""

from __future__ import annotations

import re
from dataclasses import dataclass

import regex

# One alternative per kind of word, first match wins:
#   -LRB-        a bracket as the Penn Treebank writes it
#   does|n't     the negation apart from its verb, as the Penn Treebank has it
#   's           likewise the other clitics
#   C++, F#      names of languages
#   peer-to-peer hyphens, dots, slashes, ampersands inside a word keep it whole
#   .            any other character that is not white space
# A letter may carry marks (vowel signs of Hindi, accents written apart) and joiners (Persian), which `re` would split.
_WORD = regex.compile(
    r"-[LR][RSC]B-"
    r"|[\w\p{M}\u200c\u200d]+?(?=n['’]t\b)|n['’]t\b"
    r"|['’](?:s|re|ve|ll|d|m)\b"
    r"|\w[\w\p{M}\u200c\u200d]*(?:[-‐‑./&+]\w[\w\p{M}\u200c\u200d]*)*(?:\+\+|\#)?"
    r"|[^\w\s\x1c-\x1f]",  # the last are white space to `str` and none to Unicode
    regex.IGNORECASE,
)
# Possessive throughout: a page of dots or of blanks must not be tried from each of its places anew.
_SENTENCE_BREAK = re.compile(r"(?<![.!?。！？…])[.!?。！？…]++[\"'”’)\]]*+(?=\s++[^a-z\s])|[。！？]|\n[^\S\n]*+\n")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one text.

    Attributes:
        texts: the words as written, punctuation marks included.
        spans: (start, end) character offsets of each word.
        sentences: index of the first word of each sentence, in order.
    """

    texts: list[str]
    spans: list[tuple[int, int]]
    sentences: list[int]

    def by_sentence(self) -> list[list[str]]:
        """The words of each sentence."""
        ends = [*self.sentences[1:], len(self.texts)]
        return [self.texts[start:end] for start, end in zip(self.sentences, ends, strict=False)]  # a text may have none


def split_words(text: str) -> Words:
    """Split a text of a language that writes spaces between words."""
    return words_from_spans(text, [match.span() for match in _WORD.finditer(text)])


def words_from_spans(text: str, spans: list[tuple[int, int]]) -> Words:
    """Words at the given spans, which are in order and do not overlap, with the sentences of the text."""
    breaks = [match.end() for match in _SENTENCE_BREAK.finditer(text)]
    sentences: list[int] = []
    next_break = 0
    for index, (start, _) in enumerate(spans):
        if index == 0 or (next_break < len(breaks) and start >= breaks[next_break]):
            sentences.append(index)
            while next_break < len(breaks) and start >= breaks[next_break]:
                next_break += 1
    return Words([text[start:end] for start, end in spans], spans, sentences)
