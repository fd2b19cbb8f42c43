"""Bars of the bag-of-words error: what is drawn is what was given."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.image import imread

from kpray.report.bow_error import draw_bow_error

ERRORS = {
    "vanilla": {"KP20k": (17.0, 16.0, 18.5), "Inspec": (19.0, 18.0, 21.0)},
    "+BWC": {"Inspec": (15.0, 14.0, 15.5), "KP20k": (16.0, 15.0, 16.5), "NUS": (12.0, 10.0, 13.0)},
}


def draw(tmp_path: Path, errors: dict[str, dict[str, tuple[float, float, float]]] = ERRORS) -> Axes:
    [axes] = draw_bow_error(errors, tmp_path / "errors.png").axes
    return axes


def bars(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """System -> (middle, height) of each of its bars."""
    return {
        str(container.get_label()): [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in container]
        for container in axes.containers
        if isinstance(container, BarContainer)
    }


def test_every_error_has_its_bar_beside_its_data_set(tmp_path: Path) -> None:
    axes = draw(tmp_path)
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["KP20k", "Inspec", "NUS"]
    for place, (system, drawn) in enumerate(bars(axes).items()):
        heights = {names[round(middle)]: height for middle, height in drawn}
        assert heights == {name: mean for name, (mean, _, _) in ERRORS[system].items()}
        assert all((middle > round(middle)) == bool(place) for middle, _ in drawn)  # the first system stands left
    [legend] = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["vanilla", "+BWC"]
    assert axes.get_ylim()[0] == 0


def test_whiskers_reach_over_the_interval(tmp_path: Path) -> None:
    containers = [one for one in draw(tmp_path).containers if isinstance(one, ErrorbarContainer)]
    reaches = [
        (segment[0][1], segment[1][1]) for container in containers for segment in container.lines[2][0].get_segments()
    ]
    expected = [(16.0, 18.5), (18.0, 21.0), (14.0, 15.5), (15.0, 16.5), (10.0, 13.0)]
    assert sorted(reaches) == [pytest.approx(pair) for pair in sorted(expected)]


def test_picture_is_written(tmp_path: Path) -> None:
    draw(tmp_path)
    assert imread(tmp_path / "errors.png").shape == (720, 1200, 4)


def test_more_systems_than_colours_are_told_apart(tmp_path: Path) -> None:
    axes = draw(tmp_path, {f"system {place}": {"Inspec": (1.0, 1.0, 1.0)} for place in range(9)})
    looks = {
        (container[0].get_facecolor(), container[0].get_hatch())
        for container in axes.containers
        if isinstance(container, BarContainer)
    }
    assert len(looks) == 9


@pytest.mark.parametrize("errors", [{}, {"vanilla": {}}])
def test_nothing_to_draw_is_refused(errors: dict[str, dict[str, tuple[float, float, float]]], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no errors"):
        draw(tmp_path, errors)
