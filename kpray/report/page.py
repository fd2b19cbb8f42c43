"""A report as a Markdown page and as an HTML page with the same contents."""

from __future__ import annotations

import re
import shlex
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kpray.report.render import render
from kpray.report.tables import Cell, markdown_table, table_texts

if TYPE_CHECKING:
    from markupsafe import Markup

_XML_HEAD = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_UNUSED_ID = re.compile(r'<g id="[^"]*"')


@dataclass(frozen=True, slots=True)
class RunDetails:
    """How a report was made, for the top of its page.

    Attributes:
        command: the command line.
        ended: date and time of the end.
        seconds: duration of the run.
        configuration: the resolved configuration as YAML.
        versions: package -> version.
    """

    command: str
    ended: str
    seconds: float
    configuration: str
    versions: Mapping[str, str]

    @classmethod
    def of_this_process(cls, seconds: float, configuration: str, versions: Mapping[str, str]) -> RunDetails:
        """Details of the command that this process runs, which ends now.

        Args:
            seconds: duration of the run.
            configuration: the resolved configuration as YAML.
            versions: package -> version.
        """
        ended = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        return cls(command_line(sys.argv), ended, seconds, configuration, versions)

    def text(self) -> str:
        """Date, duration and the versions that matter most, as a line."""
        main = [
            f"{name} {self.versions[name]}" for name in ("kpray", "python", "torch", "ray") if name in self.versions
        ]
        return f"{self.ended}, after {duration(self.seconds)}; {', '.join(main)}"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page. Empty parts are left out.

    Attributes:
        title: heading.
        text: a paragraph for each line.
        rows: a table, column -> cell.
        images: SVG or PNG file, absolute or relative to the page's folder -> description.
        code: preformatted text.
    """

    title: str
    text: str = ""
    rows: Sequence[Mapping[str, Cell]] = ()
    images: Mapping[str, str] | None = None
    code: str = ""


def markdown_page(title: str, run: RunDetails, sections: Sequence[Section]) -> str:
    """The page as Markdown."""
    parts = [f"# {title}\n", f"```\n{run.command}\n```\n", f"{run.text()}\n"]
    for section in sections:
        parts.append(f"## {section.title}\n")
        parts += [f"{line}\n" for line in section.text.splitlines()]
        parts += [markdown_table(section.rows)] if section.rows else []
        parts += [f"![{alt}]({file})\n" for file, alt in (section.images or {}).items()]
        parts += [f"```\n{section.code.rstrip()}\n```\n"] if section.code else []
    parts.append(f"## Configuration of this run\n\n```\n{run.configuration.rstrip()}\n```\n")
    return "\n".join(parts)


def html_page(title: str, run: RunDetails, sections: Sequence[Section], folder: Path) -> str:
    """The page as HTML. It contains its figures, so that the file can be moved and sent.

    Args:
        title: heading of the page.
        run: how the report was made.
        sections: the contents.
        folder: where the images are.

    Raises:
        OSError: an image cannot be read.
    """
    parts = [
        (
            section,
            table_texts(section.rows),
            [(_inline(folder / file), alt) for file, alt in (section.images or {}).items()],
        )
        for section in sections
    ]
    return str(render("report.html", title=title, run=run, sections=parts))


def write_page(path: Path, title: str, run: RunDetails, sections: Sequence[Section]) -> None:
    """Write a report as HTML where the file's name ends in `.html`, else as Markdown.

    Raises:
        OSError: the file cannot be written, or an image cannot be read.
    """
    is_html = path.suffix.lower() == ".html"
    page = html_page(title, run, sections, path.parent) if is_html else markdown_page(title, run, sections)
    path.write_text(page, encoding="utf-8", newline="\n")


def write_pages(folder: Path, title: str, run: RunDetails, sections: Sequence[Section]) -> None:
    """Write `report.md` and `report.html`.

    Raises:
        OSError: a file cannot be written, or an image cannot be read.
    """
    for name in ("report.md", "report.html"):
        write_page(folder / name, title, run, sections)


def command_line(arguments: Sequence[str]) -> str:
    """A command line that starts this process again, as a user would type it.

    Args:
        arguments: as in `sys.argv`.
    """
    program, *rest = arguments
    path = Path(program)
    if path.name == "__main__.py":
        start = ["python", "-m", path.parent.name]
    elif path.suffix == ".py":
        start = ["python", program]
    else:
        start = [path.name]  # an installed command
    return shlex.join([*start, *rest])


def duration(seconds: float) -> str:
    """A duration for people: `48 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _inline(path: Path) -> Markup:
    """A figure that `kpray.report.figures` wrote as an element of an HTML page."""
    from markupsafe import Markup

    if path.suffix.lower() != ".svg":
        return Markup(f'<img alt="" src="data:image/png;base64,{b64encode(path.read_bytes()).decode()}">')
    element = _XML_HEAD.sub("", path.read_text("utf-8"))
    return Markup(_UNUSED_ID.sub("<g", element))  # several figures have groups with the same ids
