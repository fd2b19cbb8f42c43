"""Which English phrases name one concept: inflections, spellings with and without hyphen, acronym and expansion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from kpray.text.stems import stem_word

_PIECE = re.compile(r"[^\s\-‐‑–]+")
_ACRONYM = re.compile(r"[A-Z][A-Za-z0-9]*[A-Z0-9]")
# British to American spelling. A rule may change a word that it does not mean ("hour"). That does not matter: only
# words that both occur in the document and become equal are merged.
_SPELLINGS = [
    (re.compile(pattern), american)
    for pattern, american in (
        (r"(?<=..)is(?=(?:e|ed|es|er|ers|ing|ation|ations|able)$)", "iz"),
        (r"(?<=..)ys(?=(?:e|ed|es|er|ers|ing)$)", "yz"),
        (r"(?<=..)our(?=(?:s|ed|ing|al|able|ful|ist|ite|ites|less|ly|y)?$)", "or"),
        (r"(?<=[a-z][tb])re(?=s?$)", "er"),
        (r"(?<=[aeiou])ll(?=(?:ing|ed|er|ers)$)", "l"),
        (r"ae|oe", "e"),
        (r"ogue(?=s?$)", "og"),
        (r"(?<=ef)ence(?=s?$)", "ense"),
        (r"(?<=progra)mme(?=s?$)", "m"),
    )
]


def concept_keys(phrases: Sequence[str], words: Sequence[str], spans: Sequence[tuple[int, int]]) -> list[str]:
    """One key for each phrase; phrases that name one concept have equal keys.

    Args:
        phrases: the phrases.
        words: the words of the document.
        spans: first word and one past the last word of each phrase's first occurrence.
    """
    keys = [_key(phrase) for phrase in phrases]
    expansions = _expansions(phrases, words, keys)
    return [expansions.get(key, key) for key in keys]


def _key(phrase: str) -> str:
    return "".join([_word_key(word) for word in _PIECE.findall(phrase.lower())]) or phrase


@lru_cache(maxsize=2**16)
def _word_key(word: str) -> str:
    word = word.replace("’", "'")
    for pattern, american in _SPELLINGS:
        word = pattern.sub(american, word)
    # "health care" and "healthcare": Porter's stemmer keeps the last e of short words only.
    return stem_word(word).rstrip("e") or word


def _expansions(phrases: Sequence[str], words: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """Key of an acronym -> key of its expansion, from "fuzzy logic system (FLS)" and "FLS (fuzzy logic system)"."""
    by_words: dict[tuple[str, ...], str] = {}
    longest = 0
    for phrase, key in zip(phrases, keys, strict=True):
        pieces = _lowered(phrase.split())
        by_words[pieces] = key
        longest = max(longest, len(pieces))
    found: dict[str, str] = {}
    for index, word in enumerate(words):
        if word != "(" or index + 2 >= len(words):
            continue
        if words[index + 2] == ")" and _is_acronym(words[index + 1]):
            acronym = words[index + 1]
            options = [_lowered(words[start:index]) for start in range(max(0, index - longest), index)]
        elif index and _is_acronym(words[index - 1]) and ")" in words[index + 2 : index + 2 + longest]:
            acronym = words[index - 1]
            options = [_lowered(words[index + 1 : words.index(")", index)])]
        else:
            continue
        for option in options:
            if option in by_words and _initials(option) == acronym.removesuffix("s").lower():
                for form in (acronym, acronym.removesuffix("s"), acronym + "s"):
                    found.setdefault(_key(form), by_words[option])
                break
    return found


def _lowered(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word.lower() for word in words)


def _is_acronym(word: str) -> bool:
    return len(word) <= 10 and _ACRONYM.fullmatch(word.removesuffix("s")) is not None


def _initials(words: Sequence[str]) -> str:
    return "".join([piece[0] for word in words for piece in _PIECE.findall(word)])
