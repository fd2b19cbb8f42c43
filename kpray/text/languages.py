"""Language codes, stop words, and word splitting by language."""

from __future__ import annotations

import re
from functools import cache

from kpray.errors import RejectedDocument
from kpray.text.words import Words, split_words, words_from_spans

#: Languages without spaces between words; kpray has a segmenter only for Chinese.
_UNSPACED = frozenset({"bo", "dz", "ja", "km", "lo", "my", "th", "yue", "zh"})
_ALIASES = {"nb": "no", "nn": "no", "iw": "he", "in": "id", "fil": "tl", "cn": "zh", "kr": "ko", "cz": "cs"}
_SPACE = re.compile(r"\s")


@cache
def primary_language(lang: str) -> str:
    """Primary language code, as used by the word lists: `pt_BR`, `zh-Hans` and `NB` become `pt`, `zh` and `no`."""
    code = re.split(r"[-_]", lang.strip().lower(), maxsplit=1)[0]
    return _ALIASES.get(code, code)


@cache
def stop_words(language: str) -> frozenset[str]:
    """Stop words of a language (primary code), lower-case.

    Raises:
        RejectedDocument: there is no stop-word list for the language.
    """
    import stopwordsiso

    if not stopwordsiso.has_lang(language):
        raise RejectedDocument(f"language {language!r} has no stop-word list")
    return frozenset(stopwordsiso.stopwords(language))


def split_language(text: str, language: str) -> Words:
    """Split a text of the given language (primary code) into words.

    Raises:
        RejectedDocument: the language is written without spaces, and kpray has no segmenter for it.
    """
    if language == "zh":
        return _split_chinese(text)
    if language in _UNSPACED:
        raise RejectedDocument(f"language {language!r} is written without spaces, and kpray cannot split it into words")
    return split_words(text)


def _split_chinese(text: str) -> Words:
    import rjieba

    spans, start = [], 0
    for word in rjieba.cut(text):
        end = start + len(word)
        if not _SPACE.match(word):
            spans.append((start, end))
        start = end
    return words_from_spans(text, spans)
