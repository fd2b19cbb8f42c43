"""Scores of all attention heads as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _DPI = 12.0, 100  # inches, pixels an inch: 1200 pixels wide
_COLOURS = "viridis"  # told apart with any colour vision, and in grey
_BEST = "#D55E00"  # vermilion of the Okabe-Ito palette, which stands out on all of viridis
_BAND = "#F2F2F2"
_GREY = "#D0D0D0"
_MARKERS = "osD^v<>phPXd"
_MOST_ANNOTATED = 16  # heads: the values of more do not fit into their cells


def draw_heads(scores: Mapping[str, NDArray[np.float64]], path: Path, metric: str) -> None:
    """Draw the score of every head, one row of two panels for each data set.

    Left, layers by heads as a heat map with the best head framed; right, as in SAMRank's Figures 3 and 4, the score
    over the layer with one marker for each head. Layers and heads are counted from 1, as in the paper.

    Args:
        scores: name of the data set -> float [layers, heads], the score in percent; NaN where a head was not scored.
        path: PNG file to write, 1200 pixels wide.
        metric: what the score is, such as `F1@15`; labels the axes.

    Raises:
        ValueError: when there is no data set, or one without a score.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not scores:
        raise ValueError("there are no scores to draw")
    for name, of_heads in scores.items():
        if of_heads.ndim != 2 or np.isnan(of_heads).all():
            raise ValueError(f"the scores of {name} must be an array [layers, heads] with at least one score")

    heights = [min(max(0.32 * of_heads.shape[0] + 1.0, 3.2), 9.0) for of_heads in scores.values()]
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.2), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(scores), 2, squeeze=False, height_ratios=heights, width_ratios=(1.1, 1.0))
    for (heat, points), (name, of_heads) in zip(rows, scores.items(), strict=True):
        _draw_heat_map(heat, of_heads, name, metric)
        _draw_points(points, of_heads, name, metric)
    figure.savefig(path, format="png")


def _draw_heat_map(axes: Axes, scores: NDArray[np.float64], name: str, metric: str) -> None:
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    layers, heads = scores.shape
    best_layer, best_head = _best(scores)
    norm = Normalize(float(np.nanmin(scores)), float(np.nanmax(scores)))
    axes.set_facecolor(_GREY)  # shows where there is no score
    image = axes.imshow(scores, cmap=_COLOURS, norm=norm, aspect="auto", interpolation="nearest")
    if max(layers, heads) <= _MOST_ANNOTATED:
        for layer, head in zip(*np.nonzero(~np.isnan(scores)), strict=True):
            value = float(scores[layer, head])
            axes.text(
                head,
                layer,
                f"{value:.1f}",
                ha="center",
                va="center",
                fontsize=8,
                color="black" if norm(value) > 0.55 else "white",
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
    axes.set_title(f"{name}: {metric} by layer and head ({best})", fontsize=10, loc="left")
    axes.figure.colorbar(image, ax=axes, pad=0.02, fraction=0.05, aspect=20 * max(layers / 12, 1))


def _draw_points(axes: Axes, scores: NDArray[np.float64], name: str, metric: str) -> None:
    from matplotlib import colormaps

    layers, heads = scores.shape
    best_layer, best_head = _best(scores)
    # The last tenth of the map is a yellow too light for a white ground.
    colours = colormaps[_COLOURS](np.linspace(0, 0.9, heads))
    for layer in range(2, layers + 1, 2):
        axes.axvspan(layer - 0.5, layer + 0.5, color=_BAND, linewidth=0)
    for head in range(heads):
        # Heads stand side by side within their layer, so that equal scores do not hide each other.
        shift = 0.0 if heads == 1 else 0.7 * (head / (heads - 1) - 0.5)
        axes.plot(
            np.arange(1, layers + 1) + shift,
            scores[:, head],
            linestyle="none",
            marker=_MARKERS[head % len(_MARKERS)],
            markersize=8 if heads <= _MOST_ANNOTATED else 5,
            color=colours[head],
            markeredgecolor="white",
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
    places, labels = _ticks(layers)
    axes.set_xticks([place + 1 for place in places], labels)
    axes.set_xlim(0.5, layers + 0.5)
    axes.set_xlabel("layer")
    axes.set_ylabel(metric)
    axes.set_title(f"{name}: {metric} of each head, by layer", fontsize=10, loc="left")
    axes.grid(axis="y", color=_GREY, linewidth=0.6)
    axes.set_axisbelow(True)
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)
    if heads <= _MOST_ANNOTATED:
        axes.legend(
            title="head", fontsize=8, title_fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False
        )


def _best(scores: NDArray[np.float64]) -> tuple[int, int]:
    layer, head = divmod(int(np.nanargmax(scores)), scores.shape[1])
    return layer, head


def _ticks(number: int) -> tuple[list[int], list[str]]:
    """Places from 0 and labels from 1, at most 16 of them, evenly spaced."""
    step = math.ceil(number / _MOST_ANNOTATED)
    places = list(range(0, number, step))
    return places, [str(place + 1) for place in places]
