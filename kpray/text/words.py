"""Word and sentence splitting with character offsets, by regular expressions."""

from __future__ import annotations

import re
from dataclasses import dataclass

import regex

# One alternative per kind of word, first match wins:
#   -LRB-        the Penn Treebank's symbol for a bracket
#   does|n't     a negation is separate from its verb, as in the Penn Treebank
#   's           other clitics are separate, too
#   C++, F#      names of programming languages
#   .NET         a dot before capitals
#   peer-to-peer hyphens, dots, slashes and ampersands inside a word do not split it
#   .            any other character that is not white space
# Combining marks (vowel signs of Hindi, accents) and joiners (Persian) belong to their letter; `re` would split there.
_WORD = regex.compile(
    r"-[LR][RSC]B-"
    r"|[\w\p{M}\u200c\u200d]+?(?=n['’]t\b)|n['’]t\b"
    r"|['’](?:s|re|ve|ll|d|m)\b"
    r"|(?<![^\s(])\.\p{Lu}{2,}\b"
    r"|\w[\w\p{M}\u200c\u200d]*(?:[-‐‑./&+]\w[\w\p{M}\u200c\u200d]*)*(?:\+\+|\#)?"
    r"|[^\w\s\x1c-\x1f]",  # \x1c-\x1f are white space for `str` but not for Unicode
    regex.IGNORECASE,
)
# All quantifiers are possessive, so that a page of dots or blanks does not take quadratic time.
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
        return [self.texts[start:end] for start, end in zip(self.sentences, ends, strict=False)]  # may be empty


def split_words(text: str) -> Words:
    """Split a text in a language with spaces between words."""
    return words_from_spans(text, [match.span() for match in _WORD.finditer(text)])


def words_from_spans(text: str, spans: list[tuple[int, int]]) -> Words:
    """Words at the given spans, with the sentences of the text.

    Args:
        text: the text.
        spans: (start, end) character offsets of the words, in order and without overlap.
    """
    breaks = [match.end() for match in _SENTENCE_BREAK.finditer(text)]
    sentences: list[int] = []
    next_break = 0
    for index, (start, _) in enumerate(spans):
        if index == 0 or (next_break < len(breaks) and start >= breaks[next_break]):
            sentences.append(index)
            while next_break < len(breaks) and start >= breaks[next_break]:
                next_break += 1
    return Words([text[start:end] for start, end in spans], spans, sentences)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) character offsets of the sentences of a text, without white space at their edges."""
    ends = [*(match.end() for match in _SENTENCE_BREAK.finditer(text)), len(text)]
    spans = []
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        sentence = text[start:end]
        if sentence.strip():
            spans.append((end - len(sentence.lstrip()), start + len(sentence.rstrip())))
    return spans
