"""The one sweep: trials on Ray Tune within a budget, each done once, whatever ends the run in between.

Ray Tune starts the trials, has ASHA stop the poor ones, and tries crashed ones again. What counts stands in the sweep's
folder (`trials.py`), not in Tune's own state, which is some seconds old when a process is killed: the same command
starts Tune anew for the trials that have no result, and tells ASHA and Optuna of those that have one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from kpray.cluster.search import Budget, SearchConfig, Space, TrialQueue, number_of_trials
from kpray.cluster.trials import Outcome, Spent, SweepFolder, Trial
from kpray.corpus.writing import write_text
from kpray.errors import UserError
from kpray.report.sweep_progress import SweepProgress
from kpray.report.trials import TrialRow

Work = Callable[[Trial, Path], Outcome]

DRIVER_CPUS = 0.01  # of a trial that waits for workers: whole cores for those who wait would leave none to the workers
_SECONDS_BETWEEN_WRITES = 5.0
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends a job of ours the same way everywhere
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


@dataclass(frozen=True, slots=True)
class Demand:
    """What one trial holds while it runs.

    Attributes:
        workers: processes, each on one node.
        cpus: cores of each.
        gpus: GPUs of each.
        driver: cores of the process that starts them; 0: there is none, the trial is its worker.
    """

    workers: int
    cpus: float
    gpus: float = 0.0
    driver: float = DRIVER_CPUS

    @property
    def devices(self) -> float:
        """What a budget counts: GPUs, or cores where it takes none."""
        return self.workers * (self.gpus or self.cpus)

    def __str__(self) -> str:
        gpus = f" and {self.gpus:.3g} GPUs" if self.gpus else ""
        return f"{self.workers} worker{'s' * (self.workers > 1)} of {self.cpus:.3g} cores{gpus}"


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


@dataclass(frozen=True, slots=True)
class Sweep:
    """All that a sweep is.

    Attributes:
        folder: opened.
        space: what is tried.
        config: how.
        work: does a trial, in a process of its own, in the folder it is given, where its own unfinished work may be.
        demand: what a trial holds.
        at_once: trials at the same time, from `trials_at_once`.
        rungs: None: no trial is stopped early.
        reuse_processes: a trial may run in the process of one before it.
    """

    folder: SweepFolder
    space: Space
    config: SearchConfig
    work: Work
    demand: Demand
    at_once: int
    rungs: Rungs | None = None
    reuse_processes: bool = False


def cluster_nodes() -> list[Mapping[str, float]]:
    """Resources of each node of the cluster that Ray is connected to."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def trials_at_once(demand: Demand, nodes: Sequence[Mapping[str, float]], reserved: float, most: int | None) -> int:
    """How many trials run side by side such that each gets all its workers.

    Args:
        demand: of one.
        nodes: resources of each.
        reserved: cores of each node that are not for trials.
        most: as configured; None: any number.

    Raises:
        UserError: there is no room for one; names the numbers.
    """
    cores = demand.cpus + demand.driver / demand.workers
    free = [max(0.0, node.get("CPU", 0) - reserved) for node in nodes]
    places = [
        min(int(cpus / cores + 1e-9), int(node.get("GPU", 0) / demand.gpus + 1e-9) if demand.gpus else 10**9)
        for cpus, node in zip(free, nodes, strict=True)
    ]
    fitting = sum(places) // demand.workers
    if not fitting:
        gpus = sum(node.get("GPU", 0) for node in nodes)
        need = f"{demand.workers} x {cores:.4g} = {demand.workers * cores:.4g} cores" + (
            f" and {demand.workers} x {demand.gpus:.3g} = {demand.workers * demand.gpus:.3g} GPUs"
            if demand.gpus
            else ""
        )
        have = f"{sum(free):.4g} cores" + (f" and {gpus:g} GPUs" if demand.gpus else "")
        besides = f", {reserved:.3g} of each node kept back" if reserved else ""
        room = f"room for {sum(places)} such workers" if demand.workers > 1 else "room for none"
        raise UserError(
            f"one trial does not fit: it takes {need}; the cluster has {have} on {len(nodes)} "
            f"node{'s' * (len(nodes) != 1)}{besides}: {room}",
            where="sweep",
            fix="give a trial fewer or smaller workers, or the cluster more",
        )
    return min(fitting, most or fitting)


def describe_plan(sweep: Sweep) -> list[str]:
    """Lines that tell what will be run and what it may cost, before it starts."""
    config, budget = sweep.config, sweep.config.budget
    trials = number_of_trials(sweep.space, config)
    settings = trials // len(config.seeds)
    finished = [row for row in map(sweep.folder.row, sweep.folder.started()) if row.state in ("finished", "stopped")]
    shape = " x ".join(f"{len(values)} {name.rpartition('.')[2]}" for name, values in sweep.space.items())
    how = {"grid": "", "random": " at random", "optuna": " by Optuna"}[config.search]
    seeds = f" x {len(config.seeds)} seeds" if len(config.seeds) > 1 else ""
    lines = [
        f"{settings:,} settings{how} of {shape}{seeds} = {trials:,} trials, {len(finished):,} finished before",
        f"{sweep.at_once} at once, each {sweep.demand}",
    ]
    limits = [
        f"{limit:,g} {name.replace('_', '-')}" for name, limit in budget.model_dump().items() if limit is not None
    ]
    spent = sweep.folder.spent()
    lines.append(
        f"budget: {', '.join(limits) or 'no limit'}; spent so far: {spent.hours:.2f} hours, "
        f"{spent.device_hours:.2f} device-hours"
    )
    left = trials - len(finished)
    if finished and left > 0:
        hours = sum(row.seconds for row in finished) / len(finished) * left / sweep.at_once / 3600
        lines.append(
            f"at the pace so far the rest takes {hours:.2f} hours, "
            f"{hours * sweep.at_once * sweep.demand.devices:.2f} device-hours"
        )
    return lines


def run_sweep(sweep: Sweep) -> list[TrialRow]:
    """Run what is left of a sweep, on a cluster that Ray is connected to.

    Returns:
        All trials that were ever started in its folder, in that order.

    Raises:
        UserError: the trials that ended did so by a mistake of the user.
    """
    folder = sweep.folder
    queue = TrialQueue(sweep.space, sweep.config, folder)
    meter = _Meter(sweep)
    os.environ.update(_ENVIRONMENT)
    with SweepProgress(number_of_trials(sweep.space, sweep.config)) as progress:
        for row in map(folder.row, folder.started()):
            progress.show(row)
        journal = _Journal(sweep, meter, progress)
        scheduler = _Halving(sweep) if sweep.rungs else FIFOScheduler()
        journal.stopped = scheduler.stopped if isinstance(scheduler, _Halving) else set()
        resources = {"CPU": sweep.demand.driver or sweep.demand.cpus}
        if not sweep.demand.driver and sweep.demand.gpus:
            resources["GPU"] = sweep.demand.gpus
        function = tune.with_parameters(_run_trial, work=sweep.work, path=str(folder.path))
        tuner = tune.Tuner(
            tune.with_resources(function, resources),
            tune_config=tune.TuneConfig(
                search_alg=_Asker(queue, folder, meter),
                scheduler=scheduler,
                num_samples=-1,
                max_concurrent_trials=sweep.at_once,
                reuse_actors=sweep.reuse_processes,
            ),
            run_config=tune.RunConfig(
                name=f"run-{time.time_ns()}",
                storage_path=str(folder.state / "tune"),
                failure_config=tune.FailureConfig(max_failures=sweep.config.retries),
                callbacks=[journal],
                stop=meter,
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        finally:
            journal.close()
    rows = [folder.row(trial) for trial in folder.started()]
    if rows and all(row.state == "failed" for row in rows):
        raise UserError(f"every trial failed, the last one so: {rows[-1].crashes[-1]}", where=str(folder.path))
    return rows


def _run_trial(config: dict[str, Any], work: Work, path: str) -> None:
    """What Tune starts in the process of a trial. A mistake of the user is an answer: Tune would try again."""
    folder = SweepFolder(Path(path))
    trial = folder.read(config["key"])
    if folder.result(trial) is not None:  # it had just ended when the process was lost
        return
    try:
        outcome = work(trial, folder.of(trial))
    except UserError as error:
        write_text(json.dumps({"error": str(error)}) + "\n", folder.of(trial) / "failed.json")
        return
    folder.finish(trial, "finished", outcome)


class _Unsaved:
    """Of this process alone: Tune saves all it is given, for a way of going on that is not ours."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Meter(_Unsaved, tune.Stopper):
    """Counts what is spent, and says when the budget is."""

    def __init__(self, sweep: Sweep) -> None:
        self.budget: Budget = sweep.config.budget
        self.devices = sweep.demand.devices
        self.folder = sweep.folder
        self.spent: Spent = sweep.folder.spent()
        self.trials = len(sweep.folder.started())
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
        hours, device_hours = self.budget.hours, self.budget.device_hours
        return (hours is not None and self.spent.hours >= hours) or (
            device_hours is not None and self.spent.device_hours >= device_hours
        )

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.over()


class _Asker(_Unsaved, Searcher):
    """Hands Tune the trials of a queue, as long as the budget lasts."""

    def __init__(self, queue: TrialQueue, folder: SweepFolder, meter: _Meter) -> None:
        super().__init__(metric=None, mode=None)
        self.queue, self.folder, self.meter = queue, folder, meter
        self.given: dict[str, Trial] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial, or that there is none."""
        trial = None if self.meter.over() else self.queue.next()
        if trial is None:
            return self.FINISHED
        known = trial.key in self.folder.events
        if not known and self.meter.budget.trials is not None and self.meter.trials >= self.meter.budget.trials:
            return self.suggest(trial_id)  # one that was begun may be left
        self.meter.trials += not known
        self.folder.add(trial)
        self.given[trial_id] = trial
        return {"key": trial.key}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Let the queue know, where the next trials depend on it."""
        self.queue.tell(self.given[trial_id])

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the sweep's folder has it all."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""


class _Halving(ASHAScheduler):
    """ASHA (Li et al., MLSys 2020) that knows of the trials of earlier runs, and which it stopped."""

    def __init__(self, sweep: Sweep) -> None:
        assert sweep.rungs
        self.rungs, self.stopped = sweep.rungs, set[str]()
        super().__init__(
            time_attr="step",
            metric="score",
            mode="max",
            grace_period=self.rungs.first,
            max_t=max(self.rungs.steps, self.rungs.first + 1),
            reduction_factor=self.rungs.reduction,
        )
        nobody: Any = None  # where Tune would be
        for trial in sweep.folder.started():
            if sweep.folder.result(trial):
                before = TuneTrial("", stub=True, trial_id=trial.key)
                super().on_trial_add(nobody, before)
                for event in sweep.folder.reports(trial):
                    super().on_trial_result(nobody, before, {"step": event.step, "score": event.score})

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


class _Journal(_Unsaved, tune.Callback):
    """Writes down what happens to trials, and shows it."""

    def __init__(self, sweep: Sweep, meter: _Meter, progress: SweepProgress) -> None:
        self.folder, self.meter, self.progress = sweep.folder, meter, progress
        self.stopped: set[str] = set()  # Tune's ids of the trials that ASHA stopped
        self.running: dict[str, Trial] = {}

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        self.meter.running = len(self.running)
        self.meter.tick()
        self.progress.tick(self.meter.spent.hours, self.meter.spent.device_hours)

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        own = self.running[trial.trial_id] = self.folder.read(trial.config["key"])
        self._note(own, "started")

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        if "score" in result and "step" in result and not result.get("done"):
            self._note(self._own(trial), "report", step=int(result["step"]), score=float(result["score"]))

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._note(self._own(trial), "crashed", text=_reason(trial))
        self.running.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._note(self._own(trial), "failed", text=_reason(trial))
        self.running.pop(trial.trial_id, None)

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
            self._note(own, "finished")
        self.running.pop(trial.trial_id, None)

    def close(self) -> None:
        """The run is over: what still ran is cut off, and goes on in the next run."""
        for trial in self.running.values():
            self._note(trial, "cut")
        self.running.clear()
        self.meter.tick()
        self.folder.spend(self.meter.spent)

    def get_state(self) -> None:
        """Nothing that Tune should keep."""
        return

    def _own(self, trial: TuneTrial) -> Trial:
        return self.running.get(trial.trial_id) or self.folder.read(trial.config["key"])

    def _note(self, trial: Trial, name: Any, **values: Any) -> None:
        self.folder.note(trial, name, **values)
        self.progress.show(self.folder.row(trial), name)


def _reason(trial: TuneTrial) -> str:
    """The last line of what a trial crashed with."""
    error = trial.get_pickled_error() or trial.get_error()
    return (str(error).strip().splitlines() or ["no reason is known"])[-1]
