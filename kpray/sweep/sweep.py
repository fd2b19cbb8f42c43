"""Runs the trials of a sweep on Ray Tune. Each trial is finished only once, even if the run is interrupted.

Ray Tune starts the trials, retries crashed ones, and lets ASHA stop bad ones. The sweep's folder keeps the results
(`trials.py`). Tune's saved state is not used, because it is a few seconds old when a process is killed. The same
command starts Tune again for the trials without a result, and gives ASHA and Optuna the results of the others.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from kpray.cluster.job import JobSettings, bind_output, write_configuration, writing
from kpray.corpus.writing import write_text
from kpray.errors import UserError
from kpray.log import say
from kpray.report.sweep_progress import SweepProgress
from kpray.report.trials import TrialRow
from kpray.sweep.ray_tune import SECONDS_TO_END, Budget, Journal, QueueSearcher, ResumedASHA, Rungs
from kpray.sweep.search import SearchConfig, Space, TrialQueue, describe_limit, describe_search, number_of_trials
from kpray.sweep.trials import Outcome, SweepFolder, Trial

Work = Callable[[Trial, Path], Outcome]

DRIVER_CPUS = 0.01  # cores of a driver, which only waits; whole cores for drivers would leave none to the workers
_ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C must end all jobs of kpray in the same way
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_FORCE_TRIAL_CLEANUP_S": str(SECONDS_TO_END),
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


@dataclass(frozen=True, slots=True)
class Demand:
    """Resources that one trial uses while it runs.

    Attributes:
        workers: number of worker processes. A worker runs on one node.
        cpus: cores of each worker.
        gpus: GPUs of each worker.
        driver: cores of the process that starts the workers; 0: no driver, the trial itself is the worker.
    """

    workers: int
    cpus: float
    gpus: float = 0.0
    driver: float = DRIVER_CPUS

    @property
    def devices(self) -> float:
        """Number of devices for device-hours: GPUs, or cores if it uses no GPU."""
        return self.workers * (self.gpus or self.cpus)

    def __str__(self) -> str:
        gpus = f" and {self.gpus:.3g} GPUs" if self.gpus else ""
        return f"{self.workers} worker{'s' * (self.workers > 1)} of {self.cpus:.3g} cores{gpus}"


@dataclass(frozen=True, slots=True)
class Sweep:
    """Description of a sweep.

    Attributes:
        folder: the opened folder of the sweep.
        space: the values to try.
        config: settings of the search.
        work: runs a trial in a separate process. It gets the trial's folder, which may contain unfinished work.
        demand: resources of a trial.
        at_once: number of concurrent trials, from `trials_at_once`.
        rungs: rungs of ASHA; None: no trial is stopped early.
        reuse_processes: whether a trial may run in the process of an earlier one.
    """

    folder: SweepFolder
    space: Space
    config: SearchConfig
    work: Work
    demand: Demand
    at_once: int
    rungs: Rungs | None = None
    reuse_processes: bool = False


def begin(folder: SweepFolder, job: JobSettings, fixed: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """Open the folder of a sweep, and check that its trials were started with the same fixed values and inputs.

    Args:
        folder: the folder.
        job: the settings of the sweep.
        fixed: from `fixed_values`.
        inputs: identities of the files that the trials read (`kpray.cluster.inputs.identify_options`).

    Raises:
        UserError: the values or the inputs differ, or the folder cannot be written.
    """
    with writing(folder.path):
        folder.open()
    bind_output(folder.path, fixed, bool(folder.events), inputs)
    with writing(folder.path):
        shutil.rmtree(folder.state / "tune", ignore_errors=True)  # left by a killed run
    write_configuration(job, folder.path)


def fixed_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the trials' job that all trials of a folder share. Machines and output paths are left out."""
    machines = ("run", "batch", "output", "steps", "address", "dry_run")
    rest = {name: value for name, value in values.items() if name not in machines}
    run = {name: values["run"][name] for name in ("validate_every", "valid_documents", "patience")}
    return {**rest, **run}


def trials_at_once(demand: Demand, nodes: Sequence[Mapping[str, float]], reserved: float, most: int | None) -> int:
    """Number of concurrent trials such that each gets all its workers.

    Args:
        demand: resources of one trial.
        nodes: resources of each node.
        reserved: cores of each node that trials must not use.
        most: configured maximum; None: no maximum.

    Raises:
        UserError: not even one trial fits. The error gives the numbers.
    """
    cores = demand.cpus + demand.driver / demand.workers
    free = [max(0.0, node.get("CPU", 0) - reserved) for node in nodes]
    workers = [
        min(int(cpus / cores + 1e-9), int(node.get("GPU", 0) / demand.gpus + 1e-9) if demand.gpus else 10**9)
        for cpus, node in zip(free, nodes, strict=True)
    ]
    fitting = sum(workers) // demand.workers
    if not fitting:
        gpus = sum(node.get("GPU", 0) for node in nodes)
        need = f"{demand.workers} x {cores:.4g} = {demand.workers * cores:.4g} cores" + (
            f" and {demand.workers} x {demand.gpus:.3g} = {demand.workers * demand.gpus:.3g} GPUs"
            if demand.gpus
            else ""
        )
        have = f"{sum(free):.4g} cores" + (f" and {gpus:g} GPUs" if demand.gpus else "")
        rest = f" ({reserved:.3g} of each node are reserved)" if reserved else ""
        room = f", enough for {sum(workers)} such workers" if demand.workers > 1 else ""
        raise UserError(
            f"one trial does not fit: it needs {need}, but the cluster has {have} on {len(nodes)} "
            f"node{'s' * (len(nodes) != 1)}{rest}{room}",
            where="sweep",
            fix="use fewer or smaller workers, or a larger cluster",
        )
    return min(fitting, most or fitting)


def describe_plan(sweep: Sweep) -> list[str]:
    """Describe the trials to run and their expected cost, one line each."""
    trials = number_of_trials(sweep.space, sweep.config)
    finished = [row for row in map(sweep.folder.row, sweep.folder.started()) if row.state in ("finished", "stopped")]
    spent = sweep.folder.spent()
    lines = [
        f"{describe_search(sweep.space, sweep.config)}, {len(finished):,} already finished",
        f"{sweep.at_once} concurrent trials of {sweep.demand} each",
        f"{describe_limit(sweep.config)}; used so far: {spent.hours:.2f} hours, {spent.device_hours:.2f} device-hours",
    ]
    left = trials - len(finished)
    if finished and left > 0:
        hours = sum(row.seconds for row in finished) / len(finished) * left / sweep.at_once / 3600
        lines.append(
            f"estimate for the remaining trials: {hours:.2f} hours, "
            f"{hours * sweep.at_once * sweep.demand.devices:.2f} device-hours"
        )
    return lines


def run_sweep(sweep: Sweep) -> list[TrialRow]:
    """Log the plan of a sweep, and run its remaining trials. Ray must be connected.

    Returns:
        All trials that were ever started in the sweep's folder, in that order.

    Raises:
        UserError: every trial failed.
    """
    for line in describe_plan(sweep):
        say("sweep", line)
    folder = sweep.folder
    queue = TrialQueue(sweep.space, sweep.config, folder)
    budget = Budget(folder, sweep.config.hours, sweep.demand.devices)
    os.environ.update(_ENVIRONMENT)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)  # it warns of slow steps of its loop
    with SweepProgress(number_of_trials(sweep.space, sweep.config)) as progress:
        for row in map(folder.row, folder.started()):
            progress.show(row)
        asha = ResumedASHA(folder, sweep.rungs) if sweep.rungs else None
        journal = Journal(folder, budget, progress, asha.stopped if asha else frozenset())
        resources = {"CPU": sweep.demand.driver or sweep.demand.cpus}
        if not sweep.demand.driver and sweep.demand.gpus:
            resources["GPU"] = sweep.demand.gpus
        function = tune.with_parameters(_run_trial, work=sweep.work, path=str(folder.path))
        tuner = tune.Tuner(
            tune.with_resources(function, resources),
            tune_config=tune.TuneConfig(
                search_alg=QueueSearcher(queue, folder, budget),
                scheduler=asha,
                num_samples=-1,
                max_concurrent_trials=sweep.at_once,
                reuse_actors=sweep.reuse_processes,
            ),
            run_config=tune.RunConfig(
                name=f"run-{time.time_ns()}",
                storage_path=str(folder.state / "tune"),
                failure_config=tune.FailureConfig(max_failures=sweep.config.retries),
                callbacks=[journal],
                stop=budget,
                verbose=0,
            ),
        )
        try:
            with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):  # hides Tune's tables
                tuner.fit()
        finally:
            journal.close()
    shutil.rmtree(folder.state / "tune", ignore_errors=True)
    rows = [folder.row(trial) for trial in folder.started()]
    if rows and all(row.state == "failed" for row in rows):
        raise UserError(f"every trial failed; the last error: {rows[-1].crashes[-1]}", where=str(folder.path))
    return rows


def _run_trial(config: dict[str, Any], work: Work, path: str) -> None:
    """Run a trial in the process that Tune started. A user error is written to a file, because Tune would retry it."""
    folder = SweepFolder(Path(path))
    trial = folder.read(config["key"])
    if folder.result(trial) is not None:  # the process died just after the trial had finished
        return
    try:
        outcome = work(trial, folder.trial_folder(trial))
    except UserError as error:
        write_text(json.dumps({"error": str(error)}) + "\n", folder.trial_folder(trial) / "failed.json")
        return
    folder.finish(trial, "finished", outcome)
