"""Normalization of phrases before they are compared."""

from __future__ import annotations

import string
from collections.abc import Iterable

from kpray.metrics.protocols import Normalization
from kpray.text.stems import stem_phrase

_DELETE_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(phrase: str, lang: str, normalization: Normalization) -> str:
    """Normalize a phrase for comparison; the result may be empty.

    Args:
        phrase: the phrase as written.
        lang: language code of its document, which determines the stemmer.
        normalization: see `Protocol`.
    """
    if normalization == "lower_stem":
        return stem_phrase(phrase, lang)
    return " ".join(phrase.lower().translate(_DELETE_PUNCTUATION).split())


def unique_phrases(phrases: Iterable[str], lang: str, normalization: Normalization) -> dict[str, str]:
    """Normalized phrase -> the first phrase it came from, in order of first appearance, without empty phrases."""
    unique: dict[str, str] = {}
    for phrase in phrases:
        unique.setdefault(normalize(phrase, lang, normalization), phrase)
    unique.pop("", None)
    return unique
