"""The picture of all heads: its size, and that what it shows follows the scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from kpray.report.heat_map import draw_heads

FRAME = np.array([0xD5, 0x5E, 0x00])  # colour of the best head's frame


@pytest.fixture
def scores() -> NDArray[np.float64]:
    """float64 [6 layers, 12 heads], best at layer 2, head 3 (from 0)"""
    values = np.random.default_rng(0).uniform(20, 35, size=(6, 12))
    values[2, 3] = 40
    return values


def draw(scores: dict[str, NDArray[np.float64]], path: Path) -> NDArray[np.int64]:
    """RGB pixels, int64 [height, width, 3], of the picture."""
    draw_heads(scores, path, "F1@15")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels: NDArray[np.int64] = np.rint(255 * imread(path)[:, :, :3]).astype(np.int64)
    return pixels


def framed(pixels: NDArray[np.int64], side: slice) -> tuple[float, float]:
    """Mean row and column of the pixels in the frame's colour, within the columns of `side`."""
    rows, columns = np.nonzero((np.abs(pixels[:, side] - FRAME) <= 2).all(axis=2))
    assert rows.size > 20
    return float(rows.mean()), float(columns.mean())


def test_size_grows_with_the_data_sets(scores: NDArray[np.float64], tmp_path: Path) -> None:
    one = draw({"Inspec": scores}, tmp_path / "one.png")
    two = draw({"Inspec": scores, "SemEval2010": scores}, tmp_path / "two.png")
    assert one.shape[1] == two.shape[1] == 1200
    assert 300 <= one.shape[0] <= 500
    assert 1.7 * one.shape[0] <= two.shape[0] <= 2.1 * one.shape[0]


def test_the_same_scores_give_the_same_file(scores: NDArray[np.float64], tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_heads({"Inspec": scores}, tmp_path / name, "F1@15")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_one_other_score_changes_both_panels(scores: NDArray[np.float64], tmp_path: Path) -> None:
    before = draw({"Inspec": scores}, tmp_path / "before.png")
    scores[4, 9] = 21.0 if scores[4, 9] > 28 else 34.0
    after = draw({"Inspec": scores}, tmp_path / "after.png")
    changed = (before != after).any(axis=2)
    assert changed[:, :600].sum() > 500  # one cell of the heat map: about 40 x 40 pixels
    assert 30 < changed[:, 600:].sum() < 1000  # one marker, here and there
    assert changed.mean() < 0.02


def test_the_best_head_is_framed_where_it_stands(scores: NDArray[np.float64], tmp_path: Path) -> None:
    heat, points = slice(0, 600), slice(600, 1200)
    before = draw({"Inspec": scores}, tmp_path / "before.png")
    scores[4, 9] = 45
    after = draw({"Inspec": scores}, tmp_path / "after.png")
    (row, column), (row_after, column_after) = framed(before, heat), framed(after, heat)
    # Two layers further down, six heads further right, in cells of about 45 x 40 pixels.
    assert 60 < row_after - row < 120
    assert 200 < column_after - column < 300
    # In the right panel two layers further right.
    assert framed(after, points)[1] - framed(before, points)[1] > 100


def test_heads_without_a_score_are_grey(scores: NDArray[np.float64], tmp_path: Path) -> None:
    whole = draw({"Inspec": scores}, tmp_path / "whole.png")
    scores[0, :6] = np.nan
    partly = draw({"Inspec": scores}, tmp_path / "partly.png")
    grey = [int((pixels[:, :600] == 0xD0).all(axis=2).sum()) for pixels in (whole, partly)]
    assert grey[0] < 100
    assert grey[1] > 5000


@pytest.mark.parametrize("shape", [(1, 1), (1, 12), (12, 1), (32, 32), (80, 64)])
def test_any_number_of_layers_and_heads(shape: tuple[int, int], tmp_path: Path) -> None:
    pixels = draw({"all alike": np.full(shape, 30.0)}, tmp_path / "heads.png")
    assert pixels.shape[1] == 1200
    assert pixels.shape[0] <= 1000


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no scores"):
        draw_heads({}, tmp_path / "heads.png", "F1@15")
    with pytest.raises(ValueError, match="Inspec"):
        draw_heads({"Inspec": np.full((2, 2), np.nan)}, tmp_path / "heads.png", "F1@15")
    assert not (tmp_path / "heads.png").exists()
