"""Edits of a text, which the passes of `kpray.text.cleaning` find."""

from __future__ import annotations

from typing import NamedTuple

BLOCK_END = "\n\n"  #: an empty line ends a sentence
PHRASE_END = " , "  #: replaces what is left out inside a sentence, so that its neighbours are not one phrase


class Edit(NamedTuple):
    """Replace `text[start:end]`, at least one character, by `replacement`."""

    start: int
    end: int
    replacement: str
