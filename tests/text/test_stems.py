"""Stems and the rule for present keyphrases."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.text.stems import (
    contains_phrase,
    lowered_word_spans,
    stem_phrase,
    stem_word,
    stemmed_word_spans,
    stemmed_words,
)


@pytest.mark.parametrize(
    ("word", "lang", "stem"),
    [
        ("Networks", "en", "network"),
        ("topology", "en", "topolog"),  # NLTK's extension; Porter's original algorithm gives "topologi"
        ("dying", "en", "die"),  # NLTK's pool of irregular forms
        ("as", "en", "as"),  # words of two letters are unchanged
        ("Carlo-like", "en", "carlo-lik"),  # a hyphenated word is one word
        ("Chevaux", "fr", "cheval"),
        ("Häuser", "de", "haus"),
        ("Redes", "pt_BR", "red"),
        ("Networks", "en-GB", "network"),
        ("Networks", "EN", "network"),
        ("Networks", "xx", "networks"),
        ("关键词", "zh_CN", "关键词"),
        ("GPU", "zh-Hans", "gpu"),
        ("", "en", ""),
    ],
)
def test_stem_word(word: str, lang: str, stem: str) -> None:
    assert stem_word(word, lang) == stem


def test_stem_phrase_joins_stems_by_one_space() -> None:
    assert stem_phrase("  Neural \t Networks\n") == "neural network"
    assert stem_phrase("réseaux de neurones", "fr") == "réseau de neuron"


def test_arabic_stem_does_not_depend_on_the_words_before_it() -> None:
    # NLTK's stemmer gives another stem for the second word after it has seen the first.
    from nltk.stem.snowball import SnowballStemmer

    before, word = "فذسيها", "تسطبتم"
    fresh, used = SnowballStemmer("arabic"), SnowballStemmer("arabic")
    used.stem(before)
    assert used.stem(word) != fresh.stem(word)

    stem_word.cache_clear()
    stem_word(before, "ar")
    assert stem_word(word, "ar") == fresh.stem(word)


@given(st.text(max_size=20), st.sampled_from(["en", "ar", "da", "nl", "fi", "fr", "de", "hu", "it", "no", "pt", "ro"]))
def test_every_string_has_a_stem_that_case_does_not_change(word: str, lang: str) -> None:
    assert stem_word(word, lang) == stem_word(word.lower(), lang)


@pytest.mark.parametrize(
    ("text", "lang", "words"),
    [
        ("Real-time, peer-to-peer systems.", "en", ["real", "time", "peer", "to", "peer", "system"]),
        ("C++ (1998)", "en", ["c", "1998"]),
        ("关键词GPU抽取", "zh_CN", ["关", "键", "词", "gpu", "抽", "取"]),
        ("점 확산 함수", "ko", ["점", "확산", "함수"]),
        (" - ", "en", []),
    ],
)
def test_stemmed_words(text: str, lang: str, words: list[str]) -> None:
    assert stemmed_words(text, lang) == words


@pytest.mark.parametrize(
    ("text", "lang", "stems", "parts"),
    [
        ("Real-time Systems.", "en", ["real", "time", "system"], ["Real", "time", "Systems"]),
        ("", "en", [], []),
        ("the cafe\u0301s", "en", ["the", "caf\u00e9"], ["the", "cafe\u0301s"]),
        ("\u0130zmir'de A\u030aB", "xx", ["i\u0307zmir", "de", "\u00e5b"], ["\u0130zmir", "de", "A\u030aB"]),
        ("か\u3099学 x", "ja", ["が", "学", "x"], ["か\u3099", "学", "x"]),  # two characters, one word
        ("a=\u0338b", "en", ["a", "b"], ["a", "b"]),  # the stroke makes another sign, which is not a word
        ("\u0130 H\u0331 a", "en", ["i\u0307", "\u1e96", "a"], ["\u0130", "H\u0331", "a"]),  # one longer, one shorter
    ],
)
def test_stemmed_word_spans_are_offsets_in_the_original_text(
    text: str, lang: str, stems: list[str], parts: list[str]
) -> None:
    found, spans = stemmed_word_spans(text, lang)
    assert found == stems
    assert [text[start:end] for start, end in spans] == parts


ODD = st.sampled_from(
    ["e", "=", "\u0301", "\u0338", "\u0331", "か", "\u3099", "\u0130", "Σ", "'", " ", "\u1100", "\u1161", "ö"]
)


@given(st.text(max_size=30) | st.text(ODD, max_size=30), st.sampled_from(["en", "fr", "zh"]))
def test_stemmed_word_spans_agree_with_stemmed_words(text: str, lang: str) -> None:
    stems, spans = stemmed_word_spans(text, lang)
    assert stems == stemmed_words(text, lang)
    assert len(spans) == len(stems)
    words, _ = lowered_word_spans(text)
    for word, (start, end) in zip(words, spans, strict=True):
        assert 0 <= start < end <= len(text)
        # A word depends only on the characters of its span, except for a final sigma. The span of a stray combining
        # mark includes the character before it.
        from_span = unicodedata.normalize("NFC", text[start:end].lower())
        assert word.replace("ς", "σ") in from_span.replace("ς", "σ")
    assert spans == sorted(spans)
    if not any(unicodedata.category(character).startswith("M") for character in text.lower()):
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@pytest.mark.parametrize(
    ("text", "phrase", "present"),
    [
        ("a network of computers", "networks", True),
        ("a network of computers", "net", False),  # not within a word
        ("a network of computers", "computer network", False),  # not in another order
        ("real-time systems", "real time system", True),
        ("a network, computers", "network computers", True),  # punctuation does not matter
        ("a network", "a network of", False),
        ("a network", "", False),
        ("", "network", False),
        ("", "", False),
    ],
)
def test_contains_phrase(text: str, phrase: str, present: bool) -> None:
    assert contains_phrase(stemmed_words(text), stemmed_words(phrase)) is present


@given(st.lists(st.sampled_from(["a", "b", "ab", "ba"]), max_size=8), st.lists(st.sampled_from(["a", "b", "ab"])))
def test_contains_phrase_agrees_with_a_loop_over_positions(words: list[str], phrase: list[str]) -> None:
    found = any(words[start : start + len(phrase)] == phrase for start in range(len(words))) if phrase else False
    assert contains_phrase(words, phrase) is found


def test_stems_equal_the_gold_stems_that_samrank_ships_for_inspec(data_file: Callable[[str], Path]) -> None:
    with data_file("samrank/inspec.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    assert len(records) == 500
    for record in records:
        assert [stem_phrase(phrase) for phrase in record["keyphrases"]] == record["keyphrases_stem"]
