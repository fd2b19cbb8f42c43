"""Edits of a text, which the passes of `kpray.text.cleaning` find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

BLOCK_END = "\n\n"  #: an empty line ends a sentence
PHRASE_END = " , "  #: replaces what is left out inside a sentence, so that its neighbours are not one phrase


class Edit(NamedTuple):
    """Replace `text[start:end]`, at least one character, by `replacement`."""

    start: int
    end: int
    replacement: str


def without_overlaps(edits: Iterable[Edit]) -> Iterator[Edit]:
    """Edits in text order, without empty ones; of two that overlap, the one that begins earlier, or the longer one."""
    done = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, -edit.end)):
        if done <= edit.start < edit.end:
            yield edit
            done = edit.end
