"""Stems of words and phrases, and the rule that says whether a phrase stands in a document."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import cast

import regex

from kpray.text.languages import primary_language

# ISO 639-1 codes of the languages that NLTK's SnowballStemmer knows, English apart.
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
# Chinese and Japanese write no spaces: each of their characters counts as a word of its own.
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = regex.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[\w\p{{M}}\u200c\u200d])+")
# A character with those after it that NFC may join to it: each such piece is normalized apart from all others.
_COMPOSED_APART = regex.compile(r"(?s).[\p{M}\p{NFC_Quick_Check=Maybe}]*")


@lru_cache(maxsize=2**18)
def stem_word(word: str, lang: str = "en") -> str:
    """Stem one word, lower-cased first.

    Args:
        word: any string; it is stemmed as one word, so hyphens inside it stay.
        lang: ISO code, with or without region or script (`pt`, `pt_BR`, `zh-Hans`); its first part decides.

    Returns:
        For English the stem of NLTK's PorterStemmer in its default mode (what SAMRank's gold for Inspec was made with);
        for a language of NLTK's SnowballStemmer the stem of that; for any other the lower-cased word.
    """
    return _stemmer(primary_language(lang))(word.lower())


def stem_phrase(phrase: str, lang: str = "en") -> str:
    """Stem each white-space-separated word of a phrase and join the stems by one space."""
    return " ".join([stem_word(word, lang) for word in phrase.split()])


def stemmed_words(text: str, lang: str = "en") -> list[str]:
    r"""Stems of the words of a text or phrase, by which both are compared in `contains_phrase`.

    A word is a run of `\w`, so neither hyphens nor punctuation matter: "real-time" and "real time" are the same two
    words. Each Chinese or Japanese character is a word. An accent written apart is the same as one on its letter.
    """
    return [stem_word(word, lang) for word in _WORD.findall(_comparable(text))]


def stemmed_word_spans(text: str, lang: str = "en") -> tuple[list[str], list[tuple[int, int]]]:
    """What `stemmed_words` gives, and the (start, end) character offsets of these words in the text as it is.

    The spans are in order and apart, but for words made of stray accents, which have the character before them too.
    """
    words, spans = lowered_word_spans(text)
    return [stem_word(word, lang) for word in words], spans


def lowered_word_spans(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    """The words of `stemmed_words`, lower-cased and in NFC but not stemmed, and their offsets in the text as it is."""
    comparable = _comparable(text)
    matches = list(_WORD.finditer(comparable))
    words, spans = [match.group() for match in matches], [match.span() for match in matches]
    lowered = text.lower()
    if lowered != comparable or len(lowered) != len(text):  # else each character comes from the one at its place
        origins = _origins(text)
        spans = [(origins[start][0], origins[end - 1][1]) for start, end in spans]
    return words, spans


def contains_phrase(words_stemmed: Sequence[str], phrase_stemmed: Sequence[str]) -> bool:
    """Whether the phrase's stems stand side by side among the document's: the rule for present keyphrases.

    Words are compared whole ("net" is not in "network"). A phrase without a word is nowhere.

    Args:
        words_stemmed: stems of the document's words, as `stemmed_words` gives them: none holds white space.
        phrase_stemmed: stems of the phrase's words, likewise.
    """
    # One search in a string runs in C; a loop over positions takes ten times as long.
    return bool(phrase_stemmed) and f" {' '.join(phrase_stemmed)} " in f" {' '.join(words_stemmed)} "


def _comparable(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())


def _origins(text: str) -> list[tuple[int, int]]:
    """For each character of `_comparable(text)` the span of the characters of the text that it comes from."""
    origins: list[tuple[int, int]] = []
    for piece in _COMPOSED_APART.finditer(text):
        origins += [piece.span()] * len(_comparable(piece.group()))
    return origins


@cache
def _stemmer(language: str) -> Callable[[str], str]:
    # NLTK takes about a second to import, so it is imported when the first word of such a language comes.
    if language == "en":
        from nltk.stem.porter import PorterStemmer

        return cast(Callable[[str], str], PorterStemmer().stem)
    if language not in _SNOWBALL:
        return str
    from nltk.stem.snowball import SnowballStemmer

    if language == "ar":
        # NLTK's Arabic stemmer keeps a flag from one word to the next (suffixes_verb_step1_success is never reset),
        # so a stem would depend on the words before it: each word gets a stemmer of its own.
        return lambda word: str(SnowballStemmer("arabic").stem(word))
    return cast(Callable[[str], str], SnowballStemmer(_SNOWBALL[language]).stem)
