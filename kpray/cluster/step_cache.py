"""Work that is done once: each step has a folder named after all that its result depends on, complete or absent.

Steps of a long job, token sets, stores of passages and the trials of a sweep are such steps. A step whose inputs are
those of an earlier one, of this run or of another one in the same folder, is that step. After a kill the same command
passes over what is finished, and goes on inside the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kpray import __version__
from kpray.cluster.job import writing
from kpray.corpus.writing import write_text

_INPUTS, _FINISHED = "inputs.json", "finished.json"


@dataclass(frozen=True, slots=True)
class Step:
    """A finished step.

    Attributes:
        folder: of its files.
        key: of its inputs; a step that depends on this one has it among its own.
        outcome: what its work gave, JSON values.
        reused: whether it had been finished before.
    """

    folder: Path
    key: str
    outcome: Mapping[str, Any]
    reused: bool


def step_key(name: str, inputs: Mapping[str, Any]) -> str:
    """Checksum of all that a step depends on: the version of kpray, its name, its inputs as JSON values."""
    return hashlib.sha256(json.dumps(_contents(name, inputs), sort_keys=True).encode()).hexdigest()[:16]


class StepCache:
    """The steps that share a folder. `do` is what most need; the other methods are for work that others call.

    Attributes:
        folder: an absolute path that all nodes see.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def do(self, name: str, inputs: Mapping[str, Any], work: Callable[[Path], Mapping[str, Any]]) -> Step:
        """Do a step, or find it finished.

        Args:
            name: what it does, for the folder's name.
            inputs: everything that its result depends on, as JSON values.
            work: does it in the folder that it is given, where it may find its own unfinished work; what it returns is
                the step's outcome.

        Raises:
            UserError: the folder cannot be written, or as `work`.
        """
        if found := self.find(name, inputs):
            return found
        return self.finish(name, inputs, work(self.begin(name, inputs)))

    def find(self, name: str, inputs: Mapping[str, Any]) -> Step | None:
        """A step that is finished."""
        key = step_key(name, inputs)
        path = self.folder_of(name, key) / _FINISHED
        if not path.exists():
            return None
        return Step(path.parent, key, json.loads(path.read_text(encoding="utf-8")), reused=True)

    def begin(self, name: str, inputs: Mapping[str, Any]) -> Path:
        """Make the folder of a step, which says what it depends on.

        Raises:
            UserError: it cannot be written.
        """
        folder = self.folder_of(name, step_key(name, inputs))
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_text(json.dumps(_contents(name, inputs), indent=2) + "\n", folder / _INPUTS)
        return folder

    def finish(self, name: str, inputs: Mapping[str, Any], outcome: Mapping[str, Any]) -> Step:
        """Mark a step that was begun as finished, with its outcome, JSON values.

        Raises:
            UserError: its folder cannot be written.
        """
        key = step_key(name, inputs)
        folder, text = self.folder_of(name, key), json.dumps(dict(outcome), indent=2)
        with writing(folder):
            write_text(text + "\n", folder / _FINISHED)
        return Step(folder, key, json.loads(text), reused=False)

    def folder_of(self, name: str, key: str) -> Path:
        """Where the files of a step are, or will be."""
        return self.folder / f"{name}-{key}"

    def inputs(self, name: str, key: str) -> dict[str, Any]:
        """What a step depends on that was begun."""
        inputs: dict[str, Any] = json.loads((self.folder_of(name, key) / _INPUTS).read_text(encoding="utf-8"))
        return inputs


def _contents(name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"kpray": __version__, "step": name, **inputs}
