"""Candidate phrases of a document: noun phrases in English, sequences of content words in other languages.

Each word's tag is written as one letter. A grammar is then a regular expression over the string of these letters:

    N noun, J adjective, R comparative or superlative, D past participle, s a word that is too short,
    . punctuation, x any other word

`kpray.text.noun_phrases` has the grammar of the rule `extended`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np

from kpray.text.content_words import content_word_phrases
from kpray.text.general_words import PAPER_STOP_WORDS
from kpray.text.languages import primary_language, split_language
from kpray.text.noun_phrases import MAX_WORDS, MIN_CHARACTERS, is_word, noun_phrases
from kpray.text.tagged_words import Untagged, divide
from kpray.text.tagging import Tagger
from kpray.text.words import Words

CandidateRule = Literal["paper", "extended"]

_PAPER_GRAMMAR = re.compile(r"[NJ]*N")


@dataclass(frozen=True, slots=True)
class SplitText:
    """The words of a text, before those of an English text are tagged.

    Attributes:
        words: the words.
        sentences: the sentences to tag; empty if the language needs no tags.
        language: the language without region.
        untagged: the words for the rule `extended`; None: another rule or language.
    """

    words: Words
    sentences: list[list[str]]
    language: str
    untagged: Untagged | None

    def candidates(self, tags: Sequence[list[str]]) -> np.ndarray:
        """The candidates in text order, int32 [candidates, 2]: first word and one past the last word.

        Args:
            tags: Penn Treebank tags of `sentences`.

        Raises:
            RejectedDocument: kpray has no stop words for the language.
        """
        if self.untagged is not None:
            spans = noun_phrases(self.untagged.tagged(tags))
        elif self.language == "en":
            spans = _paper_phrases(self.words, list(chain.from_iterable(tags)))
        else:
            spans = content_word_phrases(self.words, self.language)
        return np.array(spans, dtype=np.int32).reshape(-1, 2)


def split_text(text: str, lang: str, rule: CandidateRule) -> SplitText:
    """Split a text into words and, if it is English, into sentences for the tagger. See `find_candidates`.

    Raises:
        RejectedDocument: kpray cannot split the language into words.
    """
    language = primary_language(lang)
    words = split_language(text, language)
    if language != "en":
        return SplitText(words, [], language, None)
    if rule == "paper":
        return SplitText(words, words.by_sentence(), language, None)
    untagged = divide(words)
    return SplitText(words, untagged.sentences, language, untagged)


def find_candidates(text: str, lang: str, rule: CandidateRule, tagger: Tagger) -> tuple[Words, np.ndarray]:
    """Split a text into words and find its candidate phrases.

    Args:
        text: the document.
        lang: language of the document. In languages other than English, candidates are found by stop words, and `rule`
            has no effect.
        rule: `paper` (EmbedRank's noun phrases, which SAMRank uses) or `extended` (the rule of kpray).
        tagger: tagger for English.

    Returns:
        The words, and the candidates in text order, int32 [candidates, 2]: first word and one past the last word.

    Raises:
        RejectedDocument: kpray cannot split the language into words, or has no stop words for it.
    """
    split = split_text(text, lang, rule)
    return split.words, split.candidates(tagger.tag_sentences(split.sentences) if split.sentences else [])


def _paper_phrases(words: Words, tags: list[str]) -> list[tuple[int, int]]:
    letters = "".join(map(_paper_letter, words.texts, tags))
    return [
        match.span()
        for match in _in_sentences(_PAPER_GRAMMAR, letters, words)
        if match.end() - match.start() <= MAX_WORDS and words.texts[match.start()].lower() not in PAPER_STOP_WORDS
    ]


def _in_sentences(grammar: re.Pattern[str], letters: str, words: Words) -> Iterator[re.Match[str]]:
    """Matches within one sentence. A sentence may end without punctuation, for example at an empty line."""
    for start, end in zip(words.sentences, [*words.sentences[1:], len(letters)], strict=False):
        yield from grammar.finditer(letters, start, end)


def _paper_letter(word: str, tag: str) -> str:
    if not is_word(word):
        return "."
    if len(word) < MIN_CHARACTERS:
        return "s"
    if tag.startswith("NN"):
        return "N"
    return "J" if tag == "JJ" else "x"
