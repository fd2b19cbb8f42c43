"""Curves of the training loss (UniKeyphrase, Fig. 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kpray.errors import UserError
from kpray.report.figures import COLOURS, add_legend, new_axes, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TERMS = ("extraction", "generation")  # L_PKE and L_AKG of Eq. 15, without the bag-of-words constraint
_WINDOWS = 40  # number of smoothing windows in a curve
_LINES = ("-", "--", ":", "-.")


class Curve(NamedTuple):
    """The loss of one training.

    Attributes:
        steps: int64 [points], increasing.
        losses: float64 [points], mean loss per document.
    """

    steps: NDArray[np.int64]
    losses: NDArray[np.float64]


def read_curve(path: Path) -> Curve:
    """Read the sum of the extraction loss and the generation loss from a `metrics.jsonl`.

    Lines without these losses are skipped, such as those of validations. So are losses that are not finite, which occur
    when a step overflows in half precision. If a step occurs twice, because training resumed from an earlier
    checkpoint, the later line counts. An incomplete last line is skipped: the training is still writing it.

    Raises:
        UserError: the file cannot be read, or a line is not a JSON object.
    """
    try:
        *lines, _unfinished = path.read_text("utf-8").split("\n")
        rows = [json.loads(line) for line in lines]
        points = {
            int(row["step"]): sum(row[term] for term in _TERMS) for row in rows if row.keys() >= {"step", *_TERMS}
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"the file does not hold the metrics of a training: {error}", where=str(path), fix="move the file away"
        ) from error
    steps = sorted(step for step, loss in points.items() if np.isfinite(loss))
    return Curve(np.array(steps, dtype=np.int64), np.array([points[step] for step in steps], dtype=np.float64))


def smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Moving average.

    Args:
        values: float64 [points].
        window: number of points in each average, an odd number; near the ends, the window contains fewer points.

    Returns:
        float64 [points].
    """
    indices = np.arange(len(values))
    first, end = np.maximum(indices - window // 2, 0), np.minimum(indices + window // 2 + 1, len(values))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means: NDArray[np.float64] = (sums[end] - sums[first]) / (end - first)
    return means


def draw_training_curves(curves: Mapping[str, Curve], path: Path) -> Figure:
    """Draw the smoothed loss of each training over its steps, and the raw loss faintly behind it.

    Args:
        curves: name of the training -> its loss, with at least one point.
        path: SVG or PNG file to write, by the suffix of its name.

    Returns:
        The written figure.

    Raises:
        ValueError: a curve has no points, or there is no curve.
    """
    if not curves or not all(len(curve.steps) for curve in curves.values()):
        raise ValueError("there are no losses to draw")
    figure, axes = new_axes("Training loss, extraction + generation", "step", "mean loss per document")
    for index, (name, curve) in enumerate(curves.items()):
        colour, line = COLOURS[index % len(COLOURS)], _LINES[index // len(COLOURS) % len(_LINES)]
        axes.plot(curve.steps, curve.losses, color=colour, linewidth=0.7, alpha=0.25, zorder=1)
        smoothed = smooth(curve.losses, len(curve.losses) // _WINDOWS | 1)  # odd
        marker = "o" if len(curve.steps) == 1 else ""
        axes.plot(curve.steps, smoothed, color=colour, linewidth=2, linestyle=line, marker=marker, label=name)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    add_legend(figure)
    write_figure(figure, path)
    return figure
