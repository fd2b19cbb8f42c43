"""The one sweep: trials on Ray Tune, each done once, whatever ends the run in between.

Ray Tune starts the trials, has ASHA stop the poor ones, and tries crashed ones again. What counts stands in the sweep's
folder (`trials.py`), not in Tune's own state, which is some seconds old when a process is killed: the same command
starts Tune anew for the trials that have no result, and tells ASHA and Optuna of those that have one.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from kpray.cluster.job import JobSettings, bind_output, write_configuration, writing
from kpray.corpus.sources import Source
from kpray.corpus.writing import write_text
from kpray.errors import UserError
from kpray.log import say
from kpray.report.sweep_progress import SweepProgress
from kpray.report.trials import TrialRow
from kpray.sweep.ray_tune import SECONDS_TO_END, Asker, Halving, Journal, Meter, Rungs
from kpray.sweep.search import SearchConfig, Space, TrialQueue, describe_limit, describe_search, number_of_trials
from kpray.sweep.trials import Outcome, SweepFolder, Trial

Work = Callable[[Trial, Path], Outcome]

DRIVER_CPUS = 0.01  # of a trial that waits for workers: whole cores for those who wait would leave none to the workers
_ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends a job of ours the same way everywhere
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_FORCE_TRIAL_CLEANUP_S": str(SECONDS_TO_END),
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
        """What device-hours count: GPUs, or cores where it takes none."""
        return self.workers * (self.gpus or self.cpus)

    def __str__(self) -> str:
        gpus = f" and {self.gpus:.3g} GPUs" if self.gpus else ""
        return f"{self.workers} worker{'s' * (self.workers > 1)} of {self.cpus:.3g} cores{gpus}"


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


def begin(folder: SweepFolder, job: JobSettings, fixed: Mapping[str, Any]) -> None:
    """Open the folder of a sweep, or see that what it holds was begun with the same fixed values.

    Raises:
        UserError: it was not, or the folder cannot be written.
    """
    with writing(folder.path):
        folder.open()
    bind_output(folder.path, fixed, begun=bool(folder.events))
    with writing(folder.path):
        shutil.rmtree(folder.state / "tune", ignore_errors=True)  # of a run that was killed
    write_configuration(job, folder.path)


def fixed_values(values: Mapping[str, Any], sources: Iterable[Source]) -> dict[str, Any]:
    """What all trials of a folder share, for `begin`: not the machines, nor where they are.

    Args:
        values: of the configuration of the job that a trial is.
        sources: the files that it reads.
    """
    machines = ("run", "batch", "output", "steps", "address", "dry_run")
    rest = {name: value for name, value in values.items() if name not in machines}
    run = {name: values["run"][name] for name in ("validate_every", "valid_documents", "patience")}
    return {**rest, **run, "data": [[source.path, source.bytes] for source in sources]}


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
    trials = number_of_trials(sweep.space, sweep.config)
    finished = [row for row in map(sweep.folder.row, sweep.folder.started()) if row.state in ("finished", "stopped")]
    spent = sweep.folder.spent()
    lines = [
        f"{describe_search(sweep.space, sweep.config)}, {len(finished):,} finished before",
        f"{sweep.at_once} at once, each {sweep.demand}",
        f"{describe_limit(sweep.config)}; spent so far: {spent.hours:.2f} hours, {spent.device_hours:.2f} device-hours",
    ]
    left = trials - len(finished)
    if finished and left > 0:
        hours = sum(row.seconds for row in finished) / len(finished) * left / sweep.at_once / 3600
        lines.append(
            f"at the pace so far the rest takes {hours:.2f} hours, "
            f"{hours * sweep.at_once * sweep.demand.devices:.2f} device-hours"
        )
    return lines


def run_sweep(sweep: Sweep) -> list[TrialRow]:
    """Tell what is left of a sweep and what it may cost, and run it, on a cluster that Ray is connected to.

    Returns:
        All trials that were ever started in its folder, in that order.

    Raises:
        UserError: the trials that ended did so by a mistake of the user.
    """
    for line in describe_plan(sweep):
        say("sweep", line)
    folder = sweep.folder
    queue = TrialQueue(sweep.space, sweep.config, folder)
    meter = Meter(folder, sweep.config.hours, sweep.demand.devices)
    os.environ.update(_ENVIRONMENT)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)  # a step of its loop that took long is nobody's concern
    with SweepProgress(number_of_trials(sweep.space, sweep.config)) as progress:
        for row in map(folder.row, folder.started()):
            progress.show(row)
        halving = Halving(folder, sweep.rungs) if sweep.rungs else None
        journal = Journal(folder, meter, progress, halving.stopped if halving else frozenset())
        resources = {"CPU": sweep.demand.driver or sweep.demand.cpus}
        if not sweep.demand.driver and sweep.demand.gpus:
            resources["GPU"] = sweep.demand.gpus
        function = tune.with_parameters(_run_trial, work=sweep.work, path=str(folder.path))
        tuner = tune.Tuner(
            tune.with_resources(function, resources),
            tune_config=tune.TuneConfig(
                search_alg=Asker(queue, folder, meter),
                scheduler=halving,
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
            with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):  # Tune's own tables
                tuner.fit()
        finally:
            journal.close()
    shutil.rmtree(folder.state / "tune", ignore_errors=True)
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
