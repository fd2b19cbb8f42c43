"""What the smaller figures have in common: size, colours, axes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette without its yellow: told apart with any colour vision, and dark enough for a white ground.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
LIGHT = "#D0D0D0"
_SIZE, _DPI = (8.0, 4.8), 150  # inches, pixels an inch: 1200 pixels wide, and readable at 800


def new_axes(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """One pair of axes on a figure of its own, with a title, labels and a light grid for the heights."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title, fontsize=12, loc="left")
    axes.set_xlabel(x_label, fontsize=11)
    axes.set_ylabel(y_label, fontsize=11)
    axes.tick_params(labelsize=10)
    axes.grid(axis="y", color=LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)
    return figure, axes


def write_figure(figure: Figure, path: Path) -> None:
    """Write a PNG file; the legend, if any, goes below the axes, where it hides nothing."""
    [axes] = figure.axes
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=3, fontsize=10, frameon=False, markerscale=2.5)
    figure.savefig(path, format="png")
