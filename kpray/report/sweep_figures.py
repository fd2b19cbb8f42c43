"""Figures of sweeps: a score over one field with bands, two measures over one field, parallel coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kpray.report.figures import COLOURS, INK, LIGHT, NOTE, PAPER, add_legend, colour_axes, new_axes, write_figure
from kpray.report.trials import Setting, Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = "os^Dv<>"
_MAP = "viridis"
_SHIFT = 0.03  # share of an axis between lines that would otherwise cover each other


@dataclass(frozen=True, slots=True)
class Point:
    """One setting in a curve.

    Attributes:
        x: value of the field.
        values: score of each seed, in any order.
        mean: mean of the values.
        low: lower bound of the 95% interval; None without an interval.
        high: upper bound.
    """

    x: float
    values: Sequence[float]
    mean: float
    low: float | None
    high: float | None


def draw_curves(curves: Mapping[str, Sequence[Point]], path: Path, title: str, x_label: str, y_label: str) -> Figure:
    """Draw the mean score over one field as a line, its 95% interval as a band, and the score of each seed as a dot.

    Args:
        curves: name -> points, at least one. The name of a single curve is not shown.
        path: SVG or PNG file to write, by the suffix of its name.
        title: title of the figure.
        x_label: name of the field.
        y_label: name of the score.

    Raises:
        ValueError: a curve has no points, or there is no curve.
    """
    if not curves or not all(curves.values()):
        raise ValueError("there are no points to draw")
    figure, axes = new_axes(title, x_label, y_label)
    for index, (name, points) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        ordered = sorted(points, key=lambda point: point.x)
        xs = [point.x for point in ordered]
        label = name if len(curves) > 1 else None
        axes.plot(xs, [point.mean for point in ordered], color=colour, marker=_MARKERS[index % 7], label=label)
        banded = [point for point in ordered if point.low is not None and point.high is not None]
        lows, highs = [point.low or 0.0 for point in banded], [point.high or 0.0 for point in banded]
        axes.fill_between([point.x for point in banded], lows, highs, color=colour, alpha=0.15, linewidth=0)
        for point in ordered:
            axes.plot(
                [point.x] * len(point.values),
                list(point.values),
                linestyle="none",
                marker=".",
                markersize=5,
                color=colour,
                alpha=0.6,
            )
    axes.set_xticks(sorted({point.x for points in curves.values() for point in points}))
    note = "band: 95% interval of the mean over seeds; dots: seeds"
    figure.text(0.99, 0.99, note, ha="right", va="top", fontsize=9, color=NOTE)
    add_legend(figure)
    write_figure(figure, path)
    return figure


def draw_two_measures(
    points: Sequence[tuple[float, float, float]], path: Path, title: str, x_label: str, y_labels: tuple[str, str]
) -> Figure:
    """Draw two measures over one field, each with its own axis, such as recall and pseudo pairs over tau.

    Args:
        points: x and the two measures, at least one point.
        path: SVG or PNG file to write, by the suffix of its name.
        title: title of the figure.
        x_label: name of the field.
        y_labels: names of the measures: left axis, right axis.

    Raises:
        ValueError: `points` is empty.
    """
    if not points:
        raise ValueError("there are no points to draw")
    figure, left = new_axes(title, x_label, y_labels[0])
    right = left.twinx()
    ordered = sorted(points)
    for index, axes in enumerate((left, right)):
        axes.plot(
            [point[0] for point in ordered],
            [point[1 + index] for point in ordered],
            color=COLOURS[index],
            marker=_MARKERS[index],
            linestyle=("-", "--")[index],
        )
        colour_axes(axes)
        axes.set_ylabel(y_labels[index], color=COLOURS[index], fontsize=11)
        axes.margins(y=0.05)
        axes.set_ylim(bottom=0)
    right.spines["top"].set_visible(False)
    left.set_xticks([point[0] for point in ordered])
    write_figure(figure, path)
    return figure


def draw_parallel(trials: Sequence[tuple[Setting, float]], path: Path, title: str, score: str) -> Figure:
    """Draw every trial as a line across parallel axes: one for each field and one for the score, its colour too.

    Args:
        trials: setting and score of each trial, at least one. All settings have the same fields.
        path: SVG or PNG file to write, by the suffix of its name.
        title: title of the figure.
        score: name of the score.

    Raises:
        ValueError: `trials` is empty.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    if not trials:
        raise ValueError("there are no trials to draw")
    fields = [name for name in trials[0][0] if len({setting[name] for setting, _ in trials}) > 1] or list(trials[0][0])
    figure, axes = new_axes(title, "", "")
    # Both ends of the map would be hard to see, one on a light screen and the other on a dark one.
    colours = ListedColormap(colormaps[_MAP](np.linspace(0.25, 0.9, 256)))
    scores = [value for _, value in trials]
    low, high = min(scores), max(scores)
    norm = Normalize(low, high if high > low else low + 1)
    heights_of = {name: _heights([setting[name] for setting, _ in trials]) for name in fields}
    seen: dict[tuple[str, float], int] = {}
    for setting, value in sorted(trials, key=lambda trial: trial[1]):
        heights = []
        for name in fields:
            height = heights_of[name][setting[name]]
            number = seen[name, height] = seen.get((name, height), -1) + 1
            heights.append(height + _SHIFT * ((number + 1) // 2) * (-1) ** number / max(1, len(trials) // 10))
        colour = colours(norm(value))
        axes.plot(range(len(fields) + 1), [*heights, norm(value)], color=colour, linewidth=1.6, alpha=0.8)
    for column, name in enumerate(fields):
        axes.axvline(column, color=LIGHT, linewidth=1, zorder=0)
        for label, height in heights_of[name].items():
            axes.annotate(
                "none" if label is None else f"{label}",
                (column, height),
                xytext=(-6, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=10,
                color=INK,
                bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1},
                zorder=5,
            )
    axes.set_xlim(-0.6, len(fields) + 0.05)
    axes.set_xticks(range(len(fields) + 1), [*(name.rpartition(".")[2] for name in fields), score])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, pad=0.02)
    bar.set_label(score, color=INK)
    bar.ax.tick_params(color=INK, labelcolor=INK)
    bar.outline.set_edgecolor(INK)
    write_figure(figure, path)
    return figure


def _heights(values: Sequence[Value]) -> dict[Value, float]:
    """Height of each distinct value on its axis, in [0, 1]. Numbers are in their order."""
    numbers = all(isinstance(value, (int, float)) for value in values)
    ordered: list[Value] = sorted(set(values), key=lambda value: value if numbers else str(value))  # type: ignore[arg-type,return-value]
    return {value: index / max(1, len(ordered) - 1) for index, value in enumerate(ordered)}
