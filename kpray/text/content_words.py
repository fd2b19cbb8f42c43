"""Candidate phrases in languages other than English: sequences of content words, without verbs and particles.

kpray has no tagger for these languages. Content words are the words that are no stop words. A verb ends a sequence;
it is recognised by its ending, and by the rest of the document: a word that follows an article somewhere is a noun. In
German, nouns are the words with a capital.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from kpray.text.korean import is_korean_ending
from kpray.text.languages import stop_words
from kpray.text.noun_phrases import MIN_CHARACTERS, is_word
from kpray.text.romance import GRAMMARS, recurring_terms, romance_letters
from kpray.text.words import Words

MAX_RUN_WORDS = 3  # a sequence of content words up to this length is one candidate
MAX_PART_WORDS = 2  # a longer sequence is cut into candidates up to this length

_RUN = re.compile(r"W+")
_GERMAN_RUN = re.compile(r"[AN]*N")  # A: a word with the ending of an adjective

_RUSSIAN_VERB = re.compile(
    r"\w{2,}(?:[аяуе]ет|[аяу]ют|ят|[аяеи]тся|[аяие]ться|[аяи]ть|лся|лась|лось|лись|овал[аи]?|[аяи]ли)"
)
_RUSSIAN_NOUNS = frozenset("память печать сеть нить кровать тетрадь медь степь модель рать знать мать".split())
_ADJECTIVE = re.compile(r".{2,}(?:e|en|er|es|em)")


def content_word_phrases(words: Words, language: str) -> list[tuple[int, int]]:
    """Candidates of a document: first word and one past the last word of each, in text order.

    Args:
        words: the words of the document.
        language: primary code, not `en`.

    Raises:
        RejectedDocument: kpray has no stop words for the language.
    """
    stops = stop_words(language)
    min_characters = MIN_CHARACTERS if language not in ("zh", "ko") else 1
    lowered = [word.lower() for word in words.texts]
    content = [
        word not in stops and len(word) >= min_characters and is_word(text) and not word.isdigit()
        for word, text in zip(lowered, words.texts, strict=True)
    ]
    if language == "de" and (letters := _german_letters(words, content)):
        return _sequences(words, letters, _GERMAN_RUN)
    if language in GRAMMARS:
        letters = romance_letters(words, content, GRAMMARS[language])
        return sorted({*_sequences(words, letters, _RUN), *recurring_terms(words, letters)}) or _runs(words, content)
    is_other = {"ko": is_korean_ending, "ru": _russian_verb(words, lowered)}.get(language, lambda word: False)
    wanted = [usable and not is_other(word) for usable, word in zip(content, lowered, strict=True)]
    return _runs(words, wanted) or _runs(words, content)


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
