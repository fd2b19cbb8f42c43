"""A training job: its settings, what binds its output folder, and its steps from documents to a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpray import __version__
from kpray.cluster.job import (
    bind_output,
    describe_inputs,
    print_plan,
    write_configuration,
    writing,
)
from kpray.cluster.mirror import mirrored, working_folder
from kpray.corpus.overlap import read_fingerprints
from kpray.corpus.records import Reject, read_records
from kpray.corpus.sources import find_sources
from kpray.document import Record
from kpray.errors import UserError
from kpray.log import say
from kpray.printing import print_result
from kpray.storage import location
from kpray.train.checkpoint import State, find_checkpoint, tidy_checkpoints
from kpray.train.config import TrainSettings
from kpray.train.loop import CHECKPOINTS, Plan
from kpray.train.tokenize import TokenRun
from kpray.training import TrainingTask
from kpray.versions import versions

if TYPE_CHECKING:
    from ray.train import UserCallback


def run_train_job(
    job: TrainSettings, make_task: Callable[[Path], TrainingTask], inputs: Mapping[str, Sequence[str]] | None = None
) -> int:
    """Do what a training job is asked for, and print where the best model is.

    Args:
        job: what is asked for.
        make_task: gives what to train; may prepare files in the working folder, which it is given.
        inputs: what it reads there besides: title -> files and folders, for the dry run.
    """
    if job.dry_run:
        data = {"to train on": job.train, "to validate on": job.valid, **(inputs or {})}
        print_plan(job, describe_inputs(data, job.limits))
        return 0
    with mirrored(job.output):
        state = train(make_task(working_folder(job.output)), job)
    best = f"step {state.best_step:,}, score {state.best:.4g}"
    print_result(f"{state.step:,} steps; the best model is of {best}: {location(job.output)}/best")
    return 0


def train(
    task: TrainingTask,
    job: TrainSettings,
    *,
    token_sets: Path | None = None,
    callbacks: Sequence[UserCallback] = (),
) -> State:
    """Train a model, or go on where an earlier run in the output folder stopped.

    Args:
        task: what to train.
        job: everything else.
        token_sets: folder for tokenized documents, which several trainings may share; None: the output folder.
        callbacks: of Ray Train: are told of each validation.

    Returns:
        Where the training stands at its end; `job.output` has the models, `best` and `last`.

    Raises:
        UserError: a mistake of the user, here or in a worker; what is in the output folder is still good.
    """
    sources, valid_sources = find_sources(job.train), find_sources(job.valid)
    output = working_folder(job.output)
    configuration = {
        "kpray": __version__,
        "task": task.describe(),
        "optim": job.optim.model_dump(mode="json"),
        "train": [[source.path, source.bytes] for source in sources],
        "train_documents": job.train_documents,
        "exclude": [[source.path, source.bytes] for source in find_sources(job.exclude)] if job.exclude else [],
        "valid": [[source.path, source.bytes] for source in valid_sources],
        "valid_documents": job.run.valid_documents,
        "lang": job.lang,
        "limits": job.limits.model_dump(),
        "local": job.local,
    }
    check_output(output, configuration)
    valid = _read_valid(job)
    task.check(valid)
    runs = output / CHECKPOINTS
    with writing(output):
        runs.mkdir(parents=True, exist_ok=True)
    found = find_checkpoint(runs)
    for note in found.notes() if found else []:
        say("note", note)
    if found and found.state.finished:
        return found.state
    write_configuration(job, output)
    with writing(output):
        tidy_checkpoints(runs, found)
    tokens = TokenRun(
        folder=token_sets or output,
        task=task,
        sources=tuple(sources),
        documents=job.train_documents,
        lang=job.lang,
        limits=job.limits,
        excluded=read_fingerprints(job.exclude, job.lang, job.limits) if job.exclude else frozenset(),
    )
    about = {"configuration": configuration, "run": job.run.model_dump(mode="json"), "versions": versions()}
    plan = Plan(task, job.optim, job.run, valid, output, about)
    if job.local:
        from kpray.train.local import fit_locally

        return fit_locally(plan, tokens, found)
    from kpray.train.ray_train import fit

    return fit(plan, tokens, found, job.address, callbacks)


def check_output(output: Path, configuration: Mapping[str, Any]) -> None:
    """See that what an output folder holds was begun with the same configuration and inputs.

    A run that failed before its first checkpoint binds nothing.

    Raises:
        UserError: it was not, or the folder cannot be written.
    """
    bind_output(output, configuration, begun=any((output / CHECKPOINTS).glob("step-*")))


def _read_valid(job: TrainSettings) -> list[Record]:
    """The first validation documents that can be read."""
    records = (record for record in read_records(job.valid, job.lang, job.limits) if not isinstance(record, Reject))
    valid = list(islice(records, job.run.valid_documents))
    if not valid:
        raise UserError(
            "there is no document to validate on", where=", ".join(job.valid), fix="give other files to --valid"
        )
    return valid
