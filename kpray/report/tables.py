"""Tables for Markdown, for the console and for pages, from rows of cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import rich.console
    import rich.table

Cell = str | int | float | None

_MAX_WORD = 24  # characters: a longer word, such as a path, is broken rather than the table


class TableTexts(NamedTuple):
    """The texts of a table.

    Attributes:
        columns: names, in the order in which they first appear.
        numeric: for each column, whether all its cells are numbers; False if it has no cells.
        rows: the cells. None and NaN are a dash.
    """

    columns: list[str]
    numeric: list[bool]
    rows: list[list[str]]


def markdown_table(rows: Sequence[Mapping[str, Cell]], *, digits: int = 2) -> str:
    """A GitHub Markdown table. Columns are padded, so that the source is readable too; numbers are right-aligned.

    Args:
        rows: column -> cell. Columns are in the order in which they first appear; a row may lack columns.
        digits: number of decimals of floats. None and NaN become a dash.

    Returns:
        The table with a final newline; empty without rows.
    """
    table = table_texts(rows, digits)
    if not table.columns:
        return ""
    texts = [[_escape(text) for text in line] for line in (table.columns, *table.rows)]
    widths = [max(3, *map(len, column)) for column in zip(*texts, strict=True)]
    numeric = table.numeric

    def join(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |\n"

    rule = join(["-" * (w - 1) + (":" if right else "-") for w, right in zip(widths, numeric, strict=True)])
    lines = [
        join([text.rjust(w) if right else text.ljust(w) for text, w, right in zip(line, widths, numeric, strict=True)])
        for line in texts
    ]
    return lines[0] + rule + "".join(lines[1:])


def console_table(rows: Sequence[Mapping[str, Cell]], *, title: str = "", digits: int = 2) -> rich.table.Table:
    """A table to print with `rich.console.Console().print`.

    Args:
        rows: as for `markdown_table`.
        title: text above the table; none if empty.
        digits: number of decimals of floats.
    """
    import rich.box
    from rich.table import Table
    from rich.text import Text

    # Text, not str: rich reads "[CLS]" in a str as markup and would drop it.
    table = Table(title=Text(title) if title else None, title_justify="left", box=rich.box.SIMPLE_HEAD, pad_edge=False)
    texts = table_texts(rows, digits)
    for column, numeric in zip(texts.columns, texts.numeric, strict=True):
        # A long name continues on the next line; rich would cut it off with an ellipsis.
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for cells in texts.rows:
        table.add_row(*map(Text, cells))
    return table


def fitting_table(
    rows: Sequence[Mapping[str, Cell]], console: rich.console.Console, *, title: str = ""
) -> rich.table.Table:
    """A `console_table` that fits the console, with lines broken between words.

    If the columns are too many for the width, each row becomes a block of lines: one line for each column.

    Args:
        rows: as for `markdown_table`.
        console: where the table will be printed.
        title: text above the table; none if empty.
    """
    import rich.box
    from rich.table import Table
    from rich.text import Text

    table, texts = console_table(rows, title=title), table_texts(rows)
    widths = _column_widths(texts, console.width - 3 * len(texts.columns) + 1)
    if widths:
        # rich by itself narrows the widest columns first, and breaks their words.
        for shown, width in zip(table.columns, widths, strict=True):
            shown.width = width
        return table
    blocks = Table(title=table.title, title_justify="left", box=rich.box.SIMPLE, pad_edge=False, show_header=False)
    blocks.add_column(overflow="fold")
    blocks.add_column(overflow="fold")
    for number, cells in enumerate(texts.rows):
        if number:
            blocks.add_section()
        for column, cell in zip(texts.columns, cells, strict=True):
            blocks.add_row(Text(column), Text(cell))
    return blocks


def _column_widths(texts: TableTexts, room: int) -> list[int] | None:
    """Widths with which every column shows whole words.

    Args:
        texts: the table.
        room: characters for all columns together.

    Returns:
        Characters for each column; None if there is not enough room.
    """
    from rich.cells import cell_len

    columns = list(zip(texts.columns, *texts.rows, strict=True))
    lines = [max(cell_len(line) for text in column for line in text.split("\n")) for column in columns]
    words = [max((cell_len(word) for text in column for word in text.split()), default=0) for column in columns]
    words = [min(width, _MAX_WORD) for width in words]
    spare = room - sum(words)
    if spare < 0:
        return None
    widths = [max(1, width) for width in words]
    # Short lines first: they remain whole, and long ones are broken.
    columns_left = sorted(range(len(widths)), key=lambda column: lines[column] - widths[column])
    for done, column in enumerate(columns_left):
        more = min(lines[column] - widths[column], spare // (len(columns_left) - done))
        widths[column] += max(0, more)
        spare -= max(0, more)
    return widths


def with_interval(mean: float, low: float, high: float) -> str:
    """A console cell of two lines: the mean, and its interval below it."""
    return f"{mean:.2f}\n{low:.1f} to {high:.1f}"


def table_texts(rows: Sequence[Mapping[str, Cell]], digits: int = 2) -> TableTexts:
    """Format the cells of a table.

    Args:
        rows: as for `markdown_table`.
        digits: number of decimals of floats.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    numeric = []
    for column in columns:
        cells = [row[column] for row in rows if row.get(column) is not None]
        numeric.append(bool(cells) and all(isinstance(cell, int | float) for cell in cells))
    texts = [[_cell_text(row.get(column), digits) for column in columns] for row in rows]
    return TableTexts(columns, numeric, texts)


def _cell_text(cell: Cell, digits: int) -> str:
    """Format a cell. None and NaN become a dash."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.{digits}f}"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
