"""Occurrences of phrases, and Eq. 7-8 with the rule for single words (Sec. 3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.samrank.phrases import ONCE, Occurrences, find_occurrences, phrase_scores, prefer_recurring
from tests.samrank import naive

Span = tuple[int, int]


@dataclass(frozen=True)
class Sample:
    """Words with candidates and tokens."""

    words: list[str]
    candidates: list[Span]
    word_spans: list[Span]
    token_spans: list[Span]
    segments: list[int]


def occurrences_of(sample: Sample) -> Occurrences:
    def spans(of: Sequence[Span]) -> np.ndarray:
        return np.array(of, dtype=np.int32).reshape(-1, 2)

    return find_occurrences(
        sample.words,
        spans(sample.candidates),
        spans(sample.word_spans),
        spans(sample.token_spans),
        np.array(sample.segments, dtype=np.int32),
    )


def one_token_per_word(text: str, candidates: list[Span], segments: list[int] | None = None) -> Sample:
    words = text.split()
    starts = np.cumsum([0, *(len(word) + 1 for word in words[:-1])]).tolist()
    spans = [(start, start + len(word)) for start, word in zip(starts, words, strict=True)]
    return Sample(words, candidates, spans, spans, segments or [0] * len(words))


def by_phrase(sample: Sample, scores: Sequence[float]) -> dict[str, float]:
    """Phrase -> its score, in order, for the token scores of one head."""
    found = occurrences_of(sample)
    values = phrase_scores(np.array([scores], dtype=np.float64), found)[0].tolist()
    first = found.words[found.first_of_phrase].tolist()
    return {" ".join(sample.words[a:b]): value for (a, b), value in zip(first, values, strict=True)}


def test_multi_word_phrase_has_weight_1_at_every_occurrence() -> None:
    sample = one_token_per_word("neural net . the Neural Net", [(0, 2), (4, 6)])
    scores = by_phrase(sample, [1, 2, 4, 8, 16, 32])
    assert scores == {"neural net": 1 + 2 + 16 + 32}


def test_occurrence_that_the_grammar_did_not_find_counts() -> None:
    sample = one_token_per_word("neural net . big neural net", [(0, 2), (3, 6)])
    scores = by_phrase(sample, [1, 2, 4, 8, 16, 32])
    assert scores == {"neural net": 1 + 2 + 16 + 32, "big neural net": 8 + 16 + 32}


def test_single_word_is_the_mean_of_its_occurrences_outside_longer_phrases() -> None:
    sample = one_token_per_word("net . neural net . net", [(0, 1), (2, 4), (5, 6)])
    scores = by_phrase(sample, [1, 2, 4, 8, 16, 32])
    assert scores == {"net": (1 + 32) / 2, "neural net": 4 + 8}


def test_single_word_that_occurs_only_in_longer_phrases_scores_0() -> None:
    # "net" is a candidate of the second sentence, which also contains the longer "net gain".
    sample = one_token_per_word("net gain . net gain", [(0, 2), (3, 4)])
    assert by_phrase(sample, [1, 2, 4, 8, 16]) == {"net gain": 1 + 2 + 8 + 16, "net": 0}


def test_single_word_is_a_mean_in_each_segment() -> None:
    sample = one_token_per_word("net . net . net", [(0, 1)], segments=[0, 0, 0, 1, 1])
    assert by_phrase(sample, [1, 2, 4, 8, 16]) == {"net": (1 + 4) / 2 + 16}


def test_phrases_are_in_text_order_and_the_longest_first() -> None:
    sample = one_token_per_word("x a b . a . c", [(1, 2), (1, 3), (6, 7)])
    assert list(by_phrase(sample, [1] * 7)) == ["a b", "a", "c"]


def test_word_score_is_the_sum_of_the_overlapping_tokens() -> None:
    #       0123456789
    # The text "networks of" has the tokens "net", "works", " of"; the word "of" starts inside the third token.
    sample = Sample(["networks", "of"], [(0, 1), (1, 2)], [(0, 8), (9, 11)], [(0, 3), (3, 8), (8, 11)], [0, 0, 0])
    assert by_phrase(sample, [1, 2, 4]) == {"networks": 1 + 2, "of": 4}


def test_token_of_two_words_counts_for_both() -> None:
    sample = Sample(["do", "n't"], [(0, 1), (1, 2)], [(0, 2), (2, 5)], [(0, 5)], [0])
    assert by_phrase(sample, [3]) == {"do": 3, "n't": 3}


def test_word_without_a_token_scores_0() -> None:
    sample = Sample(["ab", "cd", "ef"], [(0, 1), (1, 2)], [(0, 2), (3, 5), (6, 8)], [(0, 2), (6, 8)], [0, 0])
    assert by_phrase(sample, [1, 2]) == {"ab": 1, "cd": 0}


def test_phrases_that_occur_once_weigh_less() -> None:
    words = "ice cap melts , ice cap shrinks , snow falls , snows".split()
    spans = [(index, index + 1) for index in range(len(words))]
    sample = Sample(words, [(0, 2), (8, 9), (9, 10), (11, 12)], spans, spans, [0] * len(words))
    occurrences = occurrences_of(sample)
    # "snow" and "snows" are one group.
    assert prefer_recurring(occurrences, np.array([0, 1, 2, 1])).weights.tolist() == [1, 1, 1, ONCE, 1]


def test_no_candidates() -> None:
    found = occurrences_of(one_token_per_word("a b", []))
    assert found.words.shape == found.tokens.shape == (0, 2)
    assert phrase_scores(np.ones((3, 2)), found).shape == (3, 0)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    words = draw(st.lists(st.sampled_from(["aa", "AA", "bbb", "c", "dd"]), min_size=1, max_size=14))
    bounds = st.tuples(st.integers(0, len(words) - 1), st.integers(1, 5))
    candidates = sorted({(a, min(a + length, len(words))) for a, length in draw(st.lists(bounds, max_size=6))})
    word_spans: list[Span] = []
    token_spans: list[Span] = []
    end = 0
    for word in words:
        start = end + draw(st.integers(0, 2))  # spaces
        cuts = draw(st.sets(st.integers(start + 1, start + len(word) - 1))) if len(word) > 1 else set()
        with_space = start - (start > end and draw(st.booleans()))  # GPT-2's tokens begin with the space
        edges = [with_space, *sorted(cuts), start + len(word)]
        for piece in pairwise(edges):
            token_spans += [piece] * draw(st.sampled_from([1, 1, 2]))  # one character's bytes may be several tokens
        end = start + len(word)
        word_spans.append((start, end))
    first_of_second = draw(st.integers(1, len(token_spans)))
    segments = [int(number >= first_of_second) for number in range(len(token_spans))]
    return Sample(words, candidates, word_spans, token_spans, segments)


@given(samples())
def test_occurrences_equal_those_of_a_loop(sample: Sample) -> None:
    found = occurrences_of(sample)
    edges = [*found.first_of_phrase.tolist(), len(found.words)]
    occurrences = {
        tuple(word.lower() for word in sample.words[slice(*found.words[a])]): [
            (a, b) for a, b in found.words[a:b].tolist()
        ]
        for a, b in pairwise(edges)
    }
    expected = naive.find_occurrences([word.lower() for word in sample.words], sample.candidates)
    assert occurrences == expected
    assert list(occurrences) == list(expected)
    for (first_word, end_word), (first, end) in zip(found.words.tolist(), found.tokens.tolist(), strict=True):
        start_character, end_character = sample.word_spans[first_word][0], sample.word_spans[end_word - 1][1]
        touching = [t for t, (a, b) in enumerate(sample.token_spans) if a < end_character and b > start_character]
        assert list(range(first, end)) == touching


@given(samples(), st.integers(0, 1000))
def test_phrase_scores_equal_those_of_a_loop(sample: Sample, seed: int) -> None:
    scores = np.random.default_rng(seed).random((2, len(sample.token_spans)))
    tokens = naive.Tokens(sample.token_spans, sample.segments, scores)
    expected = naive.phrase_scores(sample.words, sample.word_spans, sample.candidates, tokens)
    found = phrase_scores(scores, occurrences_of(sample))
    assert found.shape == (2, len(expected))
    if expected:
        np.testing.assert_allclose(found.T, list(expected.values()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("words", [1, 2, 3000])
def test_one_word_repeated(words: int) -> None:
    sample = one_token_per_word(" ".join(["net"] * words), [(0, 1)])
    assert by_phrase(sample, [2.0] * words) == {"net": pytest.approx(2.0)}
