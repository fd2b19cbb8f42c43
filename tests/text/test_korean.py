"""Korean nouns without their particles."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.text.korean import is_korean_ending
from kpray.text.languages import split_language


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("빙하를", ["빙하", "를"]),
        ("빙하에서는", ["빙하", "에서는"]),
        ("경로", ["경로"]),  # no particle: the noun ends with this syllable
        ("해상도가", ["해상도", "가"]),
        ("사과 사과가", ["사과", "사과", "가"]),
        ("개인 정보", ["개인", "정보"]),
        ("GPU의 메모리", ["GPU", "의", "메모리"]),
        ("관측한다", ["관측한다"]),
    ],
)
def test_particles(text: str, words: list[str]) -> None:
    assert split_language(text, "ko").texts == words


@pytest.mark.parametrize("word", ["를", "관측한다", "측정하는", "얻어진", "위한"])
def test_words_that_are_no_nouns(word: str) -> None:
    assert is_korean_ending(word)


@pytest.mark.parametrize("word", ["빙하", "함수", "바다", "강", "GPU", "3"])
def test_nouns(word: str) -> None:
    assert not is_korean_ending(word)


@given(st.text("빙하를의에서은는이가다 한.\nA1", max_size=40))
def test_words_cover_the_text(text: str) -> None:
    words = split_language(text, "ko")
    assert [text[start:end] for start, end in words.spans] == words.texts
    assert all(one_end <= other_start for (_, one_end), (other_start, _) in pairwise(words.spans))
    assert "".join(words.texts) == "".join(text.split())
