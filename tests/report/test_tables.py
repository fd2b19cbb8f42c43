"""Rows of numbers as Markdown and on the console."""

from __future__ import annotations

import math

from rich.console import Console

from kpray.report.tables import (
    Cell,
    console_table,
    fitting_table,
    markdown_table,
    with_interval,
)

ROWS: list[dict[str, Cell]] = [
    {"data": "Inspec", "F1@5": 33.957, "documents": 1500},
    {"data": "SemEval2010", "F1@5": 9.5, "documents": 100, "note": "long"},
]


def printed(rows: list[dict[str, Cell]], title: str = "") -> str:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(console_table(rows, title=title))
    return capture.get()


def test_markdown() -> None:
    assert markdown_table(ROWS) == (
        "| data        |  F1@5 | documents | note |\n"
        "| ----------- | ----: | --------: | ---- |\n"
        "| Inspec      | 33.96 |     1,500 | –    |\n"
        "| SemEval2010 |  9.50 |       100 | long |\n"
    )


def test_markdown_digits_and_missing_numbers() -> None:
    table = markdown_table([{"a": 1.25}, {"a": None}, {"a": math.nan}, {"a": 2}], digits=1)
    assert [line.strip("| ") for line in table.splitlines()] == ["a", "--:", "1.2", "–", "–", "2"]


def test_markdown_cells_cannot_break_the_table() -> None:
    assert markdown_table([{"a|b": "c|d\ne\\"}]).splitlines() == [
        "| a\\|b     |",
        "| -------- |",
        "| c\\|d e\\\\ |",
    ]


def test_no_rows() -> None:
    assert markdown_table([]) == ""
    assert printed([]).strip() == ""


def test_console_aligns_numbers_right_and_texts_left() -> None:
    lines = [line for line in printed(ROWS).splitlines() if "Inspec" in line or "SemEval" in line or "data" in line]
    header, first, second = lines
    assert first.index("Inspec") == second.index("SemEval2010") == header.index("data")
    assert first.index("33.96") + 5 == second.index("9.50") + 4 == header.index("F1@5") + 4
    assert first.index("1,500") + 5 == second.index("100") + 3


def test_console_shows_brackets_as_they_are() -> None:
    text = printed([{"token [b]": "[CLS]"}], title="heads [7]")
    assert "[CLS]" in text
    assert "token [b]" in text
    assert "heads [7]" in text


def test_interval_stands_below_its_mean() -> None:
    lines = printed([{"system": "samrank", "F1": with_interval(39.066, 31.99, 46.25)}]).splitlines()
    [place] = [number for number, line in enumerate(lines) if "samrank" in line]
    assert lines[place].split() == ["samrank", "39.07"]
    assert lines[place + 1].split() == ["32.0", "to", "46.2"]


def test_a_console_without_room_for_the_columns_gets_a_line_for_each() -> None:
    console = Console(width=40, color_system=None)
    wide: list[dict[str, Cell]] = [
        {"system": f"system {row}", **{f"metric_{k}": 12.345 for k in range(6)}} for row in (1, 2)
    ]
    with console.capture() as capture:
        console.print(fitting_table(ROWS[:1], console))
        console.print(fitting_table(wide, console, title="Scores"))
    lines = [line.split() for line in capture.get().splitlines() if line.strip(" ─")]
    assert lines[:2] == [["data", "F1@5", "documents"], ["Inspec", "33.96", "1,500"]]
    block = [[f"metric_{k}", "12.35"] for k in range(6)]
    assert lines[2:] == [["Scores"], ["system", "system", "1"], *block, ["system", "system", "2"], *block]


def test_console_cuts_nothing_off() -> None:
    path = "/data/" + "folder/" * 20
    console = Console(width=40, color_system=None)
    for table in (console_table([{"path": path, "n": 1}]), fitting_table([{"path": path, "n": 1}], console)):
        with console.capture() as capture:
            console.print(table)
        assert path in "".join(capture.get().split()).replace("1", "")


def test_words_stay_whole_where_they_can() -> None:
    console = Console(width=60, color_system=None)
    row: dict[str, Cell] = {"redistribution": "forward", "seeds": "3 of 3", "what": "a long text of many words " * 4}
    with console.capture() as capture:
        console.print(fitting_table([row], console))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 60
    assert any(line.split()[:5] == ["forward", "3", "of", "3", "a"] for line in lines)
    assert any("redistribution" in line for line in lines)
