"""Sweeps whose trials are trainings: their settings, the work of a trial, and the report."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune.integration.ray_train import TuneReportCallback

from kpray.cluster.inputs import check_apart, identify, identify_options
from kpray.cluster.job import describe_inputs, print_plan, run_details
from kpray.cluster.mirror import working_folder
from kpray.cluster.preflight import node_resources
from kpray.cluster.session import ray_session
from kpray.corpus.overlap import read_fingerprints
from kpray.corpus.sources import find_sources
from kpray.errors import UserError
from kpray.report.trials import Setting, setting_text
from kpray.settings import Settings, validate_settings
from kpray.storage import absolute, location
from kpray.sweep.config import TrainingSweepSettings
from kpray.sweep.ray_tune import Rungs
from kpray.sweep.reports import SweepReport, write_sweep_report
from kpray.sweep.search import Space, describe_limit, describe_search, expand, with_setting
from kpray.sweep.sweep import DRIVER_CPUS, Demand, Sweep, begin, fixed_values, run_sweep, trials_at_once
from kpray.sweep.trials import Outcome, SweepFolder, Trial
from kpray.train.config import TrainSettings
from kpray.train.job import read_valid, train
from kpray.train.loop import CHECKPOINTS
from kpray.train.placement import NODE_CPUS, placement
from kpray.train.tokenize import TokenRun, tokenize_files
from kpray.training import RunConfig, TrainingTask

_LEAST_CPUS = 0.1  # cores of a worker, if neither `run.cpus` nor the cluster determines them


@dataclass(frozen=True, slots=True)
class TrainingKind:
    """The training job that the trials of a sweep run.

    Attributes:
        script: the job that can run the best configuration.
        task: makes the training task from its configuration.
        config: class of the configuration's section `task`.
    """

    script: str
    task: Callable[[Any], TrainingTask]
    config: type[Settings]

    def read(self, values: Mapping[str, Any], where: str) -> tuple[TrainSettings, TrainingTask]:
        """Read the job's settings and its task from the values of a configuration.

        Raises:
            UserError: a value is wrong.
        """
        task = validate_settings(self.config, values["task"], where=where)
        rest = {name: value for name, value in values.items() if name != "task"}
        return validate_settings(TrainSettings, rest, where=where), self.task(task)


def run_training_sweep(job: TrainingSweepSettings, kind: TrainingKind, space: Space, title: str) -> int:
    """Run a sweep over trainings, and print the path of its report.

    Args:
        job: settings of a subclass with a section `task`.
        kind: the training job.
        space: dotted field of the training job -> values to try.
        title: title of the report.
    """
    if job.dry_run:
        data = describe_inputs({"to train on": job.train, "to validate on": job.valid}, job.reading())
        print_plan(job, f"{data}\n# sweep: {describe_search(space, job.sweep)}; {describe_limit(job.sweep)}")
        return 0
    started = time.monotonic()
    check_apart([*job.train, *job.valid, *job.exclude], location(job.output))
    folder = SweepFolder(working_folder(job.output))
    values = training_values(job)
    trainings = [kind.read(with_setting(values, setting), setting_text(setting)) for setting in expand(space)]
    valid = read_valid(trainings[0][0])
    for _, task in trainings:
        task.check(valid)
    sources = find_sources(job.train, follow_links=job.follow_links)
    identities = identify(sources, "--train")
    others = identify_options({"valid": job.valid, "exclude": job.exclude}, follow_links=job.follow_links)
    begin(folder, job, fixed_values(values), {**identities, **others})
    backbones = {backbone for _, task in trainings for backbone in task.backbones()}
    excluded = read_fingerprints(job.exclude, job.reading()) if job.exclude else frozenset()
    with ray_session(job.address, folder.path, sorted(backbones)):
        demand, at_once = share_cluster(job.run, node_resources(), job.sweep.at_once)
        rows: dict[Path, int] = {}
        per_epoch = epochs = 0
        for settings, task in trainings:
            tokens = TokenRun(
                folder.path, task, tuple(sources), identities, settings.train_documents, settings.reading(), excluded
            )
            if tokens.output not in rows:
                rows[tokens.output] = tokenize_files(tokens).rows
            per_epoch = max(per_epoch, math.ceil(rows[tokens.output] / settings.optim.batch))
            epochs = max(epochs, settings.optim.epochs)
        first = job.sweep.grace * job.run.validation_steps(per_epoch)
        rungs = Rungs(first, job.sweep.reduction, per_epoch * epochs)
        run = {**values["run"], "workers": demand.workers, "cpus": demand.cpus}
        work = TrainingWork(kind, {**values, "run": run}, folder.path)
        sweep = Sweep(folder, space, job.sweep, work, demand, at_once, rungs if job.sweep.asha else None)
        trials = run_sweep(sweep)
    for row in trials:
        if row.state == "stopped":
            shutil.rmtree((folder.trial_folder(Trial(row.setting, row.seed)) / CHECKPOINTS).parent, ignore_errors=True)
    output = absolute(job.output)
    run_by = run_details(job, started)
    report = SweepReport(
        title, run_by, "validation score", f"jobs/{kind.script}", trials, folder.spent(), space, output
    )
    seed = job.sweep.seeds[0]
    write_sweep_report(report, folder.path, lambda setting: best_configuration(values, setting, seed, output))
    return 0


def training_values(job: TrainingSweepSettings) -> dict[str, Any]:
    """The training job's configuration as JSON values, with absolute paths."""
    values: dict[str, Any] = job.model_dump(mode="json", include={*TrainSettings.model_fields, "task"})
    for name in ("train", "valid", "exclude"):
        values[name] = [absolute(path) for path in values[name]]
    return values


def best_configuration(values: Mapping[str, Any], setting: Setting, seed: int, folder: str) -> dict[str, Any]:
    """The configuration with which the training job trains the best setting again, outside the sweep."""
    changed = with_setting(values, {**setting, "optim.seed": seed, "output": f"{folder}/best"})
    return {name: value for name, value in changed.items() if name not in ("address", "dry_run")}


def share_cluster(run: RunConfig, nodes: Sequence[Mapping[str, float]], most: int | None) -> tuple[Demand, int]:
    """Resources of a training, and the number of concurrent trainings.

    Without `run.cpus` and `most`, there is at most one worker per GPU, or per core if the cluster has no GPU.

    Args:
        run: the configured workers and cores. `workers` null means one.
        nodes: resources of each node.
        most: configured maximum of concurrent trials; None: no maximum.

    Raises:
        UserError: not even one trial fits.
    """
    workers = run.workers or 1
    cores, gpus = (sum(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU"))
    if not run.cpus:
        for number in range(most or max(1, int(gpus or cores) // workers), 0, -1):
            driven = [{**node, "CPU": node.get("CPU", 0) - number * DRIVER_CPUS} for node in nodes]
            try:
                placed = placement(run.model_copy(update={"workers": number * workers}), driven)
            except UserError:
                continue  # try fewer trainings
            return Demand(workers, placed.cpus, 1.0 if placed.gpu else 0.0), number
    demand = Demand(workers, run.cpus or _LEAST_CPUS, 1.0 if gpus else 0.0)
    return demand, trials_at_once(demand, nodes, NODE_CPUS, most)


@dataclass(frozen=True, slots=True)
class TrainingWork:
    """Runs a trial: one training.

    Attributes:
        kind: the training job.
        values: configuration of the training job.
        token_sets: folder of the tokenized documents, which all trials share.
    """

    kind: TrainingKind
    values: Mapping[str, Any]
    token_sets: Path

    def __call__(self, trial: Trial, folder: Path) -> Outcome:
        """Train, or resume where an earlier attempt stopped.

        Raises:
            UserError: as in `train`.
        """
        fixed: dict[str, str | int | float | None] = {"optim.seed": trial.seed, "output": str(folder), "address": None}
        settings, task = self.kind.read(with_setting(self.values, {**trial.setting, **fixed}), str(folder))
        state = train(task, settings, token_sets=self.token_sets, callbacks=[TuneReportCallback()])
        about = json.loads((folder / "best/training.json").read_text(encoding="utf-8"))
        shutil.rmtree((folder / CHECKPOINTS).parent, ignore_errors=True)  # a finished trial is never resumed
        return Outcome(state.best, about["metrics"])
