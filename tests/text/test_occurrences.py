"""Offsets of phrases agree with a plain search at every position."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kpray.text.occurrences import StemmedText, without_overlaps
from kpray.text.stems import stemmed_words


def occurrences(text: str, *phrases: str, lang: str = "en") -> list[list[str]]:
    found = StemmedText.of(text, lang).find([stemmed_words(phrase, lang) for phrase in phrases])
    return [[text[start:end] for start, end in spans] for spans in found]


def test_inflections_case_hyphens_and_line_breaks_do_not_matter() -> None:
    text = "Neural networks are used. A neural\nnetwork, the Neural-Network; a network of neural cells."
    assert occurrences(text, "neural network", "cell", "tree", "") == [
        ["Neural networks", "neural\nnetwork", "Neural-Network"],
        ["cells"],
        [],
        [],
    ]


def test_whole_words_only() -> None:
    assert occurrences("The network of nets: netting a netted fish.", "net") == [["nets", "netting", "netted"]]


def test_characters_of_chinese_are_words() -> None:
    assert occurrences("神经网络与神经网络。", "神经网络", lang="zh") == [["神经网络", "神经网络"]]


def test_text_without_words() -> None:
    assert occurrences("", "graph") == [[]]
    assert occurrences("?!", "graph") == [[]]


@given(
    words=st.lists(st.sampled_from(["a", "b", "ab"]), max_size=12), phrase=st.lists(st.sampled_from("ab"), max_size=3)
)
def test_as_a_search_at_every_position(words: list[str], phrase: list[str]) -> None:
    text = " ".join(words)
    expected, index = [], 0
    while phrase and index + len(phrase) <= len(words):
        if words[index : index + len(phrase)] == phrase:
            start = len(" ".join([*words[:index], ""]))
            expected.append((start, start + len(" ".join(phrase))))
            index += len(phrase)
        else:
            index += 1
    assert StemmedText.of(text, "xx").find([phrase]) == [tuple(expected)]


def test_of_two_overlapping_spans_the_longer_or_earlier_stays() -> None:
    assert without_overlaps([(8, 9), (0, 4), (0, 6), (5, 9), (6, 8), (0, 6)]) == ((0, 6), (6, 8), (8, 9))
    assert without_overlaps([]) == ()
