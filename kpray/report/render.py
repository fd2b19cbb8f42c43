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
_CODE = re.compile(r"`([^`]+)`")


def render(template: str, **values: Any) -> Markup:
    """Fill in a template; what values say is escaped, but for what was rendered before.

    Args:
        template: name of a file in `templates/`.
        values: its variables, all of them.
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
    """Text in which `code` is marked as in Markdown, and a hyphenated name (head 4-12) stays on one line."""
    from markupsafe import Markup, escape

    marked = _HYPHENATED.sub(r'<span class="name">\g<0></span>', str(escape(text)))
    return Markup(_CODE.sub(r"<code>\1</code>", marked))
