"""A training in this process (`--local`): plain PyTorch on one GPU or the CPU, without Ray and DeepSpeed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
import torch.distributed as dist

from kpray.errors import UserError
from kpray.report.progress import TrainingProgress
from kpray.train.checkpoint import Found, State, check_continuable
from kpray.train.dataset import number_columns
from kpray.train.deepspeed import choose_precision
from kpray.train.loop import Plan, train_worker
from kpray.train.tokenize import TokenRun, tokenize_files


def fit_locally(plan: Plan, tokens: TokenRun, found: Found | None) -> State:
    """Train in this process, or go on from a checkpoint.

    Args:
        plan: of the training.
        tokens: the training set, tokenized or not.
        found: the checkpoint.

    Returns:
        The state of the training at its end.

    Raises:
        UserError: the options need a cluster, or as `tokenize_files` and `train_worker`.
    """
    if (plan.run.workers or 1) > 1:
        raise UserError("--local is one process", where="run.workers", fix="leave it out, or leave out --local")
    cuda = torch.cuda.is_available()
    precision = choose_precision(plan.run.precision, cuda, not cuda or torch.cuda.is_bf16_supported())
    if found:
        check_continuable(found.state, 1, 0, precision)
    rows = tokenize_files(tokens, local=True)
    run = plan.run.model_copy(update={"zero": 0})
    if not cuda:
        torch.set_num_threads(round(run.cpus) if run.cpus else len(os.sched_getaffinity(0)))
    # Products of float32 matrices in TF32, as DeepSpeed's own kernels do; GPUs without it take no notice.
    torch.backends.cuda.matmul.allow_tf32 = True
    columns = number_columns(plan.task.schema())
    with _process_group(), TrainingProgress() as progress:
        return train_worker(
            replace(plan, run=run, precision=precision, rows=rows.rows, local=True),
            lambda: (pq.read_table(part, columns=columns) for part in rows.parts()),
            _ignore,
            progress.show,
        )


@contextmanager
def _process_group() -> Iterator[None]:
    """A group of this process alone, so that the loop's collectives need no special case; it opens no port."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        dist.destroy_process_group()


def _ignore(metrics: dict[str, Any], folder: Path) -> None:
    """Nobody is told of checkpoints: the loop finds them by itself."""
