"""The training loop on Ray Train: where its workers go, what they are given, and how it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.train
import torch
from ray.data import DataContext
from ray.train import CheckpointUploadMode, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer

from kpray.batch.chunks import READER_CPUS
from kpray.cluster.meters import show_training
from kpray.cluster.ray_compat import with_worker_group
from kpray.errors import UserError
from kpray.report.progress import TrainingProgress
from kpray.train.checkpoint import State
from kpray.train.collectives import agreed
from kpray.train.dataset import number_columns
from kpray.train.deepspeed import choose_precision
from kpray.train.loop import Plan, train_worker
from kpray.train.metrics_log import METRICS_FILE
from kpray.train.tokenize import TokenSet
from kpray.training import RunConfig

NODE_CPUS = 2.5 * READER_CPUS  # of each node, that workers leave to Ray Data
_SECONDS_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the workers go.

    Attributes:
        workers: how many.
        gpu: whether each has a GPU.
        cpus: cores of each.
    """

    workers: int
    gpu: bool
    cpus: float

    @property
    def threads(self) -> int:
        """Threads of a worker's tensors."""
        return max(1, round(self.cpus))


def placement(run: RunConfig, nodes: Sequence[Mapping[str, float]]) -> Placement:
    """Decide where the workers go: each on one node, and on every node something is left for reading.

    Args:
        run: the numbers that are set.
        nodes: resources of each.

    Raises:
        UserError: there is not enough of something; Ray would wait for it forever.
    """
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    workers = run.workers or max(1, gpus)
    if gpus and workers > gpus:
        raise UserError(f"{workers} workers need as many GPUs, and there are {gpus}", where="run.workers")
    free = [(max(0.0, node.get("CPU", 0) - NODE_CPUS), int(node.get("GPU", 0)) if gpus else workers) for node in nodes]

    def fitting(cpus: float) -> int:
        return sum(min(int(cores / cpus + 1e-9), most) for cores, most in free)

    shares = {cores / number for cores, most in free for number in range(1, min(workers, most) + 1)}
    share = next((share for share in sorted(shares, reverse=True) if share and fitting(share) >= workers), 0.0)
    if not share or (run.cpus and fitting(run.cpus) < workers):
        most = f", of which {workers} workers can have {share:.4g} each" if share else ""
        raise UserError(
            f"{workers} workers of {run.cpus or 'any number of'} cores do not fit: "
            f"there are {sum(cores for cores, _ in free):.4g} beside reading{most}",
            where="run.cpus" if run.cpus else "run.workers",
            fix="give less",
        )
    return Placement(workers, gpus > 0, run.cpus or share)


def fit(plan: Plan, tokens: TokenSet, place: Placement, callbacks: Sequence[Any] = ()) -> State:
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
        answer = _follow(trainer, plan.output / METRICS_FILE)
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


def _follow(trainer: TorchTrainer, metrics: Path) -> dict[str, Any]:
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
    tail = _Tail(metrics)
    with TrainingProgress() as progress:
        thread.start()
        while thread.is_alive():
            thread.join(_SECONDS_BETWEEN_LOOKS)
            for line in tail.lines():
                values = json.loads(line)
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


class _Tail:
    """Lines as they are added to a file; what was there before is passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = path.stat().st_size if path.exists() else 0

    def lines(self) -> list[str]:
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                # It is cut when workers begin again, and may since have grown beyond this place, into a line's middle.
                self.place = min(self.place, size)
                file.seek(max(0, self.place - 1))
                if self.place and file.read(1) != b"\n":
                    self.place += len(file.readline())
                whole, end, _unfinished = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self.place += len(whole) + len(end)
        return whole.decode().split("\n") if whole else []
