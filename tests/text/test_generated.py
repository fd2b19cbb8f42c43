"""Phrases of a generated sequence with a delimiter of several tokens; the tests of the methods cover one token."""

from __future__ import annotations

import numpy as np
import pytest

from kpray.text.generated import split_target

END = 99


def test_a_delimiter_of_several_tokens() -> None:
    ids = [7, 1, 7, 8, 8, 2, 7, 8, 7, 8, 3, END]  # a single 7 or 8 is part of a phrase
    probabilities = np.array([0.9, 0.9, 0.6, 0.6, 0.8, 0.8, 0.7, 0.7, 0.1, 0.1, 0.9, 0.7])
    found = split_target(ids, probabilities, [7, 8], END)
    assert [phrase for phrase, _ in found] == [[7, 1], [8, 2], [3]]
    # The score of the last phrase is at most that of the empty phrase before it.
    assert [score for _, score in found] == pytest.approx([(0.9 + 0.9 + 0.6 + 0.6) / 4, 0.75, 0.1])
    assert split_target(ids[:-1], probabilities[:-1], [7, 8], END) == found[:2]


def test_an_end_token_inside_a_delimiter_closes_the_phrase() -> None:
    assert split_target([1, 7, END], [0.5, 0.5, 0.5], [7, 8], END) == [([1, 7], 0.5)]
