"""A cache of finished steps. The folder of a step is named after a checksum of everything that its result depends on.

The steps of a long job, token sets, passage stores and the trials of a sweep are kept here. A step with the same inputs
as a finished step reuses its result, also when another run finished it. After a kill, the same command skips the
finished steps and continues the unfinished ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kpray import __version__
from kpray.claims import claimed, sibling
from kpray.cluster.job import writing
from kpray.corpus.writing import write_text
from kpray.json_files import read_object

_INPUTS, _FINISHED = "inputs.json", "finished.json"
_FIX = "remove this folder to run the step again"


@dataclass(frozen=True, slots=True)
class Step:
    """A finished step.

    Attributes:
        folder: folder with its files.
        key: checksum of its inputs. A step that depends on this one has the key among its inputs.
        outcome: the result of its work, JSON values.
        reused: whether an earlier call had finished it.
    """

    folder: Path
    key: str
    outcome: Mapping[str, Any]
    reused: bool


def step_key(name: str, inputs: Mapping[str, Any]) -> str:
    """Checksum of everything that a step depends on: the version of kpray, its name, and its inputs (JSON values)."""
    return hashlib.sha256(json.dumps(_contents(name, inputs), sort_keys=True).encode()).hexdigest()[:16]


class StepCache:
    """The steps in one folder. Most callers need only `do`. `begin` and `finish` are for work that Ray Tune starts.

    Attributes:
        folder: absolute path of a folder that all nodes share.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def do(self, name: str, inputs: Mapping[str, Any], work: Callable[[Path], Mapping[str, Any]]) -> Step:
        """Run a step, or return it if it is already finished. If another run is working on it, wait for that run.

        Args:
            name: name of the step, part of the folder's name.
            inputs: everything that the result depends on, as JSON values.
            work: does the work in the given folder, which may contain unfinished work of an earlier run, and returns
                the outcome.

        Raises:
            UserError: the folder cannot be written, or `work` raised it.
        """
        if found := self.find(name, inputs):
            return found
        folder = self.folder_of(name, step_key(name, inputs))
        with claimed(folder, sibling(folder), wait=True):
            if found := self.find(name, inputs):  # another run has finished it meanwhile
                return found
            return self.finish(name, inputs, work(self.begin(name, inputs)))

    def find(self, name: str, inputs: Mapping[str, Any]) -> Step | None:
        """Return a finished step; None if it is not finished."""
        key = step_key(name, inputs)
        path = self.folder_of(name, key) / _FINISHED
        if not path.exists():
            return None
        return Step(path.parent, key, read_object(path, _FIX), reused=True)

    def begin(self, name: str, inputs: Mapping[str, Any]) -> Path:
        """Make the folder of a step and record its inputs there.

        Raises:
            UserError: the folder cannot be written.
        """
        folder = self.folder_of(name, step_key(name, inputs))
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_text(json.dumps(_contents(name, inputs), indent=2) + "\n", folder / _INPUTS)
        return folder

    def finish(self, name: str, inputs: Mapping[str, Any], outcome: Mapping[str, Any]) -> Step:
        """Mark a step as finished and record its outcome (JSON values). `begin` must have made its folder.

        Raises:
            UserError: the folder cannot be written.
        """
        key = step_key(name, inputs)
        folder, text = self.folder_of(name, key), json.dumps(dict(outcome), indent=2)
        with writing(folder):
            write_text(text + "\n", folder / _FINISHED)
        return Step(folder, key, json.loads(text), reused=False)

    def folder_of(self, name: str, key: str) -> Path:
        """Folder of a step, which may not exist yet."""
        return self.folder / f"{name}-{key}"

    def inputs(self, name: str, key: str) -> dict[str, Any]:
        """Inputs of a step, read from its folder. `begin` must have made the folder."""
        return read_object(self.folder_of(name, key) / _INPUTS, _FIX)


def _contents(name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"kpray": __version__, "step": name, **inputs}
