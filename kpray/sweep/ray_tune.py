"""The parts that a sweep plugs into Ray Tune: a searcher, a stopper for the time limit, ASHA, and a journal."""

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

SECONDS_TO_END = 10  # time that a stopped trial has before it is killed
_SECONDS_BETWEEN_WRITES = 5.0
_LONGEST_REASON = 300  # characters


@dataclass(frozen=True, slots=True)
class Rungs:
    """The rungs of ASHA: the first is at `first` steps, and each next one at `reduction` times as many steps.

    Attributes:
        first: number of steps before a trial can be stopped.
        reduction: ASHA keeps the best 1/`reduction` of the trials at each rung.
        steps: number of steps of a whole trial. A report at this step never stops a trial.
    """

    first: int
    reduction: int
    steps: int


class Budget(HiddenFromTune, tune.Stopper):
    """Measures the time that a sweep has used, and stops it at the limit.

    Args:
        folder: folder of the sweep.
        hours: wall-clock limit for all runs of the sweep together; None: no limit.
        devices: number of devices that a trial uses.
    """

    def __init__(self, folder: SweepFolder, hours: float | None, devices: float) -> None:
        self.folder, self.hours, self.devices = folder, hours, devices
        self.spent = folder.spent()
        self.running = 0
        self.last = self.last_write = time.monotonic()

    def tick(self) -> None:
        """Add the time since the last call. It is written to the folder every few seconds."""
        now = time.monotonic()
        self.spent.hours += (now - self.last) / 3600
        self.spent.device_hours += self.running * self.devices * (now - self.last) / 3600
        self.last = now
        if now - self.last_write > _SECONDS_BETWEEN_WRITES:
            self.last_write = now
            self.folder.spend(self.spent)

    def over(self) -> bool:
        """Whether the limit is reached."""
        return self.hours is not None and self.spent.hours >= self.hours

    @override
    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    @override
    def stop_all(self) -> bool:
        return self.over()


class QueueSearcher(HiddenFromTune, Searcher):
    """Gives Tune the trials of a queue until the budget is used up."""

    def __init__(self, queue: TrialQueue, folder: SweepFolder, budget: Budget) -> None:
        super().__init__(metric=None, mode=None)
        self.queue, self.folder, self.budget = queue, folder, budget
        self.suggested: dict[str, Trial] = {}

    def suggest(self, trial_id: str) -> Any:
        """The key of the next trial, or `FINISHED`."""
        trial = None if self.budget.over() else self.queue.next()
        if trial is None:
            return self.FINISHED
        self.folder.add(trial)
        self.suggested[trial_id] = trial
        return {"key": trial.key}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the queue that a trial has ended, because later trials may depend on it."""
        self.queue.tell(self.suggested[trial_id])

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the sweep's folder has all the state."""


class ResumedASHA(ASHAScheduler):
    """ASHA (Li et al., MLSys 2020) that starts with the results of earlier runs and records which trials it stops."""

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
        asha: Any = super()  # bypasses this class's `on_trial_result`
        for trial in folder.started():
            if folder.result(trial):
                reports = ({"step": event.step, "score": event.score} for event in folder.reports(trial))
                replay_trial(asha, trial.key, reports)

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        """Decide whether the trial continues."""
        if result.get("step", 0) >= self.rungs.steps:
            return str(TrialScheduler.CONTINUE)  # the trial is about to end
        action = str(super().on_trial_result(tune_controller, trial, result))
        if action == TrialScheduler.STOP:
            self.stopped.add(trial.trial_id)
        return action

    def on_trial_complete(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> None:
        """Do nothing: `on_trial_result` has already handled the last report."""


class Journal(HiddenFromTune, tune.Callback):
    """Records the events of trials in the sweep's folder, and shows them."""

    def __init__(self, folder: SweepFolder, budget: Budget, progress: SweepProgress, stopped: Set[str]) -> None:
        self.folder, self.budget, self.progress = folder, budget, progress
        self.stopped = stopped  # Tune's ids of the trials that ASHA stopped
        self.running: dict[str, Trial] = {}
        self.groups = WorkerGroups(1.5 * SECONDS_TO_END)

    @override
    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        self.groups.free()
        self.budget.running = len(self.running)
        self.budget.tick()
        self.progress.tick(self.budget.spent.hours, self.budget.spent.device_hours)

    @override
    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        started = self.running[trial.trial_id] = self.folder.read(trial.config["key"])
        self._note(started, "started")

    @override
    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        if "score" in result and "step" in result:
            reporting = self._trial(trial)
            self.groups.note(trial.trial_id, result)
            last = self.folder.events[reporting.key][-1]
            if (last.name, last.step) != ("report", result["step"]):  # Tune repeats the last report at the end
                self._note(reporting, "report", step=int(result["step"]), score=float(result["score"]))

    @override
    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._note(self._trial(trial), "crashed", text=_reason(trial))
        self._end(trial)

    @override
    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._note(self._trial(trial), "failed", text=_reason(trial))
        self._end(trial)

    @override
    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        ended = self._trial(trial)
        result, failure = self.folder.result(ended), self.folder.failure(ended)
        if result is None and failure is None and trial.trial_id in self.stopped:
            last = list(self.folder.reports(ended))[-1]
            self.folder.finish(ended, "stopped", Outcome(last.score, {}))
            self._note(ended, "stopped")
        elif failure is not None:
            self._note(ended, "failed", text=failure)
        else:
            self._note(ended, "finished" if result else "cut")  # cut: the budget was used up
        self._end(trial)

    def close(self) -> None:
        """Record the end of the run. Trials that are still running are resumed by the next run."""
        for trial in self.running.values():
            self._note(trial, "cut")
        self.running.clear()
        self.budget.tick()
        self.folder.spend(self.budget.spent)

    def _end(self, trial: TuneTrial) -> None:
        self.running.pop(trial.trial_id, None)
        self.groups.end(trial.trial_id)

    def _trial(self, trial: TuneTrial) -> Trial:
        return self.running.get(trial.trial_id) or self.folder.read(trial.config["key"])

    def _note(self, trial: Trial, name: Any, **values: Any) -> None:
        self.folder.note(trial, name, **values)
        self.progress.show(self.folder.row(trial), name)


def _reason(trial: TuneTrial) -> str:
    return crash_message(trial)[:_LONGEST_REASON] or "unknown reason"
