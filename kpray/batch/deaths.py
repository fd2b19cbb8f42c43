"""Ends the repetition of work that kills its worker: a record may need too much memory, or crash native code.

A worker notes what it begins, and removes the note when it has finished. So a note that is still there shows that a
worker died. After `MOST_DEATHS` deaths in a chunk, its records are processed one after the other, each with a note. A
record with `RECORD_DEATHS` deaths is rejected with `KILLED`. A kill of the whole job or the loss of a machine leaves
notes, too. It may slow a chunk down, but it rejects a record only if it hits it twice while it is processed alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kpray.storage import Location

FOLDER = "deaths"  # of the notes, in the folder with the state of a job
MOST_DEATHS = 3
RECORD_DEATHS = 2
KILLED = "killed the worker"
WHOLE = "whole"  # the note for all records of a chunk, or all chunks of a file


class Notes:
    """The notes of one chunk, or of the reading of one file.

    Args:
        state: folder with the state of the job.
        name: name of the chunk or file.
    """

    def __init__(self, state: Location, name: str) -> None:
        self._folder: Location = state / FOLDER
        self._path: Location = self._folder / name
        self._deaths = self._path.read_text(encoding="utf-8").split() if self._path.exists() else []

    def deaths(self, what: str) -> int:
        """How many workers died at this work."""
        return self._deaths.count(what)

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Note the beginning of work, and remove the note when the block ends, also with an exception."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write([*self._deaths, what])
        try:
            yield
        finally:
            self._write(self._deaths)

    def _write(self, lines: list[str]) -> None:
        if lines:
            self._path.write_text("\n".join(lines), encoding="utf-8")
        else:
            self._path.unlink(missing_ok=True)


def noted_deaths(state: Location) -> dict[str, str]:
    """The notes of all chunks."""
    return {path.name: path.read_text(encoding="utf-8") for path in (state / FOLDER).glob("part-*")}
