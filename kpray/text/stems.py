"""Stems of words and phrases, and the rule that decides whether a phrase is present in a document."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import cast

import regex

from kpray.lean import without
from kpray.text.languages import primary_language
from kpray.text.porter import porter_stem

# ISO 639-1 code -> language name of NLTK's SnowballStemmer; English has a stemmer of its own instead.
_SNOWBALL = {
    "ar": "arabic",
    "da": "danish",
    "nl": "dutch",
    "fi": "finnish",
    "fr": "french",
    "de": "german",
    "hu": "hungarian",
    "it": "italian",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "es": "spanish",
    "sv": "swedish",
}
# Chinese and Japanese are written without spaces: each of their characters is one word.
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = regex.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[\w\p{{M}}\u200c\u200d])+")
# A character and the following characters that NFC may compose with it. NFC acts on each such piece separately.
_COMPOSED_APART = regex.compile(r"(?s).[\p{M}\p{NFC_Quick_Check=Maybe}]*")


@lru_cache(maxsize=2**18)
def stem_word(word: str, lang: str = "en") -> str:
    """Stem one word, lower-cased first.

    Args:
        word: any string; it is stemmed as one word, hyphens included.
        lang: ISO code, with or without region or script (`pt`, `pt_BR`, `zh-Hans`); only its first part matters.

    Returns:
        For English, the stem of NLTK's PorterStemmer in its default mode (`kpray.text.porter`), which also made
        SAMRank's gold stems for Inspec. For a language of NLTK's SnowballStemmer, the stem by that. For other
        languages, the lower-cased word.
    """
    return _stemmer(primary_language(lang))(word.lower())


def stem_phrase(phrase: str, lang: str = "en") -> str:
    """Stem each white-space-separated word of a phrase and join the stems with single spaces."""
    return " ".join([stem_word(word, lang) for word in phrase.split()])


def stemmed_words(text: str, lang: str = "en") -> list[str]:
    r"""Stems of the words of a text or phrase, as `contains_phrase` compares them.

    A word is a sequence of `\w`, so hyphens and punctuation do not matter: "real-time" and "real time" are the same two
    words. Each Chinese or Japanese character is a word. Combining accents equal precomposed ones (NFC).
    """
    return [stem_word(word, lang) for word in _WORD.findall(_comparable(text))]


def stemmed_word_spans(text: str, lang: str = "en") -> tuple[list[str], list[tuple[int, int]]]:
    """Result of `stemmed_words`, and the (start, end) character offsets of these words in the original text.

    The spans are in order and do not overlap. Exception: the span of a word made of stray combining accents includes
    the character before them.
    """
    words, spans = lowered_word_spans(text)
    return [stem_word(word, lang) for word in words], spans


def lowered_word_spans(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    """The words of `stemmed_words`, lower-cased and in NFC but not stemmed, and their offsets in the original text."""
    comparable = _comparable(text)
    matches = list(_WORD.finditer(comparable))
    words, spans = [match.group() for match in matches], [match.span() for match in matches]
    lowered = text.lower()
    if lowered != comparable or len(lowered) != len(text):  # otherwise both texts have the same offsets
        origins = _origins(text)
        spans = [(origins[start][0], origins[end - 1][1]) for start, end in spans]
    return words, spans


def contains_phrase(words_stemmed: Sequence[str], phrase_stemmed: Sequence[str]) -> bool:
    """Whether the phrase's stems occur consecutively in the document: the rule for present keyphrases.

    Whole words are compared ("net" is not in "network"). A phrase without words is never present.

    Args:
        words_stemmed: stems of the document's words, from `stemmed_words`; they contain no white space.
        phrase_stemmed: stems of the phrase's words, from `stemmed_words`.
    """
    # A string search runs in C; a loop over positions takes ten times as long.
    return bool(phrase_stemmed) and f" {' '.join(phrase_stemmed)} " in f" {' '.join(words_stemmed)} "


def _comparable(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())


def _origins(text: str) -> list[tuple[int, int]]:
    """For each character of `_comparable(text)`, the (start, end) span of its source characters in `text`."""
    origins: list[tuple[int, int]] = []
    for piece in _COMPOSED_APART.finditer(text):
        origins += [piece.span()] * len(_comparable(piece.group()))
    return origins


@cache
def _stemmer(language: str) -> Callable[[str], str]:
    if language == "en":
        return porter_stem
    if language not in _SNOWBALL:
        return str
    with without("scipy", "sklearn"):  # even so the import takes time, and some commands need no such stems
        from nltk.stem.snowball import SnowballStemmer
    if language == "ar":
        # NLTK's Arabic stemmer never resets the flag suffixes_verb_step1_success, so a stem would depend on earlier
        # words. Therefore each word gets a new stemmer.
        return lambda word: str(SnowballStemmer("arabic").stem(word))
    return cast(Callable[[str], str], SnowballStemmer(_SNOWBALL[language]).stem)
