"""The trials of a sweep as its folder keeps them: what each tries, what happened to it and what it gave.

A trial is a step (`kpray.cluster.step_cache`): its inputs are its setting and seed, its outcome is its result. So the
same command finds whatever is finished, however the run before it ended, and a sweep can be extended by more settings.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from kpray.cluster.job import STATE_FOLDER
from kpray.cluster.step_cache import StepCache, step_key
from kpray.corpus.writing import write_text
from kpray.report.trials import Setting, TrialRow, setting_text

EventName = Literal["started", "report", "crashed", "failed", "cut", "stopped", "finished"]

_STEP = "trial"  # name of the step that a trial is


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting with one seed.

    Attributes:
        setting: field -> value.
        seed: of all that is random in it.
    """

    setting: Setting
    seed: int

    @property
    def inputs(self) -> dict[str, Any]:
        """What its result depends on, besides what all trials of the sweep share."""
        return {"setting": dict(self.setting), "seed": self.seed}

    @property
    def key(self) -> str:
        """Its name: another setting or seed has another one."""
        return step_key(_STEP, self.inputs)

    def __str__(self) -> str:
        return f"{setting_text(self.setting)}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial gave.

    Attributes:
        score: what settings are compared by; higher is better. None: nothing is compared.
        metrics: numbers to report, by name.
    """

    score: float | None
    metrics: Mapping[str, float]


@dataclass(slots=True)
class Spent:
    """What the runs of a sweep have used so far.

    Attributes:
        hours: by the clock.
        device_hours: of GPUs, or of cores where there are none, that trials held.
    """

    hours: float = 0.0
    device_hours: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a trial.

    Attributes:
        name: what.
        at: seconds since 1970.
        text: the error, of a crash or a failure.
        step: of a report.
        score: of a report.
    """

    name: EventName
    at: float
    text: str = ""
    step: int = 0
    score: float = 0.0


@dataclass
class SweepFolder:
    """Where a sweep is kept; only the sweep's own process writes `events.jsonl` and `spent.json`.

    Attributes:
        path: an absolute path that all nodes see.
        events: of each trial, by its key, in order.
    """

    path: Path
    events: dict[str, list[Event]] = field(default_factory=dict)

    def open(self) -> None:
        """Read what earlier runs left."""
        self.state.mkdir(parents=True, exist_ok=True)
        if self._log.exists():
            # The last line may have been cut off as it was written.
            *lines, _unfinished = self._log.read_text(encoding="utf-8").split("\n")
            write_text("".join(line + "\n" for line in lines), self._log)
            for line in lines:
                values = json.loads(line)
                self.events.setdefault(values.pop("key"), []).append(Event(**values))

    @property
    def state(self) -> Path:
        """Folder of what the sweep needs to go on."""
        return self.path / STATE_FOLDER

    @property
    def _log(self) -> Path:
        return self.state / "events.jsonl"

    @property
    def _trials(self) -> StepCache:
        return StepCache(self.path / "trials")

    def of(self, trial: Trial) -> Path:
        """Folder of a trial."""
        return self._trials.folder_of(_STEP, trial.key)

    def add(self, trial: Trial) -> None:
        """Make the folder of a trial, which says what it tries."""
        folder = self._trials.begin(_STEP, trial.inputs)
        (folder / "failed.json").unlink(missing_ok=True)

    def read(self, key: str) -> Trial:
        """The trial that has a folder."""
        values = self._trials.inputs(_STEP, key)
        return Trial(values["setting"], values["seed"])

    def started(self) -> list[Trial]:
        """Every trial that was started, in that order."""
        return [self.read(key) for key, events in self.events.items() if any(e.name == "started" for e in events)]

    def note(self, trial: Trial, name: EventName, **values: Any) -> None:
        """Add an event."""
        event = Event(name, time.time(), **values)
        self.events.setdefault(trial.key, []).append(event)
        with self._log.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps({"key": trial.key, **asdict(event)}) + "\n")

    def reports(self, trial: Trial) -> Iterator[Event]:
        """What a trial reported on its way."""
        return (event for event in self.events.get(trial.key, ()) if event.name == "report")

    def result(self, trial: Trial) -> dict[str, Any] | None:
        """What a trial gave that is finished, or was stopped for good."""
        step = self._trials.find(_STEP, trial.inputs)
        return dict(step.outcome) if step else None

    def failure(self, trial: Trial) -> str | None:
        """The mistake of the user that a trial met."""
        path = self.of(trial) / "failed.json"
        return str(json.loads(path.read_text(encoding="utf-8"))["error"]) if path.exists() else None

    def finish(self, trial: Trial, state: Literal["finished", "stopped"], outcome: Outcome) -> None:
        """Write the result of a trial: it will not run again."""
        result = {"state": state, "score": outcome.score, "metrics": dict(outcome.metrics)}
        self._trials.finish(_STEP, trial.inputs, result)

    def row(self, trial: Trial) -> TrialRow:
        """All that there is to tell of a trial."""
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
        """What all runs have used."""
        path = self.state / "spent.json"
        return Spent(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else Spent()

    def spend(self, spent: Spent) -> None:
        """Write down what all runs have used."""
        write_text(json.dumps(asdict(spent)) + "\n", self.state / "spent.json")


def _seconds(events: list[Event]) -> float:
    """Time from each start to the last event that followed it."""
    seconds, start, last = 0.0, None, 0.0
    for event in events:
        if event.name == "started":
            seconds += last - start if start is not None else 0.0
            start = event.at
        last = event.at
    return seconds + (last - start if start is not None else 0.0)
