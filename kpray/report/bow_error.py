"""Bars of the bag-of-words error of predicted keyphrases (UniKeyphrase, Fig. 5)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kpray.report.figures import COLOURS, INK, NOTE, PAPER, add_legend, new_axes, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GROUP = 0.8  # share of the width that the bars of one data set cover together
_HATCHES = ("", "//", "..", "xx")


def draw_bow_error(errors: Mapping[str, Mapping[str, tuple[float, float, float]]], path: Path) -> Figure:
    """Draw a group of bars for each data set: one bar for each system, with its interval as a whisker.

    Args:
        errors: system -> data set -> mean error over the documents, and the bounds of its 95% interval. The error of a
            document is `kpray.metrics.bag_of_words.bag_of_words_distance`. A system without a value for a data set has
            no bar there.
        path: SVG or PNG file to write, by the suffix of its name.

    Returns:
        The written figure.

    Raises:
        ValueError: `errors` is empty.
    """
    data_sets = list(dict.fromkeys(name for of_system in errors.values() for name in of_system))
    if not data_sets:
        raise ValueError("there are no errors to draw")
    figure, axes = new_axes(
        "Bag-of-words error of the predicted keyphrases",
        "data set",
        "missing and surplus words, mean",
    )
    width = _GROUP / len(errors)
    for index, (system, of_system) in enumerate(errors.items()):
        shown = [name for name in data_sets if name in of_system]
        means, lows, highs = zip(*(of_system[name] for name in shown), strict=True) if shown else ((), (), ())
        shift = (index - (len(errors) - 1) / 2) * width
        axes.bar(
            [data_sets.index(name) + shift for name in shown],
            means,
            0.92 * width,
            yerr=(
                [mean - low for mean, low in zip(means, lows, strict=True)],
                [high - mean for mean, high in zip(means, highs, strict=True)],
            ),
            label=system,
            color=COLOURS[index % len(COLOURS)],
            hatch=_HATCHES[index // len(COLOURS) % len(_HATCHES)],
            edgecolor=PAPER,
            linewidth=0.0,
            error_kw={"ecolor": NOTE, "capsize": 4, "elinewidth": 1.2},
        )
        for name, mean, high in zip(shown, means, highs, strict=True):
            axes.annotate(
                f"{mean:.1f}",
                (data_sets.index(name) + shift, high),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                color=INK,
            )
    axes.set_xticks(range(len(data_sets)), data_sets)
    axes.set_xlim(-0.6, len(data_sets) - 0.4)
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", length=0)
    figure.text(0.99, 0.99, "whiskers: 95% interval over documents", ha="right", va="top", fontsize=9, color=NOTE)
    add_legend(figure)
    write_figure(figure, path)
    return figure
