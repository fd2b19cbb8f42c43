"""Training in this process (`--local`): plain PyTorch on one GPU or the CPU, without Ray and DeepSpeed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from kpray.errors import UserError
from kpray.report.progress import TrainingProgress
from kpray.train.checkpoint import Found, State, check_continuable
from kpray.train.deepspeed import choose_precision
from kpray.train.loop import Plan, train_worker
from kpray.train.tokenize import TokenRun, tokenize_files

_KEPT_CHECKPOINTS = 2


def fit_locally(plan: Plan, tokens: TokenRun, found: Found | None) -> State:
    """Train in this process, from the start or from a checkpoint.

    Args:
        plan: the training.
        tokens: describes the training set, which is tokenized if it is not yet.
        found: the checkpoint to resume from.

    Returns:
        The state at the end of the training.

    Raises:
        UserError: an option needs a cluster, or as in `tokenize_files` and `train_worker`.
    """
    if (plan.run.workers or 1) > 1:
        raise UserError("--local trains in one process", where="run.workers", fix="omit it, or omit --local")
    cuda = torch.cuda.is_available()
    precision = choose_precision(plan.run.precision, cuda, not cuda or torch.cuda.is_bf16_supported())
    if found:
        check_continuable(found.state, 1, 0, precision)
    rows = tokenize_files(tokens, local=True)
    run = plan.run.model_copy(update={"zero": 0})
    if not cuda:
        torch.set_num_threads(round(run.cpus) if run.cpus else len(os.sched_getaffinity(0)))
    # Multiplies float32 matrices in TF32 on GPUs that have it.
    torch.backends.cuda.matmul.allow_tf32 = True
    with _process_group(), TrainingProgress() as progress:
        return train_worker(
            replace(plan, run=run, precision=precision, rows=rows.rows, local=True),
            lambda: rows.tables(plan.task.schema()),
            _keep_newest,
            progress.show,
        )


@contextmanager
def _process_group() -> Iterator[None]:
    """A process group with one process, for the collectives of the loop. It opens no port."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        dist.destroy_process_group()


def _keep_newest(metrics: dict[str, Any], folder: Path) -> None:
    """Remove all but the newest checkpoints, as Ray Train does in the other case."""
    del metrics
    for old in sorted(folder.parent.glob("step-*"))[:-_KEPT_CHECKPOINTS]:
        shutil.rmtree(old)
