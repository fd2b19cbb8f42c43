"""Languages: their codes, stop words, and how Chinese is split."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.errors import RejectedDocument
from kpray.text.languages import primary_language, split_language, stop_words
from kpray.text.words import split_words


@pytest.mark.parametrize(
    ("lang", "language"),
    [
        ("en", "en"),
        ("EN-GB", "en"),
        ("pt_BR", "pt"),
        ("zh-Hans", "zh"),
        ("zh_CN", "zh"),
        (" fr ", "fr"),
        ("nb", "no"),
        ("NN-no", "no"),
        ("iw", "he"),
        ("in", "id"),
        ("", ""),
        ("yue", "yue"),
        ("English", "en"),
        ("eng", "en"),
        ("ger", "de"),
        ("deu", "de"),
        ("Deutsch", "de"),
        ("français", "fr"),
        ("Português (Brasil)", "pt"),
        ("Simplified Chinese", "zh"),
        ("Chinese (Traditional)", "zh"),
        ("中文", "zh"),
        ("fil", "tl"),
        ("nob", "no"),
        ("xx", "xx"),
        ("klingon-x", "klingon"),
    ],
)
def test_primary_language(lang: str, language: str) -> None:
    assert primary_language(lang) == language


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("fr", {"les", "des", "est"}),
        ("de", {"und", "der", "für"}),
        ("zh", {"的", "是"}),
        ("ko", {"그리고"}),
        ("ar", {"من"}),
        ("th", {"ทำ"}),  # one letter in a text, two in the list
        ("no", {"og"}),
    ],
)
def test_stop_words(language: str, words: set[str]) -> None:
    assert words <= stop_words(language)
    assert all(word == word.lower() for word in stop_words(language))


@pytest.mark.parametrize("language", ["xx", "", "klingon"])
def test_language_without_stop_words(language: str) -> None:
    with pytest.raises(RejectedDocument, match=f"^unknown language {language!r}: give a code such as en, de or zh, "):
        stop_words(language)


def test_known_language_without_stop_words() -> None:
    assert stop_words("ta") == frozenset()


@pytest.mark.parametrize("language", ["bo", "dz", "lo", "my", "km", "yue"])
def test_language_without_a_segmenter(language: str) -> None:
    with pytest.raises(RejectedDocument, match=f"^language {language!r} is written without spaces"):
        split_language("x", language)


@pytest.mark.parametrize("language", ["en", "fr", "ko", "ar", "xx"])
def test_language_with_spaces(language: str) -> None:
    text = "l'analyse des points. 점 확산"
    assert split_language(text, language) == split_words(text)


def test_chinese_words_and_sentences() -> None:
    text = "关键词抽取 使用\n注意力机制。GPU 很快。"
    words = split_language(text, "zh")
    assert words.texts == ["关键词", "抽取", "使用", "注意力", "机制", "。", "GPU", "很快", "。"]
    assert [words.texts[start] for start in words.sentences] == ["关键词", "GPU"]


@given(st.text("关键词抽取，。 \n\t\u3000\0abC1.5%😀\u0301", max_size=30) | st.text(max_size=30))
def test_chinese_words_cover_the_text_without_its_space(text: str) -> None:
    words = split_language(text, "zh")
    assert [text[start:end] for start, end in words.spans] == words.texts
    assert all(one_end <= other_start for (_, one_end), (other_start, _) in pairwise(words.spans))
    covered = {offset for start, end in words.spans for offset in range(start, end)}
    assert {offset for offset, character in enumerate(text) if not character.isspace()} == covered


@pytest.mark.parametrize("language", ["ja", "th"])
@given(text=st.text("氷河の後退を3測・カァキต่อน้ำ、。 \n\u3000abC1.5%", max_size=30) | st.text(max_size=30))
def test_japanese_and_thai_words_cover_the_text_without_its_space(language: str, text: str) -> None:
    words = split_language(text, language)
    assert [text[start:end] for start, end in words.spans] == words.texts
    covered = {offset for start, end in words.spans for offset in range(start, end)}
    assert {offset for offset, character in enumerate(text) if not character.isspace()} <= covered
    assert words.sentences == sorted(set(words.sentences))
