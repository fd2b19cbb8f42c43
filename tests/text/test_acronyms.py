"""Explained acronyms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.text.acronyms import find_definitions


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a fuzzy logic system ( FLS ) learns", [("FLS", "fuzzy logic system")]),
        ("fuzzy logic systems ( FLSs )", [("FLSs", "fuzzy logic systems")]),
        ("a fuzzy model ( FLS )", []),
        ("the call XML ( ) returns", []),
        ("the IEEE ( )", []),
        ("XML (", []),
        ("( XML )", []),
    ],
)
def test_definitions(text: str, found: list[tuple[str, str]]) -> None:
    words = text.split()
    definitions = [(acronym, " ".join(words[start:end])) for acronym, start, end in find_definitions(words)]
    assert definitions == found


@given(st.lists(st.sampled_from(["(", ")", "AB", "ABs", "of", "a", "b", "-", "(AB)"]), max_size=12))
def test_any_words(words: list[str]) -> None:
    for acronym, start, end in find_definitions(words):
        assert acronym in words
        assert 0 <= start < end <= len(words)
