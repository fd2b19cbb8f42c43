"""Pictures of sweeps: a score over one field with bands, two measures over one field, parallel coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kpray.report.figures import COLOURS, LIGHT, new_axes, write_figure
from kpray.report.trials import Setting, Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = "os^Dv<>"
_MAP = "viridis"
_STRAY = 0.03  # of an axis: what lies on one place is drawn a little apart


@dataclass(frozen=True, slots=True)
class Point:
    """One setting in a curve.

    Attributes:
        x: value of the field.
        values: of its seeds, in no order.
        mean: of these.
        low: bound of the 95% interval; None where there is none.
        high: likewise.
    """

    x: float
    values: Sequence[float]
    mean: float
    low: float | None
    high: float | None


def draw_curves(curves: Mapping[str, Sequence[Point]], path: Path, title: str, x_label: str, y_label: str) -> Figure:
    """Draw the mean over one field, a line for each curve, with its 95% interval as a band and each seed as a dot.

    Args:
        curves: name -> its points, at least one; a single curve needs no name.
        path: PNG file to write.
        title: of the figure.
        x_label: the field.
        y_label: what the values are.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not curves or not all(curves.values()):
        raise ValueError("there are no points to draw")
    figure, axes = new_axes(title, x_label, y_label)
    for place, (name, points) in enumerate(curves.items()):
        colour = COLOURS[place % len(COLOURS)]
        ordered = sorted(points, key=lambda point: point.x)
        xs = [point.x for point in ordered]
        label = name if len(curves) > 1 else None
        axes.plot(xs, [point.mean for point in ordered], color=colour, marker=_MARKERS[place % 7], label=label)
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
    figure.text(0.99, 0.99, note, ha="right", va="top", fontsize=9, color="#505050")
    write_figure(figure, path)
    return figure


def draw_two_measures(
    points: Sequence[tuple[float, float, float]], path: Path, title: str, x_label: str, y_labels: tuple[str, str]
) -> Figure:
    """Draw two measures over one field, each with an axis of its own: tau against recall and against pairs.

    Args:
        points: x and the two measures, at least one.
        path: PNG file to write.
        title: of the figure.
        x_label: the field.
        y_labels: of the left axis and of the right one.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not points:
        raise ValueError("there are no points to draw")
    figure, left = new_axes(title, x_label, y_labels[0])
    right = left.twinx()
    ordered = sorted(points)
    for place, axes in enumerate((left, right)):
        axes.plot(
            [point[0] for point in ordered],
            [point[1 + place] for point in ordered],
            color=COLOURS[place],
            marker=_MARKERS[place],
            linestyle=("-", "--")[place],
        )
        axes.set_ylabel(y_labels[place], color=COLOURS[place], fontsize=11)
        axes.margins(y=0.05)
        axes.set_ylim(bottom=0)
    right.spines["top"].set_visible(False)
    left.set_xticks([point[0] for point in ordered])
    figure.savefig(path, format="png")
    return figure


def draw_parallel(trials: Sequence[tuple[Setting, float]], path: Path, title: str, score: str) -> Figure:
    """Draw every trial as a line over one axis for each field and one for its score, which also is its colour.

    Args:
        trials: setting and score of each, at least one; all have the same fields.
        path: PNG file to write.
        title: of the figure.
        score: what the score is.

    Raises:
        ValueError: there is nothing to draw.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    if not trials:
        raise ValueError("there are no trials to draw")
    fields = [name for name in trials[0][0] if len({setting[name] for setting, _ in trials}) > 1] or list(trials[0][0])
    figure, axes = new_axes(title, "", "")
    scores = [value for _, value in trials]
    low, high = min(scores), max(scores)
    norm = Normalize(low, high if high > low else low + 1)
    places = {name: _places([setting[name] for setting, _ in trials]) for name in fields}
    seen: dict[tuple[str, float], int] = {}
    for setting, value in sorted(trials, key=lambda trial: trial[1]):
        heights = []
        for name in fields:
            place = places[name][setting[name]]
            number = seen[name, place] = seen.get((name, place), -1) + 1
            heights.append(place + _STRAY * ((number + 1) // 2) * (-1) ** number / max(1, len(trials) // 10))
        # Up to a green that still shows on a white ground.
        colour = colormaps[_MAP](0.9 * norm(value))
        axes.plot(range(len(fields) + 1), [*heights, norm(value)], color=colour, linewidth=1.6, alpha=0.8)
    for column, name in enumerate(fields):
        axes.axvline(column, color=LIGHT, linewidth=1, zorder=0)
        for label, place in places[name].items():
            axes.annotate(
                "none" if label is None else f"{label}",
                (column, place),
                xytext=(-6, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=10,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
                zorder=5,
            )
    axes.set_xlim(-0.6, len(fields) + 0.05)
    axes.set_xticks(range(len(fields) + 1), [*(name.rpartition(".")[2] for name in fields), score])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    colours = colormaps[_MAP].resampled(256)
    from matplotlib.colors import ListedColormap

    bar = ScalarMappable(Normalize(low, norm.vmax), ListedColormap([colours(0.9 * step / 255) for step in range(256)]))
    figure.colorbar(bar, ax=axes, label=score, pad=0.02)
    figure.savefig(path, format="png")
    return figure


def _places(values: Sequence[Value]) -> dict[Value, float]:
    """Height of each different value in [0, 1], numbers in their order."""
    numbers = all(isinstance(value, (int, float)) for value in values)
    ordered: list[Value] = sorted(set(values), key=lambda value: value if numbers else str(value))  # type: ignore[arg-type,return-value]
    return {value: index / max(1, len(ordered) - 1) for index, value in enumerate(ordered)}
