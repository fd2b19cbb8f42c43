"""Figures as SVG: light and dark colours, texts as texts, the same file every time."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from kpray.report.figures import _DARK, COLOURS, new_axes, write_figure
from kpray.report.heat_map import draw_heads


@pytest.fixture
def svg(tmp_path: Path) -> str:
    """A figure with every colour of the palette."""
    figure, axes = new_axes("A title", "step", "loss")
    for index, colour in enumerate(COLOURS):
        axes.plot([0, 1], [index, index + 1], color=colour)
    write_figure(figure, tmp_path / "a.svg")
    return (tmp_path / "a.svg").read_text("utf-8")


def test_colours_have_a_dark_counterpart(svg: str) -> None:
    _, media, rules = svg.partition("@media (prefers-color-scheme: dark)")
    assert media
    rules, _, drawn = rules.partition("</style>")
    used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", drawn))
    assert used <= {*_DARK, *COLOURS}  # nothing stays black on dark, or white on light
    for colour in used & {*_DARK}:
        assert f'[style*="fill: {colour}"] {{ fill: {_DARK[colour]} !important }}' in rules
        assert f'[style*="stroke: {colour}"] {{ stroke: {_DARK[colour]} !important }}' in rules


def test_texts_are_texts(svg: str) -> None:
    texts = {element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert {"A title", "step", "loss"} <= texts
    assert "#000000" not in svg  # every text has the ink's colour


def test_heat_map_as_svg(tmp_path: Path) -> None:
    scores = np.arange(72.0).reshape(6, 12)
    for _ in range(2):
        draw_heads({"Inspec": scores}, tmp_path / "heads.svg", "F1@15")
        (tmp_path / "heads.svg").rename(tmp_path / f"{len(list(tmp_path.iterdir()))}.svg")
    first, second = sorted(tmp_path.iterdir())
    assert first.read_bytes() == second.read_bytes()
    texts = [element.text for element in ElementTree.parse(first).iter("{http://www.w3.org/2000/svg}text")]
    assert {f"{score:.1f}" for score in range(72)} <= {*texts}


def test_png_by_suffix(tmp_path: Path) -> None:
    figure, _ = new_axes("A title", "step", "loss")
    write_figure(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
