"""HTML from the templates in `templates/`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_HYPHENATED = re.compile(r"\w+(?:-\w+)+")
_MAX_UNBROKEN = 24  # characters: a longer name may not fit on a narrow screen
_CODE = re.compile(r"`([^`]+)`")


def render(template: str, **values: Any) -> Markup:
    """Fill in a template. Values are escaped, except for `Markup` that was rendered before.

    Args:
        template: name of a file in `templates/`.
        values: all variables of the template.
    """
    from markupsafe import Markup

    return Markup(_environment().get_template(template).render(values))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["prose"] = _prose
    return environment


def _prose(text: str) -> Markup:
    """Escaped text with `code` as in Markdown. A short name with hyphens, such as head 4-12, stays on one line."""
    from markupsafe import Markup, escape

    def mark(name: re.Match[str]) -> str:
        return f'<span class="name">{name[0]}</span>' if len(name[0]) <= _MAX_UNBROKEN else name[0]

    marked = _HYPHENATED.sub(mark, str(escape(text)))
    return Markup(_CODE.sub(r"<code>\1</code>", marked))
