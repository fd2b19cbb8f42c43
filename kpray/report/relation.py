"""Distances between the representations of the two tasks (UniKeyphrase, Fig. 3)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kpray.report.figures import COLOURS, PAPER, add_legend, new_axes, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIRS = 2000


def pair_distances(
    extraction: NDArray[np.floating], generation: NDArray[np.floating], *, pairs: int = PAIRS, seed: int = 0
) -> NDArray[np.float64]:
    """Euclidean distances of random pairs: one vector for extraction, one for generation (Sec. 4.5.1).

    Args:
        extraction: float [n, hidden], vectors of P_L at source positions of any number of documents.
        generation: float [m, hidden], vectors of A_L at target positions, so that no pair has the same position twice.
        pairs: number of pairs, drawn without replacement; all n * m pairs if that is fewer.
        seed: random seed of the draw. Models with vectors at the same positions are compared on the same pairs.

    Returns:
        float64 [pairs], in the order of the draw.

    Raises:
        ValueError: the arrays have other shapes, or are empty.
    """
    if extraction.ndim != 2 or generation.ndim != 2 or extraction.shape[1] != generation.shape[1]:
        raise ValueError(f"vectors of shapes {extraction.shape} and {generation.shape} do not have the same width")
    possible = len(extraction) * len(generation)
    if not possible:
        raise ValueError("there are no pairs of vectors")
    drawn = np.random.default_rng(seed).choice(possible, size=min(pairs, possible), replace=False, shuffle=True)
    first, second = np.divmod(drawn, len(generation))
    differences = extraction[first].astype(np.float64) - generation[second].astype(np.float64)
    distances: NDArray[np.float64] = np.linalg.norm(differences, axis=1)
    return distances


def distance_rows(distances: Mapping[str, NDArray[np.float64]]) -> list[dict[str, str | int | float | None]]:
    """Rows of a table: mean and sample standard deviation of each model's distances."""
    return [
        {
            "model": name,
            "mean distance": float(values.mean()),
            "standard deviation": float(values.std(ddof=1)) if len(values) > 1 else None,
            "pairs": len(values),
        }
        for name, values in distances.items()
    ]


def draw_relation(distances: Mapping[str, NDArray[np.float64]], path: Path) -> Figure:
    """Draw the distance of each pair as a point, and the mean of each model as a line, with a colour for each model.

    Args:
        distances: model (`without SRL`, `with SRL`) -> float64 [pairs], from `pair_distances`.
        path: SVG or PNG file to write, by the suffix of its name.

    Returns:
        The written figure.

    Raises:
        ValueError: a model has no distances, or there is no model.
    """
    if not distances or not all(map(len, distances.values())):
        raise ValueError("there are no distances to draw")
    figure, axes = new_axes(
        "Distance between extraction and generation representations", "pair of positions", "Euclidean distance"
    )
    for index, (name, values) in enumerate(distances.items()):
        colour, marker = COLOURS[index % len(COLOURS)], "o^sDv"[index % 5]
        label = f"{name}: mean {values.mean():.2f}, sd {values.std(ddof=1 if len(values) > 1 else 0):.2f}"
        axes.plot(
            np.arange(1, len(values) + 1),
            values,
            linestyle="none",
            marker=marker,
            markersize=3,
            markeredgewidth=0,
            alpha=0.55,
            color=colour,
            label=label,
        )
        axes.axhline(float(values.mean()), color=PAPER, linewidth=3.5)
        axes.axhline(float(values.mean()), color=colour, linewidth=1.8)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, max(map(len, distances.values())) + 1)
    axes.xaxis.set_major_formatter(lambda pair, _: f"{pair:,.0f}")
    add_legend(figure)
    write_figure(figure, path)
    return figure
