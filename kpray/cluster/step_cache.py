"""Steps of a long job that are done once: each has a folder named after all that its result depends on.

A step whose inputs are those of an earlier one, of this run, of another round, or of a run with another threshold in
the same folder, is that step. After a kill the same command passes over what is finished, and goes on inside the rest.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kpray import __version__
from kpray.cluster.job import writing
from kpray.cluster.meters import count, show
from kpray.corpus.writing import write_text
from kpray.log import say


@dataclass(frozen=True, slots=True)
class Step:
    """A finished step.

    Attributes:
        folder: of its files.
        key: of its inputs; a step that depends on this one has it among its own.
        outcome: what it told, JSON values.
        reused: whether it had been finished before.
    """

    folder: Path
    key: str
    outcome: Mapping[str, Any]
    reused: bool


class StepFolder:
    """The steps of the runs that share a folder.

    Attributes:
        folder: an absolute path that all nodes see.
        log: a line for each step that was asked for: its name, its key, whether it was reused, its seconds.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log: list[dict[str, Any]] = []

    def do(self, name: str, inputs: Mapping[str, Any], work: Callable[[Path], Mapping[str, Any]]) -> Step:
        """Do a step, or find it finished.

        Args:
            name: what it does, for the folder's name and the log.
            inputs: everything that its result depends on, as JSON values.
            work: does it in the folder that it is given, where it may find its own unfinished work; what it returns is
                the step's outcome.

        Raises:
            UserError: the folder cannot be written, or as `work`.
        """
        contents = {"kpray": __version__, "step": name, **inputs}
        key = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:16]
        folder = self.folder / f"{name}-{key}"
        finished = folder / "finished.json"
        reused, started = finished.exists(), time.monotonic()
        count("kpray_job_steps", 1, step=name, reused=str(reused).lower())
        show("kpray_rgit_stage", 1, step=name)
        say("step", f"{name} {key}{': finished before' if reused else ''}", step=name, key=key, reused=reused)
        if reused:
            outcome = json.loads(finished.read_text(encoding="utf-8"))
        else:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
                write_text(json.dumps(contents, indent=2) + "\n", folder / "inputs.json")
            outcome = json.loads(json.dumps(dict(work(folder))))
            with writing(folder):
                write_text(json.dumps(outcome, indent=2) + "\n", finished)
        show("kpray_rgit_stage", 0, step=name)
        seconds = round(time.monotonic() - started, 1)
        self.log.append({"step": name, "key": key, "reused": reused, "seconds": seconds})
        return Step(folder, key, outcome, reused)
