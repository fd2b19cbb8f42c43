"""Pictures of sweeps: what is drawn stands where its numbers say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpray.report.sweep_figures import Point, draw_curves, draw_parallel, draw_two_measures
from kpray.report.trials import Setting


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG")


def points_of(line: Any) -> Any:
    return np.asarray(line.get_xydata()).tolist()


def test_curves_with_bands_and_seeds(tmp_path: Path) -> None:
    points = [Point(2, [3.0, 5.0], 4.0, 2.0, 6.0), Point(0, [1.0], 1.0, None, None)]
    figure = draw_curves({"one": points, "sqrt": points[:1]}, tmp_path / "curves.png", "Score", "depth", "F1")
    [axes] = figure.axes
    lines = [line for line in axes.lines if line.get_linestyle() != "None"]
    assert [points_of(line) for line in lines] == [[[0, 1], [2, 4]], [[2, 4]]]
    dots = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert [points_of(line) for line in dots] == [[[0, 1]], [[2, 3], [2, 5]], [[2, 3], [2, 5]]]
    assert {tuple(vertex) for vertex in np.asarray(axes.collections[0].get_paths()[0].vertices).tolist()} == {
        (2, 2),
        (2, 6),
    }
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "sqrt"]
    assert is_png(tmp_path / "curves.png")


def test_two_measures_have_an_axis_each(tmp_path: Path) -> None:
    figure = draw_two_measures([(5, 60, 100), (0, 50, 400)], tmp_path / "tau.png", "tau", "tau", ("recall", "pairs"))
    left, right = figure.axes
    assert points_of(left.lines[0]) == [[0, 50], [5, 60]]
    assert points_of(right.lines[0]) == [[0, 400], [5, 100]]
    assert (left.get_ylabel(), right.get_ylabel()) == ("recall", "pairs")
    assert is_png(tmp_path / "tau.png")


def test_parallel_coordinates(tmp_path: Path) -> None:
    trials: list[tuple[Setting, float]] = [
        ({"task.depth": 10, "task.scale": "one", "lang": "en"}, 1.0),
        ({"task.depth": 2, "task.scale": None, "lang": "en"}, 3.0),
    ]
    figure = draw_parallel(trials, tmp_path / "parallel.png", "All", "F1")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["depth", "scale", "F1"]  # one language only
    lines = [points_of(line) for line in axes.lines[:2]]
    assert lines[0][0] == [0, 1]  # of depths 2 and 10, the 10 is above
    assert (lines[0][2], lines[1][2]) == ([2, 0], [2, 1])
    assert {text.get_text() for text in axes.texts} == {"2", "10", "none", "one"}
    assert is_png(tmp_path / "parallel.png")


def test_nothing_to_draw(tmp_path: Path) -> None:
    path = tmp_path / "none.png"
    with pytest.raises(ValueError, match="no points"):
        draw_curves({}, path, "", "", "")
    with pytest.raises(ValueError, match="no points"):
        draw_two_measures([], path, "", "", ("", ""))
    with pytest.raises(ValueError, match="no trials"):
        draw_parallel([], path, "", "")
