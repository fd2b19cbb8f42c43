"""Candidate phrases of a document: noun phrases in English, sequences of content words in other languages.

Each word's tag is written as one letter. A grammar is then a regular expression over the string of these letters:

    N noun, J adjective, R comparative or superlative, D past participle, s a word that is too short,
    . punctuation, x any other word
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import numpy as np

from kpray.text.content_words import content_word_phrases
from kpray.text.general_words import GENERAL_MODIFIERS, GENERAL_NOUNS
from kpray.text.languages import primary_language, split_language
from kpray.text.tagging import Tagger
from kpray.text.words import Words

CandidateRule = Literal["paper", "extended"]

MAX_WORDS = 5
MIN_CHARACTERS = 3
MAX_CHARACTERS = 100  # longer "words" are data, not language

_PAPER_GRAMMAR = re.compile(r"[NJ]*N")
_EXTENDED_GRAMMAR = re.compile(r"(?:[NJR]|D(?=[NJ]))*N")
#: NLTK's English stop words. Taggers sometimes mistake them for nouns, and a long text has many of them.
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
    language = primary_language(lang)
    words = split_language(text, language)
    if language == "en":
        spans = _noun_phrases(words, tagger.tag(words), rule)
    else:
        spans = content_word_phrases(words, language, _is_word)
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
        if end - start <= MAX_WORDS and lowered[start] not in _ENGLISH_STOP_WORDS:
            spans.append((start, end))
    return spans


def _in_sentences(grammar: re.Pattern[str], letters: str, words: Words) -> Iterator[re.Match[str]]:
    """Matches within one sentence. A sentence may end without punctuation, for example at an empty line."""
    for start, end in zip(words.sentences, [*words.sentences[1:], len(letters)], strict=False):
        yield from grammar.finditer(letters, start, end)


def _paper_letter(word: str, tag: str) -> str:
    if not _is_word(word):
        return "."
    if len(word) < MIN_CHARACTERS:
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
    # The Penn Treebank's symbols for brackets, such as -LRB-, have letters but are not words.
    return len(word) <= MAX_CHARACTERS and any(map(str.isalnum, word)) and not (word[0] == word[-1] == "-")
