"""Rows of numbers as a table, for Markdown and for the console."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.table

Cell = str | int | float | None


def markdown_table(rows: Sequence[Mapping[str, Cell]], *, digits: int = 2) -> str:
    """A GitHub Markdown table, its columns padded so that the source reads well too; columns of numbers right-aligned.

    Args:
        rows: column -> cell; columns stand in the order in which they first appear, and may be missing from a row.
        digits: decimals of floats. None and NaN become a dash.

    Returns:
        The table with a final newline; empty when there is no row.
    """
    columns = table_columns(rows)
    if not columns:
        return ""
    texts = [[_escape(column) for column in columns]]
    texts += [[_escape(cell_text(row.get(column), digits)) for column in columns] for row in rows]
    widths = [max(3, *(len(line[place]) for line in texts)) for place in range(len(columns))]
    numeric = [is_numeric(rows, column) for column in columns]

    def join(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |\n"

    rule = join(["-" * (w - 1) + (":" if right else "-") for w, right in zip(widths, numeric, strict=True)])
    lines = [
        join([text.rjust(w) if right else text.ljust(w) for text, w, right in zip(line, widths, numeric, strict=True)])
        for line in texts
    ]
    return lines[0] + rule + "".join(lines[1:])


def console_table(rows: Sequence[Mapping[str, Cell]], *, title: str = "", digits: int = 2) -> rich.table.Table:
    """The same rows as a table to print with `rich.console.Console().print`.

    Args:
        rows: as for `markdown_table`.
        title: stands above the table; none when empty.
        digits: decimals of floats.
    """
    import rich.box
    from rich.table import Table
    from rich.text import Text

    # Text, not str: rich reads "[CLS]" in a str as markup and would drop it.
    table = Table(title=Text(title) if title else None, title_justify="left", box=rich.box.SIMPLE_HEAD, pad_edge=False)
    columns = table_columns(rows)
    for column in columns:
        table.add_column(Text(column), justify="right" if is_numeric(rows, column) else "left")
    for row in rows:
        table.add_row(*(Text(cell_text(row.get(column), digits)) for column in columns))
    return table


def print_tables(tables: Mapping[str, Sequence[Mapping[str, Cell]]]) -> None:
    """Print title -> rows, each as a `console_table`; titles without rows are left out."""
    from rich.console import Console

    for title, rows in tables.items():
        if rows:
            Console().print(console_table(rows, title=title))


def markdown_tables(tables: Mapping[str, Sequence[Mapping[str, Cell]]]) -> str:
    """Title -> rows, each as a section of Markdown with its table; titles without rows are left out."""
    return "\n".join(f"## {title}\n\n{markdown_table(rows)}" for title, rows in tables.items() if rows)


def with_interval(mean: float, low: float, high: float) -> str:
    """A cell of two lines for the console: a mean, and its interval below."""
    return f"{mean:.2f}\n{low:.1f} to {high:.1f}"


def table_columns(rows: Sequence[Mapping[str, Cell]]) -> list[str]:
    """Columns in the order in which they first appear."""
    return list(dict.fromkeys(column for row in rows for column in row))


def is_numeric(rows: Sequence[Mapping[str, Cell]], column: str) -> bool:
    """Whether a column has numbers only, and some."""
    cells = [row[column] for row in rows if row.get(column) is not None]
    return bool(cells) and all(isinstance(cell, int | float) for cell in cells)


def cell_text(cell: Cell, digits: int = 2) -> str:
    """A cell as tables show it; None and NaN are a dash."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.{digits}f}"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
