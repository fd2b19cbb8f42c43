"""Escapes of characters that would change a terminal or split a line."""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), line and paragraph separators, and characters that reverse the direction of a text.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def escape_controls(text: str) -> str:
    r"""A text with each control character as Python writes it in a string, such as `\n` or `\x1b`."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
