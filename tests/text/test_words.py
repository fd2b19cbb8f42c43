"""Words with offsets, and the starts of sentences."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.text.words import Words, split_words, words_from_spans

# Includes the characters that the rules of words and sentences mention.
MARKS = st.text("abN'’t-‐‑./&+#LRSCB(\").!?。…\n \u0301é网9", max_size=40)


def sentences(words: Words) -> list[list[str]]:
    return [words.texts[start:end] for start, end in pairwise([*words.sentences, len(words.texts)])]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Neural networks learn.", "Neural|networks|learn|."),
        ("peer-to-peer, real‐time and non‑linear", "peer-to-peer|,|real‐time|and|non‑linear"),
        ("a low- and a -high one", "a|low|-|and|a|-|high|one"),  # a hyphen at an edge is not part of the word
        ("pages 3--5", "pages|3|-|-|5"),
        ("TCP/IP, AT&T, 3.14, notepad++ and C++ or F#", "TCP/IP|,|AT&T|,|3.14|,|notepad++|and|C++|or|F#"),
        ("x_1 = 2", "x_1|=|2"),
        ("It doesn't, can't and DON’T", "It|does|n't|,|ca|n't|and|DO|N’T"),
        ("Porter's, we're, they've, I'll, I'd, I'm", "Porter|'s|,|we|'re|,|they|'ve|,|I|'ll|,|I|'d|,|I|'m"),
        ("John’s 'quoted'", "John|’s|'|quoted|'"),
        ("is n't as the Penn Treebank 's", "is|n't|as|the|Penn|Treebank|'s"),
        ("f -LRB- x -RRB- -lsb- y -RCB-", "f|-LRB-|x|-RRB-|-lsb-|y|-RCB-"),
        ("f(x), [y] {z}", "f|(|x|)|,|[|y|]|{|z|}"),
        ("naïve Größe Ελλάδα граф", "naïve|Größe|Ελλάδα|граф"),
        ("a\0b\u200bc", "a|\0|b|\u200b|c"),
        ("one\r\ntwo\tthree\u00a0four\u3000five", "one|two|three|four|five"),
        ("😀 up", "😀|up"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_split_words(text: str, words: str) -> None:
    assert split_words(text).texts == (words.split("|") if words else [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the cafe\u0301 opens", ["the", "cafe\u0301", "opens"]),  # a combining accent
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),  # vowel signs
        ("العَرَبِيَّة", ["العَرَبِيَّة"]),  # vowel points
        ("می\u200cخواهم بروم", ["می\u200cخواهم", "بروم"]),  # a joiner inside a Persian word
    ],
)
def test_combining_marks_and_joiners_stay_in_their_word(text: str, words: list[str]) -> None:
    assert split_words(text).texts == words


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("It ends. Next one! Is it? Yes.", ["It", "Next", "Is", "Yes"]),
        ("Of 3 cases (see Fig. 2) e.g. the last. 7 remain.", ["Of", "2", "7"]),  # a digit may begin a sentence
        ("It is fast, e.g. on graphs, i.e. always.", ["It"]),  # a small letter does not
        ('He said "go." Then (quietly.) We went.', ["He", "Then", "We"]),
        ("What?! Yes... No.", ["What", "Yes", "No"]),
        ("Version 1.5 and a.B are out.", ["Version"]),  # no space
        ("A heading\n\nthe text\n  \nthe end", ["A", "the", "the"]),
        ("one\ntwo", ["one"]),
        ("今天天气好。明天呢？后天！", ["今天天气好", "明天呢", "后天"]),
        ("...", ["."]),
        ("", []),
    ],
)
def test_starts_of_sentences(text: str, starts: list[str]) -> None:
    assert [sentence[0] for sentence in sentences(split_words(text))] == starts


def test_closing_quotes_and_brackets_belong_to_their_sentence() -> None:
    assert sentences(split_words('He said "go." Then left.')) == [
        ["He", "said", '"', "go", ".", '"'],
        ["Then", "left", "."],
    ]


@given(st.text(max_size=60) | MARKS)
def test_words_cover_the_text_without_its_space(text: str) -> None:
    words = split_words(text)
    assert [text[start:end] for start, end in words.spans] == words.texts
    assert all(start < end for start, end in words.spans)
    assert all(one_end <= other_start for (_, one_end), (other_start, _) in pairwise(words.spans))
    covered = {offset for start, end in words.spans for offset in range(start, end)}
    assert {offset for offset, character in enumerate(text) if not character.isspace()} == covered


@given(st.text(max_size=60) | MARKS)
def test_sentences_hold_every_word_once(text: str) -> None:
    words = split_words(text)
    assert words.sentences[:1] == ([0] if words.texts else [])
    assert all(one < other for one, other in pairwise(words.sentences))
    assert [word for sentence in sentences(words) for word in sentence] == words.texts
    assert all(sentences(words))


@given(*2 * [st.text("abN'’t-./\").!? \n9", max_size=40)])
def test_paragraphs_are_split_independently(one: str, other: str) -> None:
    together, first, second = split_words(f"{one}\n\n{other}"), split_words(one), split_words(other)
    assert together.texts == first.texts + second.texts
    assert sentences(together) == sentences(first) + sentences(second)


def test_words_at_given_spans() -> None:
    text = "Ab cd. Ef"
    words = words_from_spans(text, [(0, 2), (3, 5), (7, 9)])
    assert words == Words(["Ab", "cd", "Ef"], [(0, 2), (3, 5), (7, 9)], [0, 2])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a" * 50_000, 1),
        ("ab-" * 20_000, 1 + 1),  # and the last hyphen
        ("." * 50_000, 50_000),
        ("." * 25_000 + "'" * 25_000, 50_000),
        ("a.\n" * 20_000, 40_000),
        ("x. " + " " * 50_000, 2),
        ("\n " * 25_000, 0),
    ],
)
def test_long_texts(text: str, count: int) -> None:
    assert len(split_words(text).texts) == count
