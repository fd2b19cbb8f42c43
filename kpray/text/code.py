"""Code in running text without marks around it: options, paths, calls and identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kpray.text.edits import PHRASE_END, Edit

_ANY = re.compile(r"[_~/]\w|--[a-z]|\(\)|^[ \t]*\$ ", re.MULTILINE)
# One alternative per kind: a line after a shell prompt, an option, a path with two slashes or more, a call, a name with
# underscores (but not TiO_2 or x_i).
_CODE = re.compile(
    r"^[ \t]*\$ (?=\S)[^\n]*"
    r"|(?<!\S)--[a-z][\w-]*+(?:=[^\s,;)]*+)?"
    r"|(?<![\w.</)])(?:~|\.{1,2})?/(?:[\w.+-]++/)++(?:[\w.+-]*\w)?"
    r"|(?<![\w.])[A-Za-z_][\w.]{0,100}\(\)"
    r"|(?<![\w.])_{0,2}(?=[A-Za-z0-9]{1,50}(?:_{1,2}[A-Za-z0-9]{1,50}){0,9}?_{1,2}[A-Za-z]{2})"
    r"[A-Za-z][A-Za-z0-9]++(?:_{1,2}[A-Za-z0-9]++)++_{0,2}(?:\.\w++)*+",
    re.MULTILINE,
)


def code_edits(text: str) -> Iterator[Edit]:
    """Code, which is no phrase."""
    if not _ANY.search(text):
        return
    for match in _CODE.finditer(text):
        yield Edit(*match.span(), PHRASE_END)
