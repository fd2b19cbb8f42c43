"""Gold spans, token labels, and phrases from labels."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.text.stems import contains_phrase
from kpray.unikeyphrase.labels import (
    BEGIN,
    INSIDE,
    LABELS,
    OUTSIDE,
    PIECE,
    find_gold_spans,
    label_tokens,
    read_phrases,
    split_present_absent,
)


def tokens_of(pieces: str) -> tuple[np.ndarray, np.ndarray]:
    """Spans and word starts of pieces as BERT writes them: `v ##oi ##p con`; words with one space between them."""
    spans, starts_word, end = [], [], -1
    for piece in pieces.split():
        further = piece.startswith("##")
        start = end if further else end + 1
        end = start + len(piece.removeprefix("##"))
        spans.append((start, end))
        starts_word.append(not further)
    return np.array(spans, dtype=np.int32).reshape(-1, 2), np.array(starts_word, dtype=bool)


def written(labels: np.ndarray) -> str:
    assert labels.dtype == np.int8
    return " ".join(LABELS[label] for label in labels)


def coded(labels: str) -> np.ndarray:
    return np.array([LABELS.index(label) for label in labels.split()], dtype=np.int8)


def test_label_indices() -> None:
    assert [LABELS[label] for label in (OUTSIDE, BEGIN, INSIDE, PIECE)] == ["O", "B", "I", "X"]


@pytest.mark.parametrize(
    ("text", "keyphrases", "match", "parts"),
    [
        ("Neural networks. A neural network!", ["neural network"], "stemmed", ["Neural networks", "neural network"]),
        ("Neural networks. A neural network!", ["Neural Network"], "exact", ["neural network"]),
        ("peer-to-peer, peer to peer", ["Peer to-peer"], "exact", ["peer-to-peer", "peer to peer"]),
        ("a b c", ["b", "a b", "a b c"], "exact", ["a b c"]),  # nested: the longest is kept
        ("a b c d", ["b c d", "a b"], "exact", ["a b"]),  # overlapping: the leftmost is kept
        ("a b c d", ["b c d", "a b", "c d"], "exact", ["a b", "c d"]),  # the phrase after the overlap is found
        ("a b a b a", ["a b a"], "exact", ["a b a"]),
        ("a b a b", ["a b c", "b"], "exact", ["b", "b"]),  # the start of an incomplete phrase
        ("a a b", ["a b"], "exact", ["a b"]),
        ("a b", ["c", "-", ""], "exact", []),
        ("", ["a"], "exact", []),
        ("a b", [], "exact", []),
        ("a networking", ["net"], "stemmed", []),
        ("die Häuser", ["Haus"], "stemmed", []),  # English stems do not match
        ("cafe\u0301s here", ["caf\u00e9"], "stemmed", ["cafe\u0301s"]),
    ],
)
def test_find_gold_spans(
    text: str, keyphrases: list[str], match: Literal["stemmed", "exact"], parts: list[str]
) -> None:
    spans = find_gold_spans(text, keyphrases, "en", match)
    assert [text[start:end] for start, end in spans] == parts


def test_gold_spans_follow_the_language() -> None:
    assert find_gold_spans("die Häuser", ["Haus"], "de", "stemmed") == [(4, 10)]


@given(
    st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.lists(st.sampled_from("abc"), max_size=4), max_size=5)
)
def test_gold_spans_agree_with_sorted_occurrences(words: list[str], phrases: list[list[str]]) -> None:
    occurrences = {
        (start, -len(phrase))
        for phrase in phrases
        for start in range(len(words))
        if phrase and words[start : start + len(phrase)] == phrase
    }
    expected, free = [], 0
    for start, length in sorted(occurrences):
        if start >= free:
            free = start - length
            expected.append((2 * start, 2 * free - 1))  # each word has a letter and a blank
    assert find_gold_spans(" ".join(words), [" ".join(phrase) for phrase in phrases], "en", "exact") == expected
    # There is a span if there is a present phrase.
    present = [phrase for phrase in phrases if contains_phrase(words, phrase)]
    assert bool(present) == bool(expected)


def test_split_present_absent() -> None:
    text = "Neural networks for real-time systems"
    keyphrases = ["real time system", "peer to peer", "Neural Network", "-", "networks", "Peers to peer", "time net"]
    assert split_present_absent(text, keyphrases, "en", "stemmed") == (
        ["real time system", "Neural Network", "networks"],
        ["peer to peer", "time net"],
    )
    assert split_present_absent(text, [], "en", "stemmed") == ([], [])
    assert split_present_absent("", ["neural"], "en", "stemmed") == ([], ["neural"])


def test_what_is_not_labelled_is_generated() -> None:
    text = "Neural networks for real-time systems"
    keyphrases = ["real time system", "neural networks", "Neural Network", "systems"]
    present, absent = split_present_absent(text, keyphrases, "en", "exact")
    assert (present, absent) == (["neural networks", "systems"], ["real time system"])
    assert len(find_gold_spans(text, present, "en", "exact")) == len(present)


@pytest.mark.parametrize(
    ("pieces", "gold", "labels"),
    [
        ("v ##oi ##p con ##fer ##encing system", [(0, 24)], "B X X I X X I"),  # App. C
        ("a v ##oi ##p con ##fer a", [(2, 6)], "O B X X O O O"),
        ("a b c d", [(0, 1), (2, 5)], "B B I O"),  # two adjacent phrases
        ("peer - to - peer x", [(0, 16)], "B I I I I O"),
        ("a b", [], "O O"),
        ("a b", [(10, 12)], "O O"),  # beyond the cut
        ("net ##work s", [(3, 9)], "O O B"),  # starts within a word: labels start at the next word
        ("net ##work s", [(3, 7)], "O O O"),
        ("net ##work s", [(0, 3)], "B X O"),  # ends within a word: the whole word is labelled
        ("ab c", [(0, 1), (1, 2), (3, 4)], "B B"),  # two spans in one word: the first one wins
        ("##a ##b c ##d", [(0, 3)], "O O B X"),  # pieces without the start of their word
        ("##a ##b", [(0, 2)], "O O"),
        ("", [(0, 2)], ""),
    ],
)
def test_label_tokens(pieces: str, gold: list[tuple[int, int]], labels: str) -> None:
    assert written(label_tokens(*tokens_of(pieces), gold)) == labels


def naive_labels(spans: np.ndarray, starts_word: np.ndarray, gold: list[tuple[int, int]]) -> list[int]:
    labels, before = [], None
    current: tuple[int, int] | None = None
    for (start, end), starts in zip(spans.tolist(), starts_word.tolist(), strict=True):
        if starts:
            current = next((span for span in gold if span[0] < end and start < span[1]), None)
            labels.append(OUTSIDE if current is None else INSIDE if current == before else BEGIN)
            before = current
        else:
            labels.append(OUTSIDE if current is None else PIECE)
    return labels


@st.composite
def tokens_and_gold(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    pieces = draw(st.lists(st.sampled_from(["ab", "c", "##d", "##ef"]), max_size=12))
    spans, starts_word = tokens_of(" ".join(pieces))
    cuts = sorted(draw(st.sets(st.integers(0, 40), max_size=8)))
    return spans, starts_word, list(zip(cuts[::2], cuts[1::2], strict=False))


@given(tokens_and_gold())
def test_label_tokens_agrees_with_a_loop_over_tokens(
    case: tuple[np.ndarray, np.ndarray, list[tuple[int, int]]],
) -> None:
    assert label_tokens(*case).tolist() == naive_labels(*case)


@pytest.mark.parametrize(
    ("pieces", "labels", "phrases"),
    [
        ("v ##oi ##p con ##fer ##encing system", "B X X I X X I", [(0, 7)]),
        ("a b c d", "B I B B", [(0, 2), (2, 3), (3, 4)]),
        ("a b c d", "I I B I", [(2, 4)]),  # I without B counts as O
        ("a b c d", "B O I I", [(0, 1)]),
        ("a ##b c ##d e", "B O I B O", [(0, 4)]),  # labels of further pieces are ignored
        ("a ##b c ##d e", "O B I X B", [(4, 5)]),
        ("a b c", "B X I", [(0, 1)]),  # X on a first piece counts as O
        ("##a b ##c", "B B X", [(1, 3)]),
        ("a b", "O O", []),
        ("", "", []),
    ],
)
def test_read_phrases(pieces: str, labels: str, phrases: list[tuple[int, int]]) -> None:
    _, starts_word = tokens_of(pieces)
    found = read_phrases(coded(labels), np.ones(len(starts_word), dtype=np.float32), starts_word)
    assert found == [(first, end, 1.0) for first, end in phrases]


def test_score_is_the_mean_over_the_tokens_of_a_phrase() -> None:
    _, starts_word = tokens_of("a ##b c d e")
    probabilities = np.array([0.5, 0.25, 0.75, 0.125, 1.0], dtype=np.float32)
    assert read_phrases(coded("B X I O B"), probabilities, starts_word) == [
        (0, 3, (0.5 + 0.25 + 0.75) / 3),
        (4, 5, 1.0),
    ]


def naive_phrases(
    labels: list[int], probabilities: list[float], starts_word: list[bool]
) -> list[tuple[int, int, float]]:
    phrases: list[list[int]] = []
    is_open = False
    for token, (label, starts) in enumerate(zip(labels, starts_word, strict=True)):
        if starts and label == BEGIN:
            phrases.append([])
        if starts:
            is_open = label == BEGIN or (is_open and label == INSIDE)
        if is_open:
            phrases[-1].append(token)
    return [
        (tokens[0], tokens[-1] + 1, sum(probabilities[token] for token in tokens) / len(tokens)) for tokens in phrases
    ]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 16), st.booleans()), max_size=15))
def test_read_phrases_agrees_with_a_loop_over_tokens(tokens: list[tuple[int, int, bool]]) -> None:
    labels = [label for label, _, _ in tokens]
    probabilities = [sixteenths / 16 for _, sixteenths, _ in tokens]  # sums are exact
    starts_word = [starts for _, _, starts in tokens]
    found = read_phrases(
        np.array(labels, dtype=np.int64),
        np.array(probabilities, dtype=np.float32),
        np.array(starts_word, dtype=bool),
    )
    assert found == naive_phrases(labels, probabilities, starts_word)


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["out", "begin", "go on"])), max_size=12))
def test_round_trip_of_phrases_and_labels(words: list[tuple[int, str]]) -> None:
    """Spans of whole words, adjacent ones included, to labels to phrases."""
    spans, starts_word = tokens_of(" ".join("ab" + " ##cd" * (pieces - 1) for pieces, _ in words))
    phrases: list[tuple[int, int]] = []  # token indices
    token, is_open = 0, False
    for pieces, role in words:
        if role == "begin":
            phrases.append((token, token + pieces))
        elif role == "go on" and is_open:
            phrases[-1] = (phrases[-1][0], token + pieces)
        is_open = role == "begin" or (role == "go on" and is_open)
        token += pieces
    gold = [(int(spans[first, 0]), int(spans[end - 1, 1])) for first, end in phrases]
    labels = label_tokens(spans, starts_word, gold)
    found = read_phrases(labels, np.ones(len(labels)), starts_word)
    assert [(first, end) for first, end, _ in found] == phrases
