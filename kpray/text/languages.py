"""Language codes, stop words, and word splitting by language."""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cache
from operator import itemgetter

from kpray.errors import RejectedDocument
from kpray.text.japanese import split_japanese
from kpray.text.korean import split_korean_particles
from kpray.text.language_names import CODES, ENGLISH_NAMES
from kpray.text.segmenters import split_chinese
from kpray.text.thai import split_thai
from kpray.text.words import Words, split_words, words_from_spans

#: Languages without spaces between words.
_SEGMENTERS = {"zh": split_chinese, "ja": split_japanese, "th": split_thai}
_UNSPACED = frozenset({"bo", "dz", "km", "lo", "my", "yue"})  # and no segmenter
_ALIASES = {"nb": "no", "nn": "no", "iw": "he", "in": "id", "fil": "tl", "cn": "zh", "kr": "ko", "cz": "cs"}
_SEPARATOR = re.compile(r"[-_\s()]+(?=.)")
_GENDER_FORM = re.compile(r"\b[^\W\d]{2,}[:*](?:innen|in)\b")


@cache
def primary_language(lang: str) -> str:
    """Primary language code, as used by the word lists.

    `pt_BR`, `zh-Hans` and `NB` become `pt`, `zh` and `no`; `deu`, `ger`, `German` and `Deutsch` become `de`. Other
    names are returned in lower case, up to their first `-` or `_`.
    """
    name = lang.strip().lower()
    parts = _SEPARATOR.split(name)
    # "Simplified Chinese" and "Portuguese (Brazil)" name the language last or first.
    known = next((CODES[part] for part in (name, parts[0], parts[-1]) if part in CODES), parts[0])
    return _ALIASES.get(known, known)


@cache
def stop_words(language: str) -> frozenset[str]:
    """Stop words of a language (primary code), lower-case; none if there is no list for the language.

    Raises:
        RejectedDocument: the language is unknown.
    """
    import stopwordsiso

    if stopwordsiso.has_lang(language):
        # Thai's list has the vowel sara am as two characters.
        return frozenset(word.replace("\u0e4d\u0e32", "\u0e33") for word in stopwordsiso.stopwords(language))
    if language in ENGLISH_NAMES:
        return frozenset()
    raise RejectedDocument(
        f"unknown language {language!r}: give a code such as en, de or zh, or an English name such as German"
    )


def split_language(text: str, language: str) -> Words:
    """Split a text of the given language (primary code) into words.

    Raises:
        RejectedDocument: kpray has no segmenter for the language, which is written without spaces.
    """
    if language in _SEGMENTERS:
        return _SEGMENTERS[language](text)
    if language in _UNSPACED:
        raise RejectedDocument(f"language {language!r} is written without spaces, and kpray cannot split it into words")
    words = split_words(text)
    if language == "ko":
        return words_from_spans(text, split_korean_particles(text, words.spans))
    if language == "de":
        return words_from_spans(text, _join_gender_forms(text, words.spans))
    return words


def _join_gender_forms(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Make one word of Kund:innen and Kund*in."""
    joined = list(spans)
    for match in _GENDER_FORM.finditer(text):
        first = bisect_left(joined, match.start(), key=itemgetter(0))
        last = bisect_left(joined, match.end(), key=itemgetter(0))
        if first < last and joined[first][0] == match.start() and joined[last - 1][1] == match.end():
            joined[first:last] = [match.span()]
    return joined
