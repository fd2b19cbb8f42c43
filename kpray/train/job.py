"""A training job: checks its output folder, reads its inputs, and trains with Ray or in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpray import __version__
from kpray.cluster.inputs import check_apart, identify, identify_options
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
from kpray.text.languages import primary_language
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
    """Run a training job, and print where the best model is.

    Args:
        job: the settings.
        make_task: makes the training task. Its argument is the working folder, where it may write files.
        inputs: other inputs for the report of the dry run: title -> files and folders.

    Returns:
        The exit code.
    """
    if job.dry_run:
        data = {"to train on": job.train, "to validate on": job.valid, **(inputs or {})}
        print_plan(job, describe_inputs(data, job.reading()))
        return 0
    check_apart([*job.train, *job.valid, *job.exclude], location(job.output))
    with mirrored(job.output):
        state = train(make_task(working_folder(job.output)), job)
    best = f"step {state.best_step:,}, score {state.best:.4g}"
    print_result(f"{state.step:,} steps; best model at {best}: {location(job.output)}/best")
    return 0


def train(
    task: TrainingTask,
    job: TrainSettings,
    *,
    token_sets: Path | None = None,
    callbacks: Sequence[UserCallback] = (),
) -> State:
    """Train a model, or resume an earlier run in the output folder.

    Args:
        task: the training task.
        job: the settings.
        token_sets: folder for tokenized documents, which several trainings may share; None: the output folder.
        callbacks: callbacks of Ray Train, called at each validation.

    Returns:
        The state at the end of the training. `job.output` holds the models, `best` and `last`.

    Raises:
        UserError: a user's mistake, here or in a worker. The output folder stays valid.
    """
    sources = find_sources(job.train, follow_links=job.follow_links)
    identities = identify(sources, "--train")
    others = identify_options({"valid": job.valid, "exclude": job.exclude}, follow_links=job.follow_links)
    inputs = {**identities, **others}
    output = working_folder(job.output)
    configuration = {
        "kpray": __version__,
        "task": task.describe(),
        "optim": job.optim.model_dump(mode="json"),
        "train_documents": job.train_documents,
        "valid_documents": job.run.valid_documents,
        **job.reading().model_dump(mode="json"),
        "local": job.local,
    }
    check_output(output, configuration, inputs)
    valid = read_valid(job)
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
        identities=identities,
        documents=job.train_documents,
        reading=job.reading(),
        excluded=read_fingerprints(job.exclude, job.reading()) if job.exclude else frozenset(),
    )
    about = {
        "configuration": configuration,
        "inputs": inputs,
        "run": job.run.model_dump(mode="json"),
        "versions": versions(),
    }
    plan = Plan(task, job.optim, job.run, valid, output, about)
    if job.local:
        from kpray.train.local import fit_locally

        return fit_locally(plan, tokens, found)
    from kpray.train.ray_train import fit

    return fit(plan, tokens, found, job.address, callbacks)


def check_output(output: Path, configuration: Mapping[str, Any], inputs: Mapping[str, Any] | None = None) -> None:
    """Check that an output folder belongs to a run with the same configuration and inputs.

    A folder without a checkpoint fits every run.

    Raises:
        UserError: the folder belongs to another run, or cannot be written.
    """
    bind_output(output, configuration, any((output / CHECKPOINTS).glob("step-*")), inputs)


def read_valid(job: TrainSettings) -> list[Record]:
    """At most `run.valid_documents` of the records of `--valid` that can be read; see `balanced_sample`.

    Raises:
        UserError: none can be read.
    """
    records = [record for record in read_records(job.valid, job.reading()) if not isinstance(record, Reject)]
    if not records:
        raise UserError(
            "no validation document can be read", where=", ".join(job.valid), fix="name other files in --valid"
        )
    return balanced_sample(records, job.run.valid_documents)


def balanced_sample(records: Sequence[Record], most: int) -> list[Record]:
    """Choose at most `most` records: as many of each language as possible, evenly spaced, in their order.

    Languages with few records leave their share to the others.
    """
    if len(records) <= most:
        return list(records)
    rows: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        rows.setdefault(primary_language(record.document.lang), []).append(row)
    chosen: list[int] = []
    left = most
    for number, of_lang in enumerate(sorted(rows.values(), key=len)):
        share = min(len(of_lang), left // (len(rows) - number))
        chosen += [of_lang[index * len(of_lang) // share] for index in range(share)]
        left -= share
    return [records[row] for row in sorted(chosen)]
