"""Losses of trainings: read from their metrics, smoothed, drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.errors import UserError
from kpray.report.training_curves import Curve, draw_training_curves, read_curve, smooth


def line(step: int, extraction: float, generation: float, **more: Any) -> dict[str, Any]:
    loss = extraction + generation + 7.0
    return {"step": step, "loss": loss, "extraction": extraction, "generation": generation, "bag_of_words": 7.0, **more}


def write(path: Path, *rows: dict[str, Any], end: str = "") -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + end, encoding="utf-8")
    return path


def curve(*losses: float) -> Curve:
    return Curve(np.arange(1, len(losses) + 1), np.array(losses))


def test_loss_is_without_the_bag_of_words_constraint(tmp_path: Path) -> None:
    path = write(tmp_path / "metrics.jsonl", line(10, 5.0, 3.0, lr=1e-5), line(20, 4.0, 2.5, lr=2e-5))
    steps, losses = read_curve(path)
    assert (steps.tolist(), losses.tolist()) == ([10, 20], [5.0 + 3.0, 4.0 + 2.5])


def test_validations_and_what_was_done_anew(tmp_path: Path) -> None:
    rows = [
        line(10, 5.0, 3.0),
        line(20, 9.0, 9.0),
        {"step": 20, "valid_f1": 30.0},
        line(20, 4.0, 2.0),
        line(30, 1.0, 1),
    ]
    steps, losses = read_curve(write(tmp_path / "metrics.jsonl", *rows, end='{"step": 40, "extr'))
    assert (steps.tolist(), losses.tolist()) == ([10, 20, 30], [8.0, 6.0, 2.0])


def test_overflow_is_no_loss(tmp_path: Path) -> None:
    rows = [line(1, 5.0, 3.0), line(2, float("inf"), 3.0), line(3, 2.0, float("nan")), line(4, 2.0, 2.0)]
    assert read_curve(write(tmp_path / "metrics.jsonl", *rows)).losses.tolist() == [8.0, 4.0]


def test_file_without_a_loss(tmp_path: Path) -> None:
    assert len(read_curve(write(tmp_path / "metrics.jsonl")).steps) == 0


@pytest.mark.parametrize("text", ["no JSON\n", "[1]\n", '{"step": 1, "extraction": "a", "generation": 2}\n'])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"metrics\.jsonl: the file does not hold the metrics of a training"):
        read_curve(path)


def test_smoothing() -> None:
    values = np.array([1.0, 2.0, 6.0, 4.0, 10.0])
    expected = [(1 + 2) / 2, (1 + 2 + 6) / 3, (2 + 6 + 4) / 3, (6 + 4 + 10) / 3, (4 + 10) / 2]
    assert smooth(values, 3) == pytest.approx(expected)
    assert smooth(values, 1) == pytest.approx(values)


@given(values=st.lists(st.floats(-100, 100), min_size=1, max_size=30), half=st.integers(0, 40))
def test_smoothing_as_a_loop(values: list[float], half: int) -> None:
    expected = [np.mean(values[max(0, place - half) : place + half + 1]) for place in range(len(values))]
    assert smooth(np.array(values), 2 * half + 1) == pytest.approx(expected, abs=1e-9)


def test_each_training_is_drawn_as_it_was_and_smoothed(tmp_path: Path) -> None:
    noisy = np.random.default_rng(0).normal(10, 2, 400)
    curves = {"vanilla": Curve(np.arange(0, 4000, 10), noisy), "+BWC": curve(9.0, 7.0, 6.5)}
    figure = draw_training_curves(curves, tmp_path / "loss.png")
    raw, smoothed, raw_short, smoothed_short = figure.axes[0].lines
    assert np.array_equal(raw.get_xydata(), np.column_stack(curves["vanilla"]))
    assert np.array_equal(smoothed.get_xdata(), curves["vanilla"].steps)
    assert smoothed.get_ydata() == pytest.approx(smooth(noisy, 11))
    assert np.asarray(smoothed.get_ydata()).std() < np.std(noisy) / 2
    assert smoothed_short.get_ydata() == pytest.approx([9.0, 7.0, 6.5])  # too few to smooth
    assert (smoothed.get_label(), smoothed_short.get_label()) == ("vanilla", "+BWC")
    assert smoothed.get_color() == raw.get_color() != smoothed_short.get_color() == raw_short.get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["vanilla", "+BWC"]
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_one_point_is_seen(tmp_path: Path) -> None:
    _, shown = draw_training_curves({"short": curve(3.0)}, tmp_path / "loss.png").axes[0].lines
    assert shown.get_marker() == "o"


@pytest.mark.parametrize("curves", [{}, {"empty": curve()}])
def test_nothing_to_draw_is_refused(curves: dict[str, Curve], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no losses"):
        draw_training_curves(curves, tmp_path / "loss.png")
