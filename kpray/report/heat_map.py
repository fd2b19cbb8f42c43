"""Heat map of the scores of all attention heads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kpray.report.figures import BAND, INK, LIGHT, PAPER, colour_axes, new_figure, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _DPI = 12.0, 100  # inches, pixels an inch: 1200 pixels wide
_MAP = "viridis"  # readable with every kind of colour vision, and in grey
_BEST = "#d55e00"  # vermilion of the Okabe-Ito palette, which contrasts with all of viridis
_ON_CELL = ("#fefefe", "#000000")  # texts on dark and on light cells, in both colour schemes
_MARKERS = "osD^v<>phPXd"
_MAX_ANNOTATED = 16  # heads or layers: with more, the values do not fit into their cells


def draw_heads(scores: Mapping[str, NDArray[np.float64]], path: Path, metric: str) -> None:
    """Draw the score of every head: a row of two panels for each data set.

    The left panel is a heat map of layers by heads, with a frame around the best head. The right panel shows the score
    of each head as a marker over its layer, as in SAMRank's Figures 3 and 4. Layers and heads are counted from 1, as in
    the paper.

    Args:
        scores: name of the data set -> float [layers, heads], scores in percent. NaN: the head was not scored.
        path: SVG or PNG file to write, by the suffix of its name; a PNG is 1200 pixels wide.
        metric: name of the score, such as `F1@15`.

    Raises:
        ValueError: a data set has no score, or there is no data set.
    """
    if not scores:
        raise ValueError("there are no scores to draw")
    for name, of_heads in scores.items():
        if of_heads.ndim != 2 or np.isnan(of_heads).all():
            raise ValueError(f"the scores of {name} must be an array [layers, heads] with at least one score")

    heights = [min(max(0.32 * of_heads.shape[0] + 1.0, 3.2), 9.0) for of_heads in scores.values()]
    figure = new_figure((_WIDTH, sum(heights) + 0.2), _DPI)
    rows = figure.subplots(len(scores), 2, squeeze=False, height_ratios=heights, width_ratios=(1.1, 1.0))
    for (heat, points), (name, of_heads) in zip(rows, scores.items(), strict=True):
        _draw_heat_map(heat, of_heads, name, metric)
        _draw_points(points, of_heads, name, metric)
    write_figure(figure, path)


def _draw_heat_map(axes: Axes, scores: NDArray[np.float64], name: str, metric: str) -> None:
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    layers, heads = scores.shape
    best_layer, best_head = _best(scores)
    norm = Normalize(float(np.nanmin(scores)), float(np.nanmax(scores)))
    colour_axes(axes)
    axes.set_facecolor(LIGHT)  # the colour of heads without a score
    # A rectangle for each cell: an image would be blurred in an SVG.
    edges = np.arange(heads + 1) - 0.5, np.arange(layers + 1) - 0.5
    cells = axes.pcolormesh(*edges, np.ma.masked_invalid(scores), cmap=_MAP, norm=norm)
    axes.invert_yaxis()
    if max(layers, heads) <= _MAX_ANNOTATED:
        for layer, head in zip(*np.nonzero(~np.isnan(scores)), strict=True):
            value = float(scores[layer, head])
            axes.text(
                head,
                layer,
                f"{value:.1f}",
                ha="center",
                va="center",
                fontsize=8,
                color=_ON_CELL[bool(norm(value) > 0.55)],
                fontweight="bold" if (layer, head) == (best_layer, best_head) else "normal",
            )
    axes.add_patch(
        Rectangle((best_head - 0.5, best_layer - 0.5), 1, 1, fill=False, edgecolor=_BEST, linewidth=2.5, clip_on=False)
    )
    axes.set_xticks(*_ticks(heads))
    axes.set_yticks(*_ticks(layers))
    axes.tick_params(length=0)
    axes.set_xlabel("head")
    axes.set_ylabel("layer")
    best = f"best: layer {best_layer + 1}, head {best_head + 1}, {scores[best_layer, best_head]:.2f}"
    axes.set_title(f"{name}: {metric} by layer and head ({best})", fontsize=10, loc="left", color=INK)
    bar = axes.figure.colorbar(cells, ax=axes, pad=0.02, fraction=0.05, aspect=20 * max(layers / 12, 1))
    bar.ax.tick_params(color=INK, labelcolor=INK)
    bar.outline.set_edgecolor(INK)


def _draw_points(axes: Axes, scores: NDArray[np.float64], name: str, metric: str) -> None:
    from matplotlib import colormaps

    layers, heads = scores.shape
    best_layer, best_head = _best(scores)
    # Both ends of the map would be hard to see, one on a light screen and the other on a dark one.
    colours = colormaps[_MAP](np.linspace(0.15, 0.9, heads))
    colour_axes(axes)
    for layer in range(2, layers + 1, 2):
        axes.axvspan(layer - 0.5, layer + 0.5, color=BAND, linewidth=0)
    for head in range(heads):
        # The markers of a layer are side by side, so that equal scores do not cover each other.
        shift = 0.0 if heads == 1 else 0.7 * (head / (heads - 1) - 0.5)
        axes.plot(
            np.arange(1, layers + 1) + shift,
            scores[:, head],
            linestyle="none",
            marker=_MARKERS[head % len(_MARKERS)],
            markersize=8 if heads <= _MAX_ANNOTATED else 5,
            color=colours[head],
            markeredgecolor=PAPER,
            markeredgewidth=0.5,
            label=f"{head + 1}",
        )
    shift = 0.0 if heads == 1 else 0.7 * (best_head / (heads - 1) - 0.5)
    axes.plot(
        best_layer + 1 + shift,
        scores[best_layer, best_head],
        linestyle="none",
        marker="o",
        markersize=14,
        fillstyle="none",
        color=_BEST,
        markeredgewidth=1.8,
    )
    indices, labels = _ticks(layers)
    axes.set_xticks([index + 1 for index in indices], labels)
    axes.set_xlim(0.5, layers + 0.5)
    axes.set_xlabel("layer")
    axes.set_ylabel(metric)
    axes.set_title(f"{name}: {metric} of each head, by layer", fontsize=10, loc="left", color=INK)
    axes.grid(axis="y", color=LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)
    if heads <= _MAX_ANNOTATED:
        legend = axes.legend(
            title="head",
            fontsize=8,
            title_fontsize=8,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
            labelcolor=INK,
        )
        legend.get_title().set_color(INK)


def _best(scores: NDArray[np.float64]) -> tuple[int, int]:
    layer, head = divmod(int(np.nanargmax(scores)), scores.shape[1])
    return layer, head


def _ticks(number: int) -> tuple[list[int], list[str]]:
    """Positions counted from 0 and labels counted from 1, evenly spaced and at most 16."""
    step = math.ceil(number / _MAX_ANNOTATED)
    indices = list(range(0, number, step))
    return indices, [str(index + 1) for index in indices]
