"""Candidate phrases of a document: noun phrases in English, runs of content words in other languages.

The tags of a text are written as one letter a word, so that a grammar is a regular expression over that string:

    N noun, J adjective, R comparative or superlative, D past participle, s a word too short to count,
    . punctuation, x any other word
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import numpy as np

from kpray.text.general_words import GENERAL_MODIFIERS, GENERAL_NOUNS
from kpray.text.languages import primary_language, split_language, stop_words
from kpray.text.tagging import Tagger
from kpray.text.words import Words

CandidateRule = Literal["paper", "extended"]

MOST_WORDS = 5
MOST_RUN_WORDS = 3  # of a run of content words that is taken as it stands
MOST_PART_WORDS = 2  # of the parts that a longer run is cut into
LEAST_CHARACTERS = 3
MOST_CHARACTERS = 100  # a longer "word" is data, not language

_PAPER_GRAMMAR = re.compile(r"[NJ]*N")
_EXTENDED_GRAMMAR = re.compile(r"(?:[NJR]|D(?=[NJ]))*N")
#: NLTK's English stop words: a tagger calls each of them a noun now and then, and in a long text that is enough.
_ENGLISH_STOP_WORDS = frozenset(
    """
    a about above after again against ain all am an and any are aren as at be because been before being below
    between both but by can couldn d did didn do does doesn doing don down during each few for from further had
    hadn has hasn have haven having he her here hers herself him himself his how i if in into is isn it its
    itself just ll m ma me mightn more most mustn my myself needn no nor not now o of off on once only or other
    our ours ourselves out over own re s same shan she should shouldn so some such t than that the their theirs
    them themselves then there these they this those through to too under until up ve very was wasn we were
    weren what when where which while who whom why will with won wouldn y you your yours yourself yourselves
    """.split()
)
_RUN = re.compile(r"W+")


def find_candidates(text: str, lang: str, rule: CandidateRule, tagger: Tagger) -> tuple[Words, np.ndarray]:
    """Split a text into words and find the phrases that may be keyphrases.

    Args:
        text: the document.
        lang: its language; every one but English goes by stop words, whatever the rule.
        rule: `paper` (EmbedRank's noun phrases, as SAMRank has them) or `extended` (ours).
        tagger: for English.

    Returns:
        The words, and int32 [candidates, 2]: first word and one past the last, in order of place.

    Raises:
        RejectedDocument: kpray cannot split the language into words, or has no stop words for it.
    """
    language = primary_language(lang)
    words = split_language(text, language)
    if language == "en":
        spans = _noun_phrases(words, tagger.tag(words), rule)
    else:
        spans = _runs(words, stop_words(language), LEAST_CHARACTERS if language not in ("zh", "ko") else 1)
    return words, np.array(spans, dtype=np.int32).reshape(-1, 2)


def _noun_phrases(words: Words, tags: list[str], rule: CandidateRule) -> list[tuple[int, int]]:
    extended = rule == "extended"
    letters = "".join(map(_extended_letter if extended else _paper_letter, words.texts, tags))
    lowered = [word.lower() for word in words.texts]
    spans = []
    for match in _in_sentences(_EXTENDED_GRAMMAR if extended else _PAPER_GRAMMAR, letters, words):
        start, end = match.span()
        if extended:
            while start < end and lowered[start] in GENERAL_MODIFIERS:
                start += 1
            if all(word in GENERAL_NOUNS or word in GENERAL_MODIFIERS for word in lowered[start:end]):
                continue
        if end - start <= MOST_WORDS and lowered[start] not in _ENGLISH_STOP_WORDS:
            spans.append((start, end))
    return spans


def _in_sentences(grammar: re.Pattern[str], letters: str, words: Words) -> Iterator[re.Match[str]]:
    """Matches that stay inside a sentence, which may end without a mark: at a heading, or an empty line."""
    for start, end in zip(words.sentences, [*words.sentences[1:], len(letters)], strict=False):
        yield from grammar.finditer(letters, start, end)


def _paper_letter(word: str, tag: str) -> str:
    if not _is_word(word):
        return "."
    if len(word) < LEAST_CHARACTERS:
        return "s"
    if tag.startswith("NN"):
        return "N"
    return "J" if tag == "JJ" else "x"


def _extended_letter(word: str, tag: str) -> str:
    if len(word) == 2 and word.isupper() and tag.startswith("NN"):
        return "N"  # an abbreviation: AI, PC
    letter = _paper_letter(word, tag)
    if letter == "x" and tag in ("JJR", "JJS", "VBN"):
        return "D" if tag == "VBN" else "R"
    return letter


def _is_word(word: str) -> bool:
    # A bracket that the Penn Treebank writes -LRB- has letters, and is none.
    return len(word) <= MOST_CHARACTERS and any(map(str.isalnum, word)) and not (word[0] == word[-1] == "-")


def _runs(words: Words, stops: frozenset[str], least_characters: int) -> list[tuple[int, int]]:
    """Runs of words between stop words and punctuation; of a long one, which holds a verb or two, its short parts."""
    letters = "".join(
        "x" if word.lower() in stops or len(word) < least_characters or not _is_word(word) or word.isdigit() else "W"
        for word in words.texts
    )
    spans = []
    for match in _in_sentences(_RUN, letters, words):
        start, end = match.span()
        if end - start <= MOST_RUN_WORDS:
            spans.append((start, end))
        else:
            spans += [
                (first, first + length)
                for first in range(start, end)
                for length in range(1, MOST_PART_WORDS + 1)
                if first + length <= end
            ]
    return spans
