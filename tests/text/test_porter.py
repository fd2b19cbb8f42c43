"""kpray's stems of English words are those of NLTK's PorterStemmer."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import wordninja
from hypothesis import given
from hypothesis import strategies as st

from kpray.text.porter import porter_stem

ENDINGS = """
s ss sses ies ied eed ed ing ated abled ized sting y ely lli alli alogi logi ational tional enci anci izer bli abli
entli eli ousli ization ation ator alism iveness fulness ousness aliti iviti biliti fulli icate ative alize iciti ical
ful ness al ance ence er ic able ible ant ement ment ent sion tion ion ou ism ate iti ous ive ize e ll lled *ded
""".split()
BEGINNINGS = ["", "y", "ay", "hop", "s-t", "naïv", "trouble"]


@pytest.fixture(scope="module")
def reference() -> Callable[[str], str]:
    from nltk.stem.porter import PorterStemmer

    stem: Callable[[str], str] = PorterStemmer().stem
    return stem


def test_a_dictionary(reference: Callable[[str], str]) -> None:
    file = Path(wordninja.__file__).parent / "wordninja/wordninja_words.txt.gz"
    words = gzip.decompress(file.read_bytes()).decode().split()[::25]
    assert len(words) > 4_000
    assert [word for word in words if porter_stem(word) != reference(word)] == []


def test_endings_after_each_other(reference: Callable[[str], str]) -> None:
    words = ["".join(parts) for parts in product(BEGINNINGS, ["", *ENDINGS[::4]], ENDINGS)]
    assert [word for word in words if porter_stem(word) != reference(word)] == []


@pytest.mark.parametrize("word", ["sky", "skies", "dying", "lying", "tying", "news", "innings", "inning", "outings"])
def test_irregular_words(reference: Callable[[str], str], word: str) -> None:
    assert porter_stem(word) == reference(word)


@given(st.text(max_size=20) | st.text("aeiouybdlst*-", max_size=12))
def test_any_text(reference: Callable[[str], str], word: str) -> None:
    lowered = word.lower()
    assert porter_stem(lowered) == reference(lowered)
