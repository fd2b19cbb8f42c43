"""What a sweep puts into Ray Tune: which trial is next, when its hours are over, ASHA, and the journal of it all."""

from __future__ import annotations

import time
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search import Searcher
from typing_extensions import override

from kpray.cluster.ray_compat import HiddenFromTune, WorkerGroups, crash_message, replay_trial
from kpray.report.sweep_progress import SweepProgress
from kpray.sweep.search import TrialQueue
from kpray.sweep.trials import Outcome, SweepFolder, Trial

SECONDS_TO_END = 10  # that a trial which is stopped has before it is killed
_SECONDS_BETWEEN_WRITES = 5.0
_LONGEST_REASON = 300  # characters


@dataclass(frozen=True, slots=True)
class Rungs:
    """When ASHA looks at a trial: at `first` steps, and then at each `reduction` times as many.

    Attributes:
        first: steps before which no trial is stopped.
        reduction: of so many trials one goes on at each rung.
        steps: of a whole trial, whose last report stops nothing.
    """

    first: int
    reduction: int
    steps: int


class Meter(HiddenFromTune, tune.Stopper):
    """Counts what is spent, and says when the hours are over.

    Args:
        folder: of the sweep.
        hours: that all its runs may take by the clock; None: no limit.
        devices: that a trial holds.
    """

    def __init__(self, folder: SweepFolder, hours: float | None, devices: float) -> None:
        self.folder, self.hours, self.devices = folder, hours, devices
        self.spent = folder.spent()
        self.running = 0
        self.last = self.last_write = time.monotonic()

    def tick(self) -> None:
        """Let time pass."""
        now = time.monotonic()
        self.spent.hours += (now - self.last) / 3600
        self.spent.device_hours += self.running * self.devices * (now - self.last) / 3600
        self.last = now
        if now - self.last_write > _SECONDS_BETWEEN_WRITES:
            self.last_write = now
            self.folder.spend(self.spent)

    def over(self) -> bool:
        """Whether the time is used up."""
        return self.hours is not None and self.spent.hours >= self.hours

    @override
    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    @override
    def stop_all(self) -> bool:
        return self.over()


class Asker(HiddenFromTune, Searcher):
    """Hands Tune the trials of a queue, as long as its hours last."""

    def __init__(self, queue: TrialQueue, folder: SweepFolder, meter: Meter) -> None:
        super().__init__(metric=None, mode=None)
        self.queue, self.folder, self.meter = queue, folder, meter
        self.given: dict[str, Trial] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial, or that there is none."""
        trial = None if self.meter.over() else self.queue.next()
        if trial is None:
            return self.FINISHED
        self.folder.add(trial)
        self.given[trial_id] = trial
        return {"key": trial.key}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Let the queue know, where the next trials depend on it."""
        self.queue.tell(self.given[trial_id])

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the sweep's folder has it all."""


class Halving(ASHAScheduler):
    """ASHA (Li et al., MLSys 2020) that knows of the trials of earlier runs, and which it stopped."""

    def __init__(self, folder: SweepFolder, rungs: Rungs) -> None:
        self.rungs, self.stopped = rungs, set[str]()
        super().__init__(
            time_attr="step",
            metric="score",
            mode="max",
            grace_period=self.rungs.first,
            max_t=max(self.rungs.steps, self.rungs.first + 1),
            reduction_factor=self.rungs.reduction,
        )
        asha: Any = super()  # without what this class adds
        for trial in folder.started():
            if folder.result(trial):
                reports = ({"step": event.step, "score": event.score} for event in folder.reports(trial))
                replay_trial(asha, trial.key, reports)

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        """Whether it goes on."""
        if result.get("step", 0) >= self.rungs.steps:
            return str(TrialScheduler.CONTINUE)  # its end is near
        action = str(super().on_trial_result(tune_controller, trial, result))
        if action == TrialScheduler.STOP:
            self.stopped.add(trial.trial_id)
        return action

    def on_trial_complete(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> None:
        """Its last report has been looked at already."""


class Journal(HiddenFromTune, tune.Callback):
    """Writes down what happens to trials, and shows it."""

    def __init__(self, folder: SweepFolder, meter: Meter, progress: SweepProgress, stopped: Set[str]) -> None:
        self.folder, self.meter, self.progress = folder, meter, progress
        self.stopped = stopped  # Tune's ids of the trials that ASHA stopped
        self.running: dict[str, Trial] = {}
        self.groups = WorkerGroups(1.5 * SECONDS_TO_END)

    @override
    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        self.groups.free()
        self.meter.running = len(self.running)
        self.meter.tick()
        self.progress.tick(self.meter.spent.hours, self.meter.spent.device_hours)

    @override
    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        own = self.running[trial.trial_id] = self.folder.read(trial.config["key"])
        self._note(own, "started")

    @override
    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        if "score" in result and "step" in result:
            own = self._own(trial)
            self.groups.note(trial.trial_id, result)
            last = self.folder.events[own.key][-1]
            if (last.name, last.step) != ("report", result["step"]):  # Tune tells the last one again at the end
                self._note(own, "report", step=int(result["step"]), score=float(result["score"]))

    @override
    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._note(self._own(trial), "crashed", text=_reason(trial))
        self._end(trial)

    @override
    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._note(self._own(trial), "failed", text=_reason(trial))
        self._end(trial)

    @override
    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        own = self._own(trial)
        result, failure = self.folder.result(own), self.folder.failure(own)
        if result is None and failure is None and trial.trial_id in self.stopped:
            last = list(self.folder.reports(own))[-1]
            self.folder.finish(own, "stopped", Outcome(last.score, {}))
            self._note(own, "stopped")
        elif failure is not None:
            self._note(own, "failed", text=failure)
        else:
            self._note(own, "finished" if result else "cut")  # cut: the hours are over
        self._end(trial)

    def close(self) -> None:
        """The run is over: what still ran is cut off, and goes on in the next run."""
        for trial in self.running.values():
            self._note(trial, "cut")
        self.running.clear()
        self.meter.tick()
        self.folder.spend(self.meter.spent)

    def _end(self, trial: TuneTrial) -> None:
        self.running.pop(trial.trial_id, None)
        self.groups.end(trial.trial_id)

    def _own(self, trial: TuneTrial) -> Trial:
        return self.running.get(trial.trial_id) or self.folder.read(trial.config["key"])

    def _note(self, trial: Trial, name: Any, **values: Any) -> None:
        self.folder.note(trial, name, **values)
        self.progress.show(self.folder.row(trial), name)


def _reason(trial: TuneTrial) -> str:
    return crash_message(trial)[:_LONGEST_REASON] or "no reason is known"
