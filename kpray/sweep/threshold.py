"""The sweep over RGIT's threshold tau. Every trial is a run of the RGIT job, and all trials share a folder of steps.

Steps that do not depend on tau run only once: tokens, the base generator and its predictions, the first retriever and
its index. The same holds for later steps with equal inputs. To share steps, trials run one at a time.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from kpray.cluster.inputs import check_apart, identify_options
from kpray.cluster.job import print_plan, run_details
from kpray.cluster.mirror import working_folder
from kpray.cluster.preflight import node_resources
from kpray.cluster.session import ray_session
from kpray.report.page import Section
from kpray.report.sweep_figures import draw_two_measures
from kpray.report.trials import Setting, TrialRow
from kpray.rgit.config import RGITSettings
from kpray.rgit.job import CORPORA, describe_documents, run_rgit
from kpray.settings import validate_settings
from kpray.storage import absolute, location
from kpray.sweep.config import RGITSweepSettings
from kpray.sweep.reports import SweepReport, write_sweep_report
from kpray.sweep.search import describe_limit, describe_search, with_setting
from kpray.sweep.sweep import DRIVER_CPUS, Demand, Sweep, begin, fixed_values, run_sweep
from kpray.sweep.trials import Outcome, SweepFolder, Trial
from kpray.train.placement import placement

_TAU = "rgit.tau"
_RECALL, _PAIRS = "recall@1", "pseudo pairs"


def run_rgit_sweep(job: RGITSweepSettings) -> int:
    """Run the sweep over tau, and print the path of its report."""
    space = {_TAU: job.space.tau}
    if job.dry_run:
        data = describe_documents(job, "a planted corpus for each seed")
        print_plan(job, f"{data}\n# sweep: {describe_search(space, job.sweep)}; {describe_limit(job.sweep)}")
        return 0
    started = time.monotonic()
    check_apart([path for name in CORPORA for path in getattr(job, name)], location(job.output))
    folder = SweepFolder(working_folder(job.output))
    values = rgit_values(job)
    inputs = identify_options({name: values[name] for name in CORPORA}, follow_links=job.follow_links)
    begin(folder, job, fixed_values(values), inputs)
    backbones = () if job.plant else (job.retriever.backbone, job.generator.backbone)
    with ray_session(job.address, folder.path, backbones):
        nodes = [{**node, "CPU": node.get("CPU", 0) - DRIVER_CPUS} for node in node_resources()]
        workers = placement(job.run, nodes)
        demand = Demand(workers.workers, workers.cpus, 1.0 if workers.gpu else 0.0)
        trials = run_sweep(Sweep(folder, space, job.sweep, RGITWork(values, folder.path), demand, at_once=1))

    def configure(setting: Setting) -> dict[str, Any]:
        best = trial_values(values, Trial(setting, job.sweep.seeds[0]), f"{absolute(job.output)}/best")
        return {name: value for name, value in best.items() if name not in ("address", "dry_run")}

    title = "RGIT: the threshold tau"
    report = SweepReport(
        title,
        run_details(job, started),
        "validation recall@1",
        "jobs/rgit.py",
        trials,
        folder.spent(),
        space,
        absolute(job.output),
    )
    write_sweep_report(report, folder.path, configure, lambda figures: _figure(trials, figures))
    return 0


def rgit_values(job: RGITSweepSettings) -> dict[str, Any]:
    """The RGIT job's configuration as JSON values, with absolute paths."""
    values: dict[str, Any] = job.model_dump(mode="json", include={*RGITSettings.model_fields})
    values |= {name: [absolute(path) for path in values[name]] for name in CORPORA}
    return {**values, "steps": str((job.steps or working_folder(job.output) / "steps").resolve()), "address": None}


def trial_values(values: Mapping[str, Any], trial: Trial, output: str) -> dict[str, Any]:
    """The values of `rgit_values` with the setting, seed and output folder of a trial."""
    seeds = ["train_retriever.seed", "train_generator.seed", *(["planted.seed"] if values["plant"] else [])]
    return with_setting(values, {**trial.setting, **dict.fromkeys(seeds, trial.seed), "output": output})


@dataclass(frozen=True, slots=True)
class RGITWork:
    """Runs a trial: one run of the RGIT job.

    Attributes:
        values: configuration of the RGIT job.
        folder: folder of the sweep.
    """

    values: Mapping[str, Any]
    folder: Path

    def __call__(self, trial: Trial, folder: Path) -> Outcome:
        """Run the RGIT job in the folder that trials with the same documents share. The report is copied to `folder`.

        Raises:
            UserError: as in `run_rgit`.
        """
        output = self.folder / (f"rgit-seed-{trial.seed}" if self.values["plant"] else "rgit")
        job = validate_settings(RGITSettings, trial_values(self.values, trial, str(output)), where=str(folder))
        outcome = outcome_of(run_rgit(job))
        for name in ("report.json", "report.md", "report.html"):
            shutil.copyfile(output / name, folder / name)
        return outcome


def outcome_of(report: Mapping[str, Any]) -> Outcome:
    """The outcome of a trial from RGIT's report. The score is the final retriever's recall@1 on the validation pairs.

    The number of pseudo pairs and the percentage of correct ones come from the last round that found any. The F1 on the
    test documents is reported, but never used as the score.
    """
    metrics = {f"recall@{k}": float(value) for k, value in report["recall"]["rgit"].items()}
    mined = [row for row in report["rounds"] if row["pairs"]]
    if mined:
        metrics[_PAIRS] = float(mined[-1]["pairs"])
        if mined[-1]["accuracy"] is not None:
            metrics["right, %"] = float(mined[-1]["accuracy"])
    for system in report["systems"].values():
        metrics[f"{system['name']} F1@M"] = float(system["scores"]["average"]["f1@M"][0])
    return Outcome(metrics[_RECALL], metrics)


def _figure(trials: Sequence[TrialRow], figures: Path) -> list[Section]:
    points: dict[float, list[TrialRow]] = {}
    for trial in trials:
        if trial.state == "finished" and _PAIRS in trial.metrics:
            points.setdefault(float(str(trial.setting[_TAU])), []).append(trial)
    if not points:
        return []
    means = [
        (tau, fmean(trial.metrics[_RECALL] for trial in group), fmean(trial.metrics[_PAIRS] for trial in group))
        for tau, group in points.items()
    ]
    title = "Recall and pseudo pairs over tau"
    draw_two_measures(means, figures / "tau_recall_pairs.svg", title, "tau", (f"{_RECALL}, %", _PAIRS))
    return [Section("Tau", images={"figures/tau_recall_pairs.svg": f"{title}, means over seeds"})]
