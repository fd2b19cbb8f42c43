"""The sweep over RGIT's threshold: every trial is a run of the RGIT job, all of them in one folder of steps.

Whatever does not depend on tau (tokens, the base generator and its predictions, the first retriever, its index) is one
step for all trials, and so is every later step whose inputs happen to be equal. So trials come one after the other.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from kpray.cluster.job import describe_sources, print_plan
from kpray.cluster.rgit import RGITSettings, run_rgit
from kpray.cluster.search import SearchConfig, describe_search, with_setting
from kpray.cluster.session import ray_session
from kpray.cluster.sweep import Demand, Sweep, begin, cluster_nodes, describe_plan, run_sweep, trials_at_once
from kpray.cluster.sweep_report import SweepReport, write_sweep_report
from kpray.cluster.trials import Outcome, SweepFolder, Trial
from kpray.corpus.sources import find_sources
from kpray.report.page import Section
from kpray.report.sweep_figures import draw_two_measures
from kpray.report.trials import TrialRow
from kpray.settings import Settings, validate_settings

_TAU = "rgit.tau"
_RECALL, _PAIRS = "recall@1", "pseudo pairs"
_FILES = ("parallel", "passages", "english", "valid", "test", "answers")


class ThresholdSpace(Settings):
    """The values that are tried."""

    tau: Annotated[tuple[Annotated[float, Field(ge=0, le=100)], ...], Field(min_length=1)] = (0.0, 5.0, 10.0, 15.0)
    """F1, in percent points, that retrieved keyphrases must add for a pair to be taken."""


class RGITSweepSettings(RGITSettings):
    """What the job takes: all that the RGIT job takes, and the space."""

    space: ThresholdSpace = ThresholdSpace()
    sweep: SearchConfig = SearchConfig(seeds=(0,), at_once=1)


def run_rgit_sweep(job: RGITSweepSettings) -> int:
    """Do what the sweep over tau is asked for, and print where its report is."""
    given = {name: getattr(job, name) for name in _FILES}
    sources = {name: find_sources(paths) for name, paths in given.items() if paths}
    if job.dry_run:
        lines = [f"--{name}: {describe_sources(found, job.limits)}" for name, found in sources.items()]
        plan = f"{describe_search({_TAU: job.space.tau}, job.sweep)}; budget: {job.sweep.budget}"
        print_plan(job, "\n#       ".join(lines) + f"\n# sweep: {plan}")
        return 0
    folder = SweepFolder(job.output.resolve())
    values = job.model_dump(mode="json", include={*RGITSettings.model_fields})
    values |= {name: [str(Path(path).resolve()) for path in paths] for name, paths in given.items()}
    values |= {"output": str(folder.path / "rgit"), "address": None}
    machines = ("run", "batch", "output", "address", "dry_run")
    begin(folder, job, {name: value for name, value in values.items() if name not in machines})
    with ray_session(job.address):
        demand = Demand(job.run.workers or 1, job.run.cpus or 0.1)
        trials_at_once(demand, cluster_nodes(), 0.0, 1)
        space = {_TAU: job.space.tau}
        work = RGITWork(values)
        sweep = Sweep(folder, space, job.sweep, work, demand, at_once=1)
        for line in describe_plan(sweep):
            print(f"kpray: {line}", file=sys.stderr, flush=True)
        trials = run_sweep(sweep)
    report = SweepReport(
        "RGIT: the threshold tau", "validation recall@1", "jobs/rgit.py", trials, folder.spent(), space
    )
    best = write_sweep_report(
        report,
        folder.path,
        lambda setting: {
            name: value for name, value in with_setting(values, setting).items() if name not in ("address", "dry_run")
        },
        lambda figures: _figure(trials, figures),
    )
    print(f"best: {best}; python jobs/rgit.py --config {folder.path / 'best.yaml'}" if best else "nothing is finished")
    print(f"the report: {folder.path / 'report.html'}")
    return 0


@dataclass(frozen=True, slots=True)
class RGITWork:
    """A trial that is a run of the RGIT job.

    Attributes:
        values: of that job's configuration.
    """

    values: Mapping[str, Any]

    def __call__(self, trial: Trial, folder: Path) -> Outcome:
        """Run it; what it reports is kept in the trial's folder, since the next trial runs in the same one.

        Raises:
            UserError: as `run_rgit`.
        """
        seeds = {"train_retriever.seed": trial.seed, "train_generator.seed": trial.seed}
        values = with_setting(self.values, {**trial.setting, **seeds})
        job = validate_settings(RGITSettings, values, where=str(folder))
        report = run_rgit(job)
        for name in ("report.json", "report.md"):
            shutil.copyfile(job.output / name, folder / name)
        return outcome_of(json.loads(json.dumps(report)))


def outcome_of(report: Mapping[str, Any]) -> Outcome:
    """What counts of RGIT's report: the last retriever's recall on the validation pairs, never the test documents' F1.

    Where there are rounds, the recall is that of the last one; the mined pairs and their accuracy are of the last round
    that mined.
    """
    recall: Mapping[str, float] = next(iter(reversed(report["recall"].values())), {})
    metrics = {f"recall@{k}": float(value) for k, value in recall.items()}
    mined = [row for row in report["rounds"] if row["pairs"]]
    if mined:
        metrics[_PAIRS] = float(mined[-1]["pairs"])
        if mined[-1]["accuracy"] is not None:
            metrics["right, %"] = float(mined[-1]["accuracy"])
    for system in report["systems"].values():
        for metric, score in system["scores"]["average"].items():
            if metric.startswith("f1"):
                metrics[f"{system['name']} {metric}"] = float(score[0])
    return Outcome(metrics.get(_RECALL), metrics)


def _figure(trials: Sequence[TrialRow], figures: Path) -> list[Section]:
    points = [
        (float(str(trial.setting[_TAU])), trial.metrics[_RECALL], trial.metrics[_PAIRS])
        for trial in trials
        if trial.state == "finished" and {_RECALL, _PAIRS} <= trial.metrics.keys()
    ]
    if not points:
        return []
    taus = sorted({point[0] for point in points})
    means = []
    for tau in taus:
        own = [point for point in points if point[0] == tau]
        means.append((tau, sum(point[1] for point in own) / len(own), sum(point[2] for point in own) / len(own)))
    draw_two_measures(
        means, figures / "tau_recall_pairs.png", "Recall and pseudo pairs over tau", "tau", (_RECALL, _PAIRS)
    )
    return [Section("Tau", images={"figures/tau_recall_pairs.png": "recall@1 and pseudo pairs over tau"})]
