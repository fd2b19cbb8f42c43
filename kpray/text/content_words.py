"""Candidate phrases in languages other than English: sequences of content words, without verbs and particles.

Content words are the words that are no stop words. A verb ends a sequence; it is recognised by its ending and by the
rest of the document. In German, nouns are the words with a capital, in Japanese by their script, and Thai has a tagger.
A text that has content words is never without phrases.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import regex

from kpray.text.japanese import japanese_nouns
from kpray.text.korean import is_korean_ending
from kpray.text.languages import stop_words
from kpray.text.noun_phrases import MIN_CHARACTERS, is_word
from kpray.text.romance import GRAMMARS, recurring_terms, romance_letters
from kpray.text.thai import has_thai_tagger, thai_nouns
from kpray.text.words import Words

MAX_RUN_WORDS = 3  # a sequence of content words up to this length is one candidate
MAX_PART_WORDS = 2  # a longer sequence is cut into candidates up to this length

SHORT = 0.8  # share of the average length below which a frequent word is a stop word

_RUN = re.compile(r"W+")
_GERMAN_RUN = re.compile(r"[AN]*N")  # A: a word with the ending of an adjective

_RUSSIAN_VERB = re.compile(
    r"\w{2,}(?:[аяуе]ет|[аяу]ют|ят|[аяеи]тся|[аяие]ться|[аяи]ть|лся|лась|лось|лись|овал[аи]?|[аяи]ли)"
)
_RUSSIAN_NOUNS = frozenset("память печать сеть нить кровать тетрадь медь степь модель рать знать мать".split())
# A Chinese or Korean word may have one character. A Japanese word of one is more often a counter or a suffix.
_MIN_CHARACTERS = {"zh": 1, "ko": 1, "ja": 2, "th": 2}
_MARK = regex.compile(r"\p{M}")  # vowel signs are no letters of their own
_ADJECTIVE = re.compile(r".{2,}(?:e|en|er|es|em)")


def content_word_phrases(words: Words, language: str) -> list[tuple[int, int]]:
    """Candidates of a document: first word and one past the last word of each, in text order.

    Args:
        words: the words of the document.
        language: primary code, not `en`.

    Raises:
        RejectedDocument: the language is unknown.
    """
    lowered = [word.lower() for word in words.texts]
    stops = stop_words(language) or short_frequent_words(lowered)
    min_characters = _MIN_CHARACTERS.get(language, MIN_CHARACTERS)
    content = [
        word not in stops and len(word) >= min_characters and is_word(text) and not word.isdigit()
        for word, text in zip(lowered, words.texts, strict=True)
    ]
    return _phrases(words, lowered, content, language) or _runs(words, content)


def _phrases(words: Words, lowered: list[str], content: list[bool], language: str) -> list[tuple[int, int]]:
    if language == "de" and (letters := _german_letters(words, content)):
        return _sequences(words, letters, _GERMAN_RUN)
    if language in GRAMMARS:
        letters = romance_letters(words, content, GRAMMARS[language])
        return sorted({*_sequences(words, letters, _RUN), *recurring_terms(words, letters)})
    if language == "ja":
        nouns = japanese_nouns(words)
    elif language == "th" and has_thai_tagger():
        nouns = thai_nouns(words)
    elif language in ("ko", "ru"):
        is_other = is_korean_ending if language == "ko" else _russian_verb(words, lowered)
        nouns = [not is_other(word) for word in lowered]
    else:
        nouns = content
    return _runs(words, [usable and noun for usable, noun in zip(content, nouns, strict=True)])


def short_frequent_words(lowered: list[str]) -> set[str]:
    """Words that are probably stop words, for a language without a list: they recur, and they are short."""
    counts = Counter(word for word in lowered if is_word(word))
    if not counts:
        return set()
    lengths = {word: len(_MARK.sub("", word)) for word in counts}
    average = sum(lengths[word] * count for word, count in counts.items()) / counts.total()
    return {word for word, count in counts.items() if count > 1 and lengths[word] < SHORT * average}


def _runs(words: Words, wanted: list[bool]) -> list[tuple[int, int]]:
    return _sequences(words, "".join("W" if each else "x" for each in wanted), _RUN)


def _sequences(words: Words, letters: str, grammar: re.Pattern[str]) -> list[tuple[int, int]]:
    spans = []
    for first, last in zip(words.sentences, [*words.sentences[1:], len(letters)], strict=False):
        for match in grammar.finditer(letters, first, last):
            start, end = match.span()
            if end - start <= MAX_RUN_WORDS:
                spans.append((start, end))
                continue
            spans += [
                (begin, begin + length)
                for begin in range(start, end)
                for length in range(1, MAX_PART_WORDS + 1)
                if begin + length <= end and letters[begin + length - 1] != "A"
            ]
    return spans


def _german_letters(words: Words, content: list[bool]) -> str:
    """One letter for each word: N noun, A adjective, x other. Empty if the text has no capitals, or only capitals."""
    capital = [word[0].isupper() for word in words.texts]
    used = [is_capital for is_capital, usable in zip(capital, content, strict=True) if usable]
    if not 0.2 < sum(used) / max(len(used), 1) < 0.95:
        return ""
    starts = set(words.sentences)
    # The first word of a sentence has a capital anyway. It is no noun if the text has it in lower case, too.
    small = {word for word, is_capital in zip(words.texts, capital, strict=True) if not is_capital}
    letters = ""
    for index, (word, usable) in enumerate(zip(words.texts, content, strict=True)):
        if not usable:
            letters += "x"
        elif capital[index] and not (index in starts and word.lower() in small):
            letters += "N"
        else:
            letters += "A" if _ADJECTIVE.fullmatch(word) else "x"
    return letters


def _russian_verb(words: Words, lowered: list[str]) -> Callable[[str], bool]:
    nouns = {word for word, text in zip(lowered, words.texts, strict=True) if text[0].isupper()} | _RUSSIAN_NOUNS
    return lambda word: word not in nouns and _RUSSIAN_VERB.fullmatch(word) is not None
