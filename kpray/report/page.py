"""A report as a page of Markdown and one of HTML, with the same contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kpray.report.render import render
from kpray.report.tables import Cell, markdown_table, table_texts


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
    parts = [(section, table_texts(section.rows)) for section in sections]
    return str(render("report.html", title=title, sections=parts))


def write_pages(folder: Path, title: str, sections: Sequence[Section]) -> None:
    """Write `report.md` and `report.html`.

    Raises:
        OSError: they cannot be written.
    """
    (folder / "report.md").write_text(markdown_page(title, sections), encoding="utf-8", newline="\n")
    (folder / "report.html").write_text(html_page(title, sections), encoding="utf-8", newline="\n")
