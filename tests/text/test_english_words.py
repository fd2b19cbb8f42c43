"""Where English words meet."""

from __future__ import annotations

import pytest

from kpray.text.english_words import is_compound, joined_words


@pytest.mark.parametrize("word", ["long-term", "price-determining", "well-known", "high-speed", "BERT-based".lower()])
def test_compounds(word: str) -> None:
    before, after = word.split("-")
    assert is_compound(before, after)


@pytest.mark.parametrize(
    "word", ["import-ers", "embed-ded", "under-standing", "nanopar-ticulate", "data-base", "qwx-zzk"]
)
def test_syllables(word: str) -> None:
    before, after = word.split("-")
    assert not is_compound(before, after)


@pytest.mark.parametrize(
    ("letters", "offsets"),
    [
        ("publictransport", [6]),
        ("climatechange", [7]),
        ("bitcoin", []),
        ("kubernetes", []),
        ("caf\u00e9bar", []),
        ("", []),
    ],
)
def test_joined_words(letters: str, offsets: list[int]) -> None:
    assert joined_words(letters) == offsets
