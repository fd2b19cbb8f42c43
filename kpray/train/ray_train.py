"""A training on a cluster: Ray Data tokenizes, Ray Train runs the loop in workers, each with a DeepSpeed engine."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.train
import torch
from ray.data import DataContext
from ray.train import CheckpointUploadMode, UserCallback, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer

from kpray.batch.chunks import READER_CPUS
from kpray.cluster.meters import show_training
from kpray.cluster.preflight import node_resources
from kpray.cluster.ray_compat import with_worker_group
from kpray.cluster.session import ray_session
from kpray.errors import UserError
from kpray.report.progress import TrainingProgress
from kpray.train.checkpoint import Found, State, check_continuable
from kpray.train.collectives import agreed
from kpray.train.dataset import number_columns
from kpray.train.deepspeed import choose_precision
from kpray.train.loop import Plan, train_worker
from kpray.train.metrics_log import MetricsTail
from kpray.train.placement import Placement, placement
from kpray.train.tokenize import TokenRun, TokenSet, tokenize_files

_SECONDS_BETWEEN_LOOKS = 0.5


def fit(
    plan: Plan, tokens: TokenRun, found: Found | None, address: str | None, callbacks: Sequence[UserCallback] = ()
) -> State:
    """Train on a cluster, or go on from a checkpoint.

    Args:
        plan: of the training.
        tokens: the training set, tokenized or not.
        found: the checkpoint.
        address: of the cluster; None: a local Ray.
        callbacks: of Ray Train.

    Returns:
        The state of the training at its end.

    Raises:
        UserError: the cluster has not what the training needs, or as `tokenize_files` and `train_worker`.
    """
    with ray_session(address, plan.output, plan.task.backbones()):
        place = placement(plan.run, node_resources())
        precision = choose_precision(plan.run.precision, cuda=place.gpu, bf16=True)
        if found:
            check_continuable(found.state, place.workers, plan.run.zero, precision)
        rows = tokenize_files(tokens)
        return _fit(replace(plan, precision=precision, rows=rows.rows), rows, place, callbacks)


def _fit(plan: Plan, tokens: TokenSet, place: Placement, callbacks: Sequence[Any]) -> State:
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
