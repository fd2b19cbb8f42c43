"""Common parts of the figures: size, colours, axes, and how they are written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette without its yellow: distinct for every kind of colour vision, and dark enough on white.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#1f2328")
INK, PAPER = "#1f2328", "#ffffff"
LIGHT, BAND, NOTE = "#d0d0d0", "#f2f2f2", "#505050"  # grid lines; stripes behind points; small print
# Colour -> its counterpart on a dark screen. Other colours stay, such as those of a heat map's cells.
_DARK = {
    INK: "#e6e6e6",
    PAPER: "#16181d",
    LIGHT: "#41454d",
    BAND: "#22252b",
    NOTE: "#a8adb5",
    "#0072b2": "#4ba3e3",
    "#56b4e9": "#a6dcff",
    "#009e73": "#2fc495",
    "#d55e00": "#f07c2c",
}
_SIZE, _DPI = (8.0, 4.8), 150  # inches, pixels per inch: 1200 pixels wide, and readable at 800


def new_figure(size: tuple[float, float], dpi: int) -> Figure:
    """An empty figure that belongs to no window.

    Args:
        size: width and height in inches.
        dpi: pixels per inch, where it is written as PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def new_axes(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """A figure with one pair of axes: title, labels and light horizontal grid lines."""
    figure = new_figure(_SIZE, _DPI)
    axes = figure.subplots()
    axes.set_title(title, fontsize=12, loc="left", color=INK)
    axes.set_xlabel(x_label, fontsize=11)
    axes.set_ylabel(y_label, fontsize=11)
    axes.tick_params(labelsize=10)
    axes.grid(axis="y", color=LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)
    colour_axes(axes)
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)
    return figure, axes


def colour_axes(axes: Axes) -> None:
    """Give everything that belongs to the axes the colours that have a dark counterpart."""
    axes.set_facecolor(PAPER)
    axes.tick_params(color=INK, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_edgecolor(INK)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)


def add_legend(figure: Figure) -> None:
    """Put the legend, if any, below the axes, where it hides nothing, in as many of three columns as fit."""
    [axes] = figure.axes
    if not axes.get_legend_handles_labels()[0]:
        return
    for columns in (3, 2, 1):
        legend = figure.legend(
            loc="outside lower center", ncols=columns, fontsize=10, frameon=False, markerscale=2.5, labelcolor=INK
        )
        if columns == 1 or legend.get_window_extent().width < 0.95 * figure.bbox.width:
            return
        legend.remove()


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as SVG or PNG, by the suffix of the file's name.

    An SVG has light and dark colours; the browser chooses by the screen's colour scheme. Its texts remain texts.

    Args:
        figure: what to write.
        path: file whose name ends in `.svg`, or any other name for PNG.
    """
    if path.suffix.lower() != ".svg":
        figure.savefig(path, format="png")
        return
    from matplotlib import rc_context

    written = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": path.name}):  # the same figure gives the same file
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    head, tag, rest = written.getvalue().partition("<defs>")
    path.write_text(f"{head}{_dark_style()}\n{tag}{rest}", encoding="utf-8", newline="\n")


def _dark_style() -> str:
    """Rules that replace the colours in `style` attributes, so that programs without CSS show the light ones."""
    rules = "".join(
        f'svg [style*="{name}: {light}"] {{ {name}: {dark} !important }}\n'
        for light, dark in _DARK.items()
        for name in ("fill", "stroke")
    )
    return f"<style>\n@media (prefers-color-scheme: dark) {{\n{rules}}}\n</style>"
