"""The margins that filter mined pairs, against the definition of Artetxe and Schwenk on the whole matrix."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.schedules import are_right, ratio_margins


def test_margins_are_those_of_the_whole_matrix() -> None:
    cosines = np.random.default_rng(0).uniform(0.1, 1, size=(9, 7))
    found = np.argsort(-cosines, axis=1)
    pairs = np.stack([np.arange(9), found[:, 0]], axis=1)
    expected = []
    for document, english in pairs.tolist():
        near = np.sort(cosines[document])[-4:].mean(), np.sort(cosines[:, english])[-4:].mean()
        expected.append(cosines[document, english] / (sum(near) / 2))
    scores = np.take_along_axis(cosines, found, axis=1)
    assert ratio_margins(pairs, found, scores).tolist() == pytest.approx(expected)


def test_right_pairs() -> None:
    pairs = np.array([[0, 5], [1, 5], [2, 6]])
    assert are_right(pairs, {0: 5, 1: 6}).tolist() == [True, False, False]
    assert are_right(pairs[:0], {}).shape == (0,)
