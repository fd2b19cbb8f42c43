"""How far the words of predicted keyphrases are from those of the gold, as bars (UniKeyphrase, Fig. 5)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kpray.report.figures import COLOURS, new_axes, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GROUP = 0.8  # share of the width that the bars of one data set take together
_HATCHES = ("", "//", "..", "xx")


def draw_bow_error(errors: Mapping[str, Mapping[str, tuple[float, float, float]]], path: Path) -> Figure:
    """Draw one group of bars for each data set, with one bar for each system and its interval as a whisker.

    Args:
        errors: system -> data set -> mean over the documents of the sum of absolute differences of word counts
            (`kpray.metrics.bag_of_words.bag_of_words_distance`), and the bounds of its 95% interval. A system may lack
            a data set, and then has no bar there.
        path: PNG file to write.

    Returns:
        The figure as it was written.

    Raises:
        ValueError: there is no error to draw.
    """
    data_sets = list(dict.fromkeys(name for of_system in errors.values() for name in of_system))
    if not data_sets:
        raise ValueError("there are no errors to draw")
    figure, axes = new_axes(
        "Bag-of-words error of the predicted keyphrases",
        "data set",
        "words too many or missing, mean",
    )
    width = _GROUP / len(errors)
    for place, (system, of_system) in enumerate(errors.items()):
        shown = [name for name in data_sets if name in of_system]
        means, lows, highs = zip(*(of_system[name] for name in shown), strict=True) if shown else ((), (), ())
        shift = (place - (len(errors) - 1) / 2) * width
        axes.bar(
            [data_sets.index(name) + shift for name in shown],
            means,
            0.92 * width,
            yerr=(
                [mean - low for mean, low in zip(means, lows, strict=True)],
                [high - mean for mean, high in zip(means, highs, strict=True)],
            ),
            label=system,
            color=COLOURS[place % len(COLOURS)],
            hatch=_HATCHES[place // len(COLOURS) % len(_HATCHES)],
            edgecolor="white",
            linewidth=0.0,
            error_kw={"ecolor": "#404040", "capsize": 4, "elinewidth": 1.2},
        )
        for name, mean, high in zip(shown, means, highs, strict=True):
            axes.annotate(
                f"{mean:.1f}",
                (data_sets.index(name) + shift, high),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=9,
            )
    axes.set_xticks(range(len(data_sets)), data_sets)
    axes.set_xlim(-0.6, len(data_sets) - 0.4)
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", length=0)
    figure.text(0.99, 0.99, "whiskers: 95% interval over documents", ha="right", va="top", fontsize=9, color="#505050")
    write_figure(figure, path)
    return figure
