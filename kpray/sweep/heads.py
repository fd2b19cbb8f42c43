"""The sweep over SAMRank's heads. One pass of a model over the documents scores all heads in all modes.

A trial is one model and one shard of the documents. Its single pass gives the scores for all candidate rules,
directions, score parts and heads. Heads are chosen only on the validation data. The test data are used only for the
reported comparison.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from kpray.batch.config import BatchConfig
from kpray.batch.evaluation import DataSet, read_data_sets
from kpray.cluster.inputs import check_apart, identify_options
from kpray.cluster.job import describe_inputs, print_plan, run_details
from kpray.cluster.mirror import working_folder
from kpray.cluster.preflight import node_resources
from kpray.cluster.session import ray_session
from kpray.corpus.limits import Reading, ReadingSettings
from kpray.document import Record
from kpray.errors import UserError
from kpray.metrics.evaluate import gold_phrases
from kpray.metrics.protocols import PROTOCOLS
from kpray.printing import print_result
from kpray.report.progress import Activity
from kpray.samrank.combine import all_scorings, make_table, save_table
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.heads import all_heads, score_documents
from kpray.samrank.predictor import SAMRank
from kpray.settings import validate_settings
from kpray.storage import absolute, location
from kpray.sweep.config import HeadSweepSettings
from kpray.sweep.head_report import HeadData, HeadReport, write_head_report
from kpray.sweep.search import SearchConfig, describe_limit
from kpray.sweep.sweep import Demand, Sweep, begin, run_sweep, trials_at_once
from kpray.sweep.trials import Outcome, SweepFolder, Trial

TABLE_FILE = "heads.npz"


def run_head_sweep(job: HeadSweepSettings) -> int:
    """Run the sweep over heads, and print the comparison."""
    if job.dry_run:
        data = describe_inputs({"to choose on": job.valid, "to compare on": job.test}, job.reading())
        plan = f"all heads of {len(job.models)} models in one pass over each data set; {describe_limit(job.sweep)}"
        print_plan(job, f"{data}\n# sweep: {plan}")
        return 0
    started = time.monotonic()
    check_apart([*job.valid, *job.test], location(job.output))
    for model in job.models:
        all_heads(model)  # a missing model fails here, before Ray starts
    paths = [absolute(path) for path in (*job.valid, *job.test)]
    data_sets = [_with_gold(data) for data in read_data_sets(paths, job.reading())]
    folder = SweepFolder(working_folder(job.output))
    fixed = job.model_dump(mode="json", include={"samrank", "shard_documents", *ReadingSettings.model_fields})
    fixed["samrank"].pop("heads")
    fixed["space"] = job.space.model_dump(mode="json", exclude={"model"})
    inputs = identify_options({"valid": job.valid, "test": job.test}, follow_links=job.follow_links)
    begin(folder, job, fixed, inputs)
    shards = [_shards(index, data, job.shard_documents) for index, data in enumerate(data_sets)]
    with ray_session(job.address, folder.path, job.models):
        nodes = node_resources()
        gpu = any(node.get("GPU", 0) for node in nodes)
        demand = Demand(1, 1.0, BatchConfig().gpu_fraction if gpu else 0.0, driver=0.0)
        at_once = trials_at_once(demand, nodes, 0.0, job.sweep.at_once)
        config = SearchConfig(seeds=(0,), **job.sweep.model_dump())
        space = {"model": job.models, "shard": list(chain.from_iterable(shards))}
        values = job.model_dump(mode="json")
        values["samrank"]["dtype"] = job.samrank.model_copy(update={"model": job.models[0]}).pinned_dtype
        work = HeadWork(values, tuple(paths))
        trials = run_sweep(Sweep(folder, space, config, work, demand, at_once, reuse_processes=True))
    passes = [_trial(model, shard) for model in job.models for names in shards for shard in names]
    left = sum(folder.result(trial) is None for trial in passes)
    if left:
        crashes = [crash for trial in trials for crash in trial.crashes]
        raise UserError(
            f"{left} of {len(passes)} passes are not finished, so no head can be chosen"
            + (f"; the last error: {crashes[-1]}" if crashes else ""),
            where=str(folder.path),
            fix="run the same command again to resume, with a larger --sweep.hours if the time is used up",
        )
    found = [
        HeadData(
            data.name,
            {
                model: [folder.trial_folder(_trial(model, shard)) / TABLE_FILE for shard in names]
                for model in job.models
            },
        )
        for data, names in zip(data_sets, shards, strict=True)
    ]
    report = HeadReport(
        run=run_details(job, started),
        samrank=job.samrank,
        modes=job.modes,
        rules=job.space.candidates,
        scores=job.space.score,
        models=job.models,
        valid=found[: len(job.valid)],
        test=found[len(job.valid) :],
        most=job.most_heads,
        cutoff=job.cutoff,
        seed=job.seed,
        trials=trials,
        spent=folder.spent(),
    )
    with Activity("choosing the heads"):
        write_head_report(report, folder.path)
    output = absolute(job.output)
    print_result(f"best: kpray extract --config {output}/best.yaml FILE...; the report: {output}/report.html")
    return 0


def _with_gold(data: DataSet) -> DataSet:
    """Keep the documents that have gold keyphrases.

    Raises:
        UserError: no document has any.
    """
    records = [record for record in data.records if gold_phrases(record, PROTOCOLS["samrank"])]
    if not records:
        raise UserError("no record has gold keyphrases", where=data.path, fix="give files with a field `keyphrases`")
    name = f"{Path(data.path).parent.name}/{data.name}"  # many folders have files called valid and train
    return DataSet(name, data.path, records)


def _trial(model: str, shard: str) -> Trial:
    """The trial of a model and a shard. It has no randomness, so the seed is always 0."""
    return Trial({"model": model, "shard": shard}, 0)


def _shards(index: int, data: DataSet, documents: int) -> list[str]:
    """Names of a data set's shards: number of the data set, its name, number of the shard. Numbers start at 1."""
    number = math.ceil(len(data.records) / documents)
    return [f"{index + 1}:{data.name}:{shard + 1}" for shard in range(number)]


@dataclass(frozen=True, slots=True)
class HeadWork:
    """Runs a trial: one pass over a shard.

    Attributes:
        values: the job's configuration, JSON values.
        paths: paths of the data sets, in the order of their numbers.
    """

    values: Mapping[str, Any]
    paths: Sequence[str]

    def __call__(self, trial: Trial, folder: Path) -> Outcome:
        """Score the shard's documents with all heads, and write the table into the trial's folder.

        Raises:
            UserError: the model cannot be opened.
        """
        job = validate_settings(HeadSweepSettings, self.values, where=str(folder))
        if not torch.cuda.is_available():
            torch.set_num_threads(1)
        data_set, *_, shard = str(trial.setting["shard"]).split(":")
        config = job.samrank.model_copy(update={"model": trial.setting["model"]})
        predictor = _open(config.model_dump_json())
        records = _records(self.paths[int(data_set) - 1], job.reading().model_dump_json())
        first = (int(shard) - 1) * job.shard_documents
        started, processor = time.monotonic(), time.process_time()
        scored = score_documents(
            predictor, records[first : first + job.shard_documents], job.space.candidates, job.modes
        )
        scorings = all_scorings(job.space.candidates, job.space.score, job.modes)
        table = make_table(scored, scorings, job.modes, config.merge_stems)
        seconds, processor = time.monotonic() - started, time.process_time() - processor
        save_table(table, folder / TABLE_FILE)
        return Outcome(None, {"documents": len(table), "seconds": seconds, "processor_seconds": processor})


@lru_cache(maxsize=1)
def _open(config: str) -> SAMRank:
    """A predictor with all heads of its model. The cache keeps it open for the next trial in the same process."""
    settings = SAMRankConfig.model_validate_json(config)
    return SAMRank(settings.model_copy(update={"heads": all_heads(settings.model)}))


@lru_cache(maxsize=1)
def _records(path: str, reading: str) -> Sequence[Record]:
    [data] = read_data_sets([path], Reading.model_validate_json(reading))
    return _with_gold(data).records
