"""Training on a cluster: Ray Data tokenizes, Ray Train runs the loop in workers, each with a DeepSpeed engine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from ray.train import CheckpointUploadMode, UserCallback, WorkerGroupError
from ray.train.torch import TorchTrainer

from kpray.cluster.meters import show_training
from kpray.cluster.preflight import node_resources
from kpray.cluster.ray_compat import with_worker_group
from kpray.cluster.session import ray_session
from kpray.errors import UserError
from kpray.report.progress import TrainingProgress
from kpray.train.checkpoint import Found, State, check_continuable
from kpray.train.collectives import agreed
from kpray.train.deepspeed import choose_precision
from kpray.train.loop import Plan, train_worker
from kpray.train.metrics_log import MetricsTail
from kpray.train.placement import Placement, placement
from kpray.train.process_group import ProcessGroupConfig
from kpray.train.tokenize import TokenRun, TokenSet, tokenize_files

_SECONDS_BETWEEN_LOOKS = 0.5


def fit(
    plan: Plan, tokens: TokenRun, found: Found | None, address: str | None, callbacks: Sequence[UserCallback] = ()
) -> State:
    """Train on a cluster, from the start or from a checkpoint.

    Args:
        plan: the training.
        tokens: describes the training set, which is tokenized if it is not yet.
        found: the checkpoint to resume from.
        address: address of the cluster; None: a local Ray.
        callbacks: callbacks of Ray Train.

    Returns:
        The state at the end of the training.

    Raises:
        UserError: the cluster lacks a resource, or as in `tokenize_files` and `train_worker`.
    """
    with ray_session(address, plan.output, plan.task.backbones()):
        slots = placement(plan.run, node_resources())
        precision = choose_precision(plan.run.precision, cuda=slots.gpu, bf16=True)
        if found:
            check_continuable(found.state, slots.workers, plan.run.zero, precision)
        rows = tokenize_files(tokens)
        return _fit(replace(plan, precision=precision, rows=rows.rows), rows, slots, callbacks)


def _fit(plan: Plan, tokens: TokenSet, slots: Placement, callbacks: Sequence[Any]) -> State:
    """Train on the cluster that this process is connected to, and show the progress.

    Args:
        plan: sent to the workers.
        tokens: the training set.
        slots: number and resources of the workers.
        callbacks: `ray.train.UserCallback`s.

    Returns:
        The state at the end of the training.

    Raises:
        UserError: a worker found a user's mistake, or workers were lost too often.
    """
    trainer = TorchTrainer(
        _work,  # type: ignore[arg-type]  # Ray 2.60 allows a return value, its types do not yet
        train_loop_config={"plan": plan, "tokens": tokens, "threads": slots.threads},
        torch_config=ProcessGroupConfig(backend="nccl" if slots.gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=slots.workers, use_gpu=slots.gpu, resources_per_worker=_resources(slots)
        ),
        run_config=ray.train.RunConfig(
            name=plan.runs.name,
            storage_path=str(plan.runs.parent),
            failure_config=ray.train.FailureConfig(max_failures=plan.run.most_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            callbacks=list(callbacks),
        ),
    )
    answer = _follow(trainer, plan.output)
    if answer["error"] is not None:
        raise answer["error"]
    state: State = answer["state"]
    return state


def _resources(slots: Placement) -> dict[str, float]:
    return {"CPU": slots.cpus, **({"GPU": 1} if slots.gpu else {})}


def _work(config: dict[str, Any]) -> dict[str, Any]:
    """Train in a worker. A user's mistake is returned, because Ray would retry after an exception."""
    plan: Plan = config["plan"]
    torch.set_num_threads(config["threads"])
    try:
        with agreed():
            cuda = torch.cuda.is_available()
            choose_precision(plan.precision, cuda, not cuda or torch.cuda.is_bf16_supported())
        tokens: TokenSet = config["tokens"]
        return {"state": train_worker(plan, lambda: tokens.tables(plan.task.schema()), _report), "error": None}
    except UserError as error:
        return {"state": None, "error": error}


def _report(metrics: dict[str, Any], folder: Path) -> None:
    checkpoint = ray.train.Checkpoint.from_directory(str(folder))
    ray.train.report(
        with_worker_group(metrics), checkpoint=checkpoint, checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD
    )


def _follow(trainer: TorchTrainer, output: Path) -> dict[str, Any]:
    """Run a trainer, show its progress from metrics.jsonl, and return what the workers returned."""
    answers: list[dict[str, Any]] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            answers.append(trainer.fit().return_value)  # type: ignore[attr-defined]
        except Exception as error:
            failures.append(error)

    # In a separate thread: in the main thread Ray would replace the handler of Ctrl-C.
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
                fix="run the same command again to resume from the last checkpoint",
            ) from failure
        raise failure
    return answers[0]


def _is_loss(error: Exception) -> bool:
    return isinstance(error, ray.exceptions.RayActorError)
