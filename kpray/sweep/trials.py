"""The folder of a sweep. It keeps the setting, the events and the result of each trial.

A trial is a step (`kpray.cluster.step_cache`). Its inputs are its setting and seed, and its outcome is its result. The
same command therefore finds all finished trials, however the earlier run ended, and a sweep can be extended.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from kpray.cluster.job import STATE_FOLDER
from kpray.cluster.step_cache import StepCache, step_key
from kpray.corpus.writing import write_text
from kpray.errors import UserError
from kpray.json_files import read_lines, read_object
from kpray.report.trials import Setting, TrialRow, setting_text

EventName = Literal["started", "report", "crashed", "failed", "cut", "stopped", "finished"]

_STEP = "trial"  # name of the step that a trial is
_FIX = "give another --output"


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting with one seed.

    Attributes:
        setting: field -> value.
        seed: random seed of the trial.
    """

    setting: Setting
    seed: int

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs that differ between the trials of the sweep."""
        return {"setting": dict(self.setting), "seed": self.seed}

    @property
    def key(self) -> str:
        """Checksum of the setting and the seed."""
        return step_key(_STEP, self.inputs)

    def __str__(self) -> str:
        return f"{setting_text(self.setting)}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a trial.

    Attributes:
        score: the number that settings are compared by; higher is better. None: settings are not compared.
        metrics: name -> number, for the report.
    """

    score: float | None
    metrics: Mapping[str, float]


@dataclass(slots=True)
class Spent:
    """Time that all runs of a sweep have used so far.

    Attributes:
        hours: wall-clock hours.
        device_hours: hours of the GPUs that trials used, or of the cores if they used no GPU.
    """

    hours: float = 0.0
    device_hours: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a trial.

    Attributes:
        name: kind of the event.
        at: time in seconds since the epoch.
        text: the error, for `crashed` and `failed`.
        step: the step, for `report`.
        score: the score, for `report`.
    """

    name: EventName
    at: float
    text: str = ""
    step: int = 0
    score: float = 0.0


@dataclass
class SweepFolder:
    """The folder of a sweep. Only the driver of the sweep writes `events.jsonl` and `spent.json`.

    Attributes:
        path: absolute path that all nodes share.
        events: key of a trial -> its events, in order.
    """

    path: Path
    events: dict[str, list[Event]] = field(default_factory=dict)

    def open(self) -> None:
        """Read the events of earlier runs.

        Raises:
            UserError: the file of the events is damaged.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        if self._log.exists():
            lines = read_lines(self._log, _FIX)
            write_text(
                "".join(json.dumps(values) + "\n" for values in lines), self._log
            )  # a kill may leave a part of a line
            for number, values in enumerate(lines, start=1):
                with _fields_of(f"{self._log}:{number}"):
                    self.events.setdefault(values.pop("key"), []).append(Event(**values))

    @property
    def state(self) -> Path:
        """Folder with the state for resuming the sweep."""
        return self.path / STATE_FOLDER

    @property
    def _log(self) -> Path:
        return self.state / "events.jsonl"

    @property
    def _trials(self) -> StepCache:
        return StepCache(self.path / "trials")

    def trial_folder(self, trial: Trial) -> Path:
        """Folder of a trial."""
        return self._trials.folder_of(_STEP, trial.key)

    def add(self, trial: Trial) -> None:
        """Make the folder of a trial and record its setting and seed there."""
        folder = self._trials.begin(_STEP, trial.inputs)
        (folder / "failed.json").unlink(missing_ok=True)

    def read(self, key: str) -> Trial:
        """Read a trial from its folder."""
        values = self._trials.inputs(_STEP, key)
        return Trial(values["setting"], values["seed"])

    def started(self) -> list[Trial]:
        """All started trials, in the order of their starts."""
        return [self.read(key) for key, events in self.events.items() if any(e.name == "started" for e in events)]

    def note(self, trial: Trial, name: EventName, **values: Any) -> None:
        """Record an event of a trial."""
        event = Event(name, time.time(), **values)
        self.events.setdefault(trial.key, []).append(event)
        with self._log.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps({"key": trial.key, **asdict(event)}) + "\n")

    def reports(self, trial: Trial) -> Iterator[Event]:
        """The reports of a trial, in order."""
        return (event for event in self.events.get(trial.key, ()) if event.name == "report")

    def result(self, trial: Trial) -> dict[str, Any] | None:
        """Result of a trial that has finished or was stopped by ASHA; None: it must still run."""
        step = self._trials.find(_STEP, trial.inputs)
        return dict(step.outcome) if step else None

    def failure(self, trial: Trial) -> str | None:
        """The user error that a trial raised; None if there is none."""
        path = self.trial_folder(trial) / "failed.json"
        return str(read_object(path, _FIX).get("error")) if path.exists() else None

    def finish(self, trial: Trial, state: Literal["finished", "stopped"], outcome: Outcome) -> None:
        """Write the result of a trial, so that it will not run again."""
        result = {"state": state, "score": outcome.score, "metrics": dict(outcome.metrics)}
        self._trials.finish(_STEP, trial.inputs, result)

    def row(self, trial: Trial) -> TrialRow:
        """Summarize a trial for progress and reports."""
        events = self.events.get(trial.key, [])
        result = self.result(trial)
        crashes = [event.text for event in events if event.name in ("crashed", "failed")]
        ended = {"failed": "failed", "cut": "unfinished"}
        state = result["state"] if result else ended.get(events[-1].name if events else "", "unfinished")
        return TrialRow(
            key=trial.key,
            setting=trial.setting,
            seed=trial.seed,
            state=state,
            score=result["score"] if result else None,
            metrics=result["metrics"] if result else {},
            attempts=sum(event.name == "started" for event in events),
            seconds=_seconds(events),
            step=max((event.step for event in self.reports(trial)), default=0),
            crashes=tuple(crashes),
        )

    def spent(self) -> Spent:
        """Time that all runs have used."""
        path = self.state / "spent.json"
        if not path.exists():
            return Spent()
        with _fields_of(str(path)):
            return Spent(**read_object(path, _FIX))

    def spend(self, spent: Spent) -> None:
        """Record the time that all runs have used."""
        write_text(json.dumps(asdict(spent)) + "\n", self.state / "spent.json")


def _seconds(events: list[Event]) -> float:
    """Total time in seconds of all attempts: from each start to the last event of the attempt."""
    seconds, start, last = 0.0, None, 0.0
    for event in events:
        if event.name == "started":
            seconds += last - start if start is not None else 0.0
            start = event.at
        last = event.at
    return seconds + (last - start if start is not None else 0.0)


@contextmanager
def _fields_of(where: str) -> Iterator[None]:
    """Raise a `UserError` if the values of a file are not those that a sweep writes."""
    try:
        yield
    except (KeyError, TypeError) as error:
        raise UserError("is not what a sweep writes", where=where, fix=_FIX) from error
