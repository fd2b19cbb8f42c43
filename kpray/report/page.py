"""A report as a page of Markdown and one of HTML, with the same contents."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kpray.report.tables import Cell, cell_text, is_numeric, markdown_table, table_columns

_STYLE = """
  :root { color-scheme: light dark; }
  body { font: 16px/1.6 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
  h2 { font-size: 1.2rem; margin-top: 2.5rem; }
  div { overflow-x: auto; }
  table { border-collapse: collapse; font-size: .9rem; }
  th, td { padding: .25rem .7rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top; }
  th { border-bottom-width: 2px; }
  .number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
  img { max-width: 100%; background: white; }
  pre { padding: .8rem; border: 1px solid #8884; overflow-x: auto; font-size: .85rem; }
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page; what is empty is left out.

    Attributes:
        title: its heading.
        text: a paragraph for each line.
        rows: a table, column -> cell.
        images: files beside the page -> what they show.
        code: text to be shown as it stands.
    """

    title: str
    text: str = ""
    rows: Sequence[Mapping[str, Cell]] = ()
    images: Mapping[str, str] | None = None
    code: str = ""


def markdown_page(title: str, sections: Sequence[Section]) -> str:
    """The page as Markdown."""
    parts = [f"# {title}\n"]
    for section in sections:
        parts.append(f"## {section.title}\n")
        parts += [f"{line}\n" for line in section.text.splitlines()]
        parts += [markdown_table(section.rows)] if section.rows else []
        parts += [f"![{alt}]({file})\n" for file, alt in (section.images or {}).items()]
        parts += [f"```\n{section.code.rstrip()}\n```\n"] if section.code else []
    return "\n".join(parts)


def html_page(title: str, sections: Sequence[Section]) -> str:
    """The page as HTML."""
    parts = [
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>",
        f"<h1>{html.escape(title)}</h1>",
    ]
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        parts += [f"<p>{html.escape(line)}</p>" for line in section.text.splitlines()]
        parts += [_html_table(section.rows)] if section.rows else []
        parts += [
            f'<p><img src="{html.escape(file)}" alt="{html.escape(alt)}"></p>'
            for file, alt in (section.images or {}).items()
        ]
        parts += [f"<pre>{html.escape(section.code.rstrip())}</pre>"] if section.code else []
    return "\n".join([*parts, "</html>\n"])


def write_pages(folder: Path, title: str, sections: Sequence[Section]) -> None:
    """Write `report.md` and `report.html`.

    Raises:
        OSError: they cannot be written.
    """
    (folder / "report.md").write_text(markdown_page(title, sections), encoding="utf-8", newline="\n")
    (folder / "report.html").write_text(html_page(title, sections), encoding="utf-8", newline="\n")


def _html_table(rows: Sequence[Mapping[str, Cell]]) -> str:
    columns = table_columns(rows)
    kinds = {column: ' class="number"' if is_numeric(rows, column) else "" for column in columns}
    head = "".join(f"<th{kinds[column]}>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>"
        + "".join(f"<td{kinds[column]}>{html.escape(cell_text(row.get(column)))}</td>" for column in columns)
        + "</tr>\n"
        for row in rows
    )
    return f"<div><table>\n<tr>{head}</tr>\n{body}</table></div>"
