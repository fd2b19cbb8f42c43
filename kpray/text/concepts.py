"""Which English phrases name one concept: inflections, spellings with and without hyphen, acronym and expansion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from kpray.text.acronyms import find_definitions
from kpray.text.stems import stem_word

_PIECE = re.compile(r"[^\s\-‐‑–]+")
# Greek plurals, British to American spelling. A rule may change a word that it does not mean ("hour"). That does not
# matter: only words that both occur in the document and become equal are merged.
_SPELLINGS = [
    (re.compile(pattern), american)
    for pattern, american in (
        (r"(?<=aly)ses$", "sis"),
        (r"(?<=thes)es$", "is"),
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


def concept_keys(phrases: Sequence[str], words: Sequence[str]) -> list[str]:
    """One key for each phrase; phrases that name one concept have equal keys.

    Args:
        phrases: the phrases.
        words: the words of the document.
    """
    keys = [_key(phrase) for phrase in phrases]
    expansions = _expansions(words)
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


def _expansions(words: Sequence[str]) -> dict[str, str]:
    """Key of an acronym -> key of its expansion."""
    found: dict[str, str] = {}
    for acronym, start, end in find_definitions(words):
        expansion = _key(" ".join(words[start:end]))
        for form in (acronym, acronym.removesuffix("s"), acronym + "s"):
            found.setdefault(_key(form), expansion)
    return found
