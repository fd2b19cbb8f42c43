"""The loss over the steps of trainings (UniKeyphrase, Fig. 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kpray.errors import UserError
from kpray.report.figures import COLOURS, new_axes, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TERMS = ("extraction", "generation")  # L_PKE and L_AKG of Eq. 15, without the bag-of-words constraint
_WINDOWS = 40  # the smoothing window is this part of the points
_LINES = ("-", "--", ":", "-.")


class Curve(NamedTuple):
    """The loss of one training.

    Attributes:
        steps: int64 [points], rising.
        losses: float64 [points], the mean of a document.
    """

    steps: NDArray[np.int64]
    losses: NDArray[np.float64]


def read_curve(path: Path) -> Curve:
    """Read the loss of extraction and generation together, without the bag-of-words constraint, from a `metrics.jsonl`.

    Lines without both of them, such as those of validations, are passed over, and losses that are no number, such as
    those of steps that overflow in half precision. Of a step that stands there twice,
    because training went on from an earlier checkpoint, the later line counts. A last line without its end is one that
    is still being written.

    Raises:
        UserError: the file cannot be read, or a line is not a JSON object.
    """
    try:
        *lines, _unfinished = path.read_text("utf-8").split("\n")
        rows = [json.loads(line) for line in lines]
        points = {
            int(row["step"]): sum(row[term] for term in _TERMS) for row in rows if row.keys() >= {"step", *_TERMS}
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"no metrics of a training: {error}", where=str(path), fix="move the file away") from error
    steps = sorted(step for step, loss in points.items() if np.isfinite(loss))
    return Curve(np.array(steps, dtype=np.int64), np.array([points[step] for step in steps], dtype=np.float64))


def smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Mean of each point and its neighbours.

    Args:
        values: float64 [points].
        window: how many points are averaged, an odd number; near the ends those of them that there are.

    Returns:
        float64 [points].
    """
    places = np.arange(len(values))
    first, end = np.maximum(places - window // 2, 0), np.minimum(places + window // 2 + 1, len(values))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means: NDArray[np.float64] = (sums[end] - sums[first]) / (end - first)
    return means


def draw_training_curves(curves: Mapping[str, Curve], path: Path) -> Figure:
    """Draw the smoothed loss of each training over its steps, with the loss as it was behind it.

    Args:
        curves: name of the training -> its loss, at least one point.
        path: PNG file to write.

    Returns:
        The figure as it was written.

    Raises:
        ValueError: there is no training, or one without a point.
    """
    if not curves or not all(len(curve.steps) for curve in curves.values()):
        raise ValueError("there are no losses to draw")
    figure, axes = new_axes("Training loss, extraction + generation", "step", "loss, mean of a document")
    for place, (name, curve) in enumerate(curves.items()):
        colour, line = COLOURS[place % len(COLOURS)], _LINES[place // len(COLOURS) % len(_LINES)]
        axes.plot(curve.steps, curve.losses, color=colour, linewidth=0.7, alpha=0.25, zorder=1)
        smoothed = smooth(curve.losses, len(curve.losses) // _WINDOWS | 1)  # odd
        marker = "o" if len(curve.steps) == 1 else ""
        axes.plot(curve.steps, smoothed, color=colour, linewidth=2, linestyle=line, marker=marker, label=name)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    write_figure(figure, path)
    return figure
