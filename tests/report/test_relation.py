"""Distances of pairs of representations: drawn at random, summed up, shown."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kpray.report.relation import distance_rows, draw_relation, pair_distances

EXTRACTION = np.array([[0.0, 0.0], [3.0, 4.0]], dtype=np.float32)
GENERATION = np.array([[0.0, 1.0], [3.0, 0.0], [6.0, 8.0]], dtype=np.float32)
# Of every vector of the one from every vector of the other.
DISTANCES = [1, 3, 10, math.sqrt(3**2 + 3**2), 4, 5]


def test_all_pairs_where_there_are_few() -> None:
    assert sorted(pair_distances(EXTRACTION, GENERATION)) == pytest.approx(sorted(DISTANCES))


def test_as_many_pairs_as_asked_for_none_twice() -> None:
    drawn = pair_distances(EXTRACTION, GENERATION, pairs=4)
    assert len(drawn) == 4
    assert len({round(float(distance), 6) for distance in drawn}) == 4  # all six are different
    assert all(min(abs(distance - known) for known in DISTANCES) < 1e-6 for distance in drawn)


def test_2000_pairs_of_many_the_same_for_every_model() -> None:
    vectors = np.random.default_rng(0).normal(size=(2, 300, 8))
    one, other = pair_distances(vectors[0], vectors[1]), pair_distances(2 * vectors[0], 2 * vectors[1])
    assert one.shape == (2000,)
    assert other == pytest.approx(2 * one)
    assert not np.array_equal(one, pair_distances(vectors[0], vectors[1], seed=1))


def test_half_precision_does_not_overflow() -> None:
    large = np.full((1, 4), 200, dtype=np.float16)
    assert pair_distances(large, -large).tolist() == [pytest.approx(math.sqrt(4 * 400**2))]


@pytest.mark.parametrize(
    ("extraction", "generation", "message"),
    [
        (EXTRACTION, GENERATION[:, :1], "same width"),
        (EXTRACTION[0], GENERATION[0], "same width"),
        (EXTRACTION, GENERATION[:0], "no pairs"),
    ],
)
def test_other_arrays_are_refused(
    extraction: NDArray[np.float32], generation: NDArray[np.float32], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pair_distances(extraction, generation)


def test_rows() -> None:
    rows = distance_rows({"without SRL": np.array([1.0, 2.0, 6.0]), "with SRL": np.array([4.0])})
    assert rows == [
        {"model": "without SRL", "mean distance": 3.0, "standard deviation": statistics.stdev([1, 2, 6]), "pairs": 3},
        {"model": "with SRL", "mean distance": 4.0, "standard deviation": None, "pairs": 1},
    ]


def test_every_pair_is_a_point_of_its_model_s_colour(tmp_path: Path) -> None:
    distances = {"without SRL": np.array([1.0, 2.0, 1.5]), "with SRL": np.array([9.0, 7.0, 8.0])}
    figure = draw_relation(distances, tmp_path / "relation.png")
    points = [line for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert [np.asarray(line.get_ydata()).tolist() for line in points] == [
        values.tolist() for values in distances.values()
    ]
    assert all(np.asarray(line.get_xdata()).tolist() == [1, 2, 3] for line in points)
    assert points[0].get_color() != points[1].get_color()
    means = {line.get_color(): np.asarray(line.get_ydata())[0] for line in figure.axes[0].lines if line not in points}
    assert [means[line.get_color()] for line in points] == [1.5, 8.0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "without SRL: mean 1.50, sd 0.50",
        "with SRL: mean 8.00, sd 1.00",
    ]
    assert (tmp_path / "relation.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("distances", [{}, {"without SRL": np.array([])}])
def test_nothing_to_draw_is_refused(distances: dict[str, NDArray[np.float64]], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no distances"):
        draw_relation(distances, tmp_path / "relation.png")


def test_legend_of_long_names_is_inside_the_figure(tmp_path: Path) -> None:
    distances = {f"a model with a long name {number}": np.ones(2) for number in range(3)}
    figure = draw_relation(distances, tmp_path / "relation.png")
    [legend] = figure.legends
    extent = legend.get_window_extent()
    assert 0 <= extent.x0 < extent.x1 <= figure.bbox.width
    assert len(legend.get_texts()) == 3
