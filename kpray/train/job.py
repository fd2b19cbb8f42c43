"""A training job: its settings, what binds its output folder, and its steps from documents to a model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import ray
import ray.train
import torch
from pydantic import Field
from ray.data import DataContext
from ray.train import CheckpointUploadMode, UserCallback, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer

from kpray import __version__
from kpray.batch.chunks import READER_CPUS
from kpray.cluster.job import (
    Folder,
    JobSettings,
    bind_output,
    describe_inputs,
    print_plan,
    write_configuration,
    writing,
)
from kpray.cluster.meters import show_training
from kpray.cluster.mirror import mirrored, working_folder
from kpray.cluster.preflight import node_resources
from kpray.cluster.ray_compat import with_worker_group
from kpray.cluster.session import ray_session
from kpray.corpus.limits import ReadingSettings
from kpray.corpus.records import Reject, read_records
from kpray.corpus.sources import find_sources
from kpray.document import Record
from kpray.errors import UserError
from kpray.log import say
from kpray.printing import print_result
from kpray.report.progress import TrainingProgress
from kpray.storage import location
from kpray.train.checkpoint import State, check_continuable, find_checkpoint, tidy_checkpoints
from kpray.train.collectives import agreed
from kpray.train.dataset import number_columns
from kpray.train.deepspeed import choose_precision
from kpray.train.loop import CHECKPOINTS, Plan, train_worker
from kpray.train.metrics_log import MetricsTail
from kpray.train.placement import Placement, placement
from kpray.train.tokenize import TokenRun, TokenSet, tokenize_files
from kpray.training import OptimConfig, RunConfig, TrainingTask
from kpray.versions import versions

_SECONDS_BETWEEN_LOOKS = 0.5


class TrainSettings(ReadingSettings, JobSettings):
    """What every training job takes."""

    train: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of documents with keyphrases to train on."""
    valid: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of documents with keyphrases to choose the best model on."""
    output: Folder
    """Folder for the best and the last model, the metrics and the checkpoints: one that all nodes see, or s3://, gs://."""
    train_documents: Annotated[int, Field(ge=1)] | None = None
    """Train on the first so many records only; null: on all."""
    optim: OptimConfig = OptimConfig()
    run: RunConfig = RunConfig()


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
        "valid": [[source.path, source.bytes] for source in valid_sources],
        "valid_documents": job.run.valid_documents,
        "lang": job.lang,
        "limits": job.limits.model_dump(),
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
    tokens_run = TokenRun(token_sets or output, task, tuple(sources), job.train_documents, job.lang, job.limits)
    with ray_session(job.address, output, task.backbones()):
        place = placement(job.run, node_resources())
        precision = choose_precision(job.run.precision, cuda=place.gpu, bf16=True)
        if found:
            check_continuable(found.state, place.workers, job.run.zero, precision)
        tokens = tokenize_files(tokens_run)
        about = {"configuration": configuration, "run": job.run.model_dump(mode="json"), "versions": versions()}
        return _fit(
            Plan(task, job.optim, job.run, precision, tokens.rows, valid, output, about), tokens, place, callbacks
        )


def _fit(plan: Plan, tokens: TokenSet, place: Placement, callbacks: Sequence[Any] = ()) -> State:
    """Train on a cluster that Ray is connected to, and show how far it is.

    Args:
        plan: for the workers.
        tokens: the training set.
        place: for the workers too.
        callbacks: `ray.train.UserCallback`s.

    Returns:
        Where the training stands at its end.

    Raises:
        UserError: a worker met a mistake of the user, or workers were lost too often.
    """
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.use_datasource_v2 = False  # its listing of files needs a whole core, and would wait forever for one
    with DataContext.current(context):
        columns = number_columns(plan.task.schema())
        data = ray.data.read_parquet(tokens.parts(), columns=columns, num_cpus=READER_CPUS)
        trainer = TorchTrainer(
            _work,  # type: ignore[arg-type]  # what it gives back is new in Ray
            train_loop_config={"plan": plan, "threads": place.threads},
            torch_config=TorchConfig(backend="nccl" if place.gpu else "gloo"),
            scaling_config=ray.train.ScalingConfig(
                num_workers=place.workers, use_gpu=place.gpu, resources_per_worker=_resources(place)
            ),
            run_config=ray.train.RunConfig(
                name=plan.runs.name,
                storage_path=str(plan.runs.parent),
                failure_config=ray.train.FailureConfig(max_failures=plan.run.most_failures),
                checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
                callbacks=list(callbacks),
            ),
            datasets={"train": data},
            # Each worker reads all rows: which of them it takes at which step is the loop's to decide. Ray's own equal
            # split would drop rows without a word.
            dataset_config=ray.train.DataConfig(datasets_to_split=[]),
        )
        answer = _follow(trainer, plan.output)
    if answer["error"] is not None:
        raise answer["error"]
    state: State = answer["state"]
    return state


def _resources(place: Placement) -> dict[str, float]:
    return {"CPU": place.cpus, **({"GPU": 1} if place.gpu else {})}


def _work(config: dict[str, Any]) -> dict[str, Any]:
    """What Ray starts in each worker. A mistake of the user is an answer: Ray would try again after an exception."""
    plan: Plan = config["plan"]
    torch.set_num_threads(config["threads"])
    try:
        with agreed():
            cuda = torch.cuda.is_available()
            choose_precision(plan.precision, cuda, not cuda or torch.cuda.is_bf16_supported())
        return {"state": train_worker(plan, _read_tokens, _report), "error": None}
    except UserError as error:
        return {"state": None, "error": error}


def _read_tokens() -> Iterable[pa.Table]:
    tables: Iterable[pa.Table] = ray.train.get_dataset_shard("train").iter_batches(
        batch_size=None, batch_format="pyarrow", prefetch_batches=1
    )
    return tables


def _report(metrics: dict[str, Any], folder: Path) -> None:
    checkpoint = ray.train.Checkpoint.from_directory(str(folder))
    ray.train.report(
        with_worker_group(metrics), checkpoint=checkpoint, checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD
    )


def _follow(trainer: TorchTrainer, output: Path) -> dict[str, Any]:
    """Run a trainer, show what its workers write meanwhile, and give what they answered."""
    answers: list[dict[str, Any]] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            answers.append(trainer.fit().return_value)  # type: ignore[attr-defined]
        except Exception as error:
            failures.append(error)

    # Not in the main thread, where Ray would make Ctrl-C its own.
    thread = threading.Thread(target=run, daemon=True)
    tail = MetricsTail(output)
    with TrainingProgress() as progress:
        thread.start()
        while thread.is_alive():
            thread.join(_SECONDS_BETWEEN_LOOKS)
            for values in tail.lines():
                progress.show(values)
                show_training(values)
    for failure in failures:
        if isinstance(failure, WorkerGroupError) and all(map(_is_loss, failure.worker_failures.values())):
            reasons = "; ".join(str(error).partition("\n")[0] for error in failure.worker_failures.values())
            raise UserError(
                f"workers were lost too often: {reasons}",
                where="run.most_failures",
                fix="the same command goes on from the last checkpoint",
            ) from failure
        raise failure
    return answers[0]


def _is_loss(error: Exception) -> bool:
    return isinstance(error, ray.exceptions.RayActorError)


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
