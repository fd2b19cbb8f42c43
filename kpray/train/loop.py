"""The training loop, which every worker runs for every model.

The random numbers of a step depend only on the seed and the step. Each step has the same documents for any number of
workers. So a training that resumes gives the same model as one that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from kpray.batches import epoch_order, micro_batches, padded_tokens, results_in_order
from kpray.cluster.ray_compat import is_scale_exhausted, skipped_steps
from kpray.corpus.writing import write_text
from kpray.document import Record
from kpray.errors import UserError
from kpray.storage import recover_folder, whole_folder
from kpray.train.checkpoint import (
    State,
    check_continuable,
    find_checkpoint,
    load_checkpoint,
    needs_conversion,
    save_checkpoint,
)
from kpray.train.collectives import agreed, from_first, gather
from kpray.train.dataset import Rows
from kpray.train.deepspeed import (
    Precision,
    build_model,
    deepspeed_config,
    learning_rate,
    parameter_groups,
    start_engine,
    whole_model,
)
from kpray.train.engine import LocalEngine
from kpray.train.memory import RELEASE_EVERY, release_free_memory
from kpray.train.metrics_log import MetricsLog
from kpray.training import OptimConfig, RunConfig, TrainingTask, Validation

CHECKPOINTS = "checkpoints/run"  # in the output folder
_STEPS_AHEAD, _COLLATE_THREADS = 8, 2

Report = Callable[[dict[str, Any], Path], None]
Show = Callable[[Mapping[str, Any]], None]
_Batch = tuple[np.ndarray, dict[str, torch.Tensor]]
"""A micro-batch: the indices of its documents (none if this worker has no share of it), and its tensors on the CPU."""

_Step = tuple[int, np.ndarray, list[_Batch]]
"""A step: its number, the indices of its documents (of all workers), and the micro-batches of this worker."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The description of a training that every worker receives.

    Attributes:
        task: the training task.
        optim: optimizer and schedule.
        run: settings of the run on these machines.
        valid: the validation documents.
        output: the output folder, as an absolute path that all nodes share.
        configuration: written next to the model.
        precision: `run.precision`, with `auto` resolved for these machines.
        rows: number of rows of the training set.
        local: whether plain PyTorch replaces DeepSpeed (one process).
    """

    task: TrainingTask
    optim: OptimConfig
    run: RunConfig
    valid: Sequence[Record]
    output: Path
    configuration: Mapping[str, Any]
    precision: Precision = "fp32"
    rows: int = 0
    local: bool = False

    @property
    def runs(self) -> Path:
        """Folder of the checkpoints."""
        return self.output / CHECKPOINTS


class Losses(torch.nn.Module):
    """The module that DeepSpeed trains: a model whose forward pass returns the losses of its task.

    DeepSpeed sets hooks on the tensors that the forward pass returns. It finds them only in tuples and dictionaries, so
    this module returns a dictionary.
    """

    def __init__(self, task: TrainingTask, model: torch.nn.Module) -> None:
        super().__init__()
        self.task, self.model = task, model

    def forward(self, batch: Mapping[str, torch.Tensor], progress: float) -> dict[str, torch.Tensor]:
        """Losses of a batch; see `TrainingTask.losses`."""
        return self.task.losses(self.model, batch, progress)


def train_worker(plan: Plan, tables: Callable[[], Iterable[Any]], report: Report, show: Show | None = None) -> State:
    """Train from the last checkpoint to the end. All workers of a process group call this function.

    Args:
        plan: the same in all workers.
        tables: returns all rows of the training set, in any order, as Arrow tables.
        report: called with the metrics and the folder of each checkpoint.
        show: called with each line of metrics.jsonl.

    Returns:
        The state at the end of the training.

    Raises:
        UserError: raised in all workers.
    """
    return _Training(plan, tables, report, show).run()


class _Training:
    def __init__(self, plan: Plan, tables: Callable[[], Iterable[Any]], report: Report, show: Show | None) -> None:
        self.plan, self.report, self.show = plan, report, show
        self.skipped_in_row = 0
        self.rank, self.workers = dist.get_rank(), dist.get_world_size()
        found = None
        with agreed(str(plan.runs)):
            if self.rank == 0:
                plan.runs.mkdir(parents=True, exist_ok=True)
                found = find_checkpoint(plan.runs)
        found = from_first(found)
        self.state = found.state if found else State(workers=self.workers, zero=plan.run.zero, precision=plan.precision)
        check_continuable(self.state, self.workers, plan.run.zero, plan.precision)
        convert = needs_conversion(self.state, self.workers)
        with agreed():
            self.rows = Rows(tables())
            if len(self.rows) != plan.rows:
                raise UserError(f"a worker received {len(self.rows):,} of {plan.rows:,} documents", where="--train")
        with agreed():
            model = build_model(plan.task, plan.optim, plan.run)
        groups = parameter_groups(model, plan.optim)
        self.factors = [group["factor"] for group in groups]
        self.losses = Losses(plan.task, model)
        self.engine: Any
        if plan.local:
            self.engine = LocalEngine(self.losses, groups, plan.precision, plan.optim.clip)
        else:
            config = deepspeed_config(plan.optim, plan.run.zero, plan.precision, universal=convert)
            self.engine = start_engine(self.losses, groups, config)
        if found:
            load_checkpoint(self.engine, found.folder, found.state)
        self.state = replace(self.state, workers=self.workers)
        self.log: MetricsLog | None = None
        with agreed(str(plan.output)):
            if self.rank == 0:
                recover_folder(plan.output / "best")
                recover_folder(plan.output / "last")
                self.log = MetricsLog(plan.output, self.state.step, plan.run.tracker, plan.configuration)
                for note in found.notes() if found else []:
                    self.log.write(self.state.step, {"note": note})

    def run(self) -> State:
        optim = self.plan.optim
        per_epoch = -(-len(self.rows) // optim.batch)
        steps, first = per_epoch * optim.epochs, self.state.step
        validate_every = self.plan.run.validation_steps(per_epoch)
        meter = _Meter()
        seen = 0
        for step, indices, batches in self._steps(per_epoch, steps):
            epoch, index = divmod(step, per_epoch)
            if index == 0 or step == first:
                seen = index * optim.batch  # only the last step of an epoch may have fewer documents
            sums = self._step(step, steps, indices, batches)
            seen += round(sums["documents"])
            if not self.skipped_in_row:  # the losses of a step that fp16 skipped mean nothing
                meter.add(sums)
            self.state = replace(self.state, step=step + 1, skipped=skipped_steps(self.engine))
            if self.engine.device.type == "cpu" and step % RELEASE_EVERY == 0:
                release_free_memory()
            if index == per_epoch - 1:
                assert seen == len(self.rows), f"epoch {epoch} saw {seen} documents of {len(self.rows)}"
                self._write({"epoch": epoch + 1, "seen": seen})
            due = (step + 1) % validate_every == 0 or step + 1 == steps
            if due or (step + 1) % self.plan.run.log_every == 0:
                self._write_meter(meter, steps, per_epoch)
                meter = _Meter()
            if due:
                self._validate(step + 1 == steps)
                meter = _Meter()  # rates leave out the time of the validation
            if self.state.finished:
                break
        if self.log:
            self.log.close()
        return self.state

    def _steps(self, per_epoch: int, steps: int) -> Iterator[_Step]:
        """The remaining steps. Background threads collate a few steps ahead."""
        if self.state.finished:
            return
        with ThreadPoolExecutor(_COLLATE_THREADS) as threads:
            futures = (threads.submit(self._collate, *each) for each in self._order(per_epoch, steps))
            yield from results_in_order(futures, _STEPS_AHEAD)

    def _order(self, per_epoch: int, steps: int) -> Iterator[tuple[int, int, np.ndarray]]:
        """Each remaining step, its epoch, and the indices of its documents (of all workers)."""
        optim = self.plan.optim
        order: list[np.ndarray] = []
        for step in range(self.state.step, steps):
            epoch, index = divmod(step, per_epoch)
            if index == 0 or not order:
                order = epoch_order(self.rows.lengths, optim.batch, optim.seed, epoch)
            yield step, epoch, order[index]

    def _collate(self, step: int, epoch: int, indices: np.ndarray) -> _Step:
        """Make the micro-batches of this worker in a step."""
        plan = self.plan
        most = padded_tokens(self.rows.lengths, indices) if plan.task.whole_steps else plan.run.micro_tokens
        batches: list[_Batch] = []
        for part in micro_batches(self.rows.lengths, indices, self.workers, most)[self.rank]:
            # A worker without documents still takes part, with a document of weight 0: collectives need all workers.
            taken = part if len(part) else indices[:1]
            seeds = [_seed(plan.optim.seed, epoch, index) for index in taken.tolist()]
            batch = plan.task.collate(self.rows.take(taken), seeds)
            if self.engine.device.type == "cuda":
                batch = {name: tensor.pin_memory() for name, tensor in batch.items()}
            batches.append((part, batch))
        return step, indices, batches

    def _step(self, step: int, steps: int, indices: np.ndarray, batches: list[_Batch]) -> dict[str, float]:
        """Do one optimizer step, and return sums over all workers."""
        plan, engine = self.plan, self.engine
        rate = learning_rate(step, steps, plan.optim)
        for group, factor in zip(engine.optimizer.param_groups, self.factors, strict=True):
            group["lr"] = factor * rate
        torch.manual_seed(_seed(plan.optim.seed, step, self.rank))
        documents = tokens = padded = 0
        sums: dict[str, torch.Tensor] = {}
        for part, batch in batches:
            on_device = {name: tensor.to(engine.device, non_blocking=True) for name, tensor in batch.items()}
            losses = engine(on_device, step / steps)
            # DeepSpeed averages over workers. This factor makes it the mean over the documents of the step.
            engine.backward(losses["loss"] * (self.workers / len(indices) if len(part) else 0.0))
            for name, value in losses.items():
                weighed = value.detach().double() if len(part) else torch.zeros_like(value, dtype=torch.float64)
                sums[name] = sums.get(name, 0.0) + weighed
            documents += len(part)
            tokens += int(self.rows.lengths[part].sum())
            padded += padded_tokens(self.rows.lengths, part)
        before = skipped_steps(engine)
        self._optimizer_step()
        counts = torch.tensor([documents, tokens, padded], dtype=torch.float64, device=engine.device)
        names = sorted(sums, key=lambda name: (name != "loss", name))
        vector = torch.cat([torch.stack([sums[name] for name in names]), counts])
        if self.workers > 1:
            dist.all_reduce(vector)
        total = dict(zip([*names, *_COUNTS], vector.tolist(), strict=True))
        self.skipped_in_row = self.skipped_in_row + 1 if skipped_steps(engine) > before else 0
        self._check(total, step)
        return total

    def _optimizer_step(self) -> None:
        try:
            self.engine.step()
        except Exception as error:  # the bare class is what DeepSpeed raises
            if not is_scale_exhausted(error):
                raise
            raise _overflow(self.state.step, self.skipped_in_row + 1) from error

    def _check(self, total: Mapping[str, float], step: int) -> None:
        if self.skipped_in_row > self.plan.run.most_skipped:
            raise _overflow(step, self.skipped_in_row)
        if self.plan.precision != "fp16" and not np.isfinite(total["loss"]):
            parts = ", ".join(f"{name} {value:g}" for name, value in total.items() if name not in _COUNTS)
            raise UserError(
                f"the loss of step {step + 1} is not a number ({parts})",
                where=str(self.plan.output),
                fix="start again in another --output with a lower --optim.lr; the last checkpoint is still valid",
            )

    def _write(self, values: Mapping[str, Any]) -> None:
        with agreed(str(self.plan.output)):
            if self.log:
                self.log.write(self.state.step, values)
        if self.show:
            self.show({"step": self.state.step, **values})

    def _write_meter(self, meter: _Meter, steps: int, per_epoch: int) -> None:
        norm = self.engine.get_global_grad_norm()
        values = {
            "steps": steps,
            "epoch": self.state.step / per_epoch,
            **meter.read(),
            "lr": learning_rate(self.state.step - 1, steps, self.plan.optim),
            "grad_norm": None if norm is None else float(norm),
            "skipped": self.state.skipped,
        }
        self._write(values)

    def _validate(self, last: bool) -> None:
        """Validate, keep the best model, and write a checkpoint."""
        plan, state = self.plan, self.state
        self._write({"validating": f"{len(plan.valid):,} documents"})
        model = whole_model(self.engine, self.losses.model, plan.task.build)
        model.eval()
        validation = plan.task.conclude(_add(gather(plan.task.validate(model, plan.valid[self.rank :: self.workers]))))
        model.train()
        score = -math.inf if math.isnan(validation.score) else validation.score
        better = state.best is None or score > state.best
        if better or score == state.best:  # of two equal scores, often 0, the later model has learnt more
            state = replace(state, best=score, best_step=state.step)
            self._save_model("best", model, validation)
        state = replace(state, stale=0 if better else state.stale + 1)
        finished = last or (plan.run.patience is not None and state.stale >= plan.run.patience)
        if finished:
            self._save_model("last", model, validation)
        self.state = replace(state, finished=finished)
        self._write({"score": validation.score, "best": self.state.best, "validation": validation.metrics})
        folder = save_checkpoint(self.engine, plan.runs, self.state)
        self.report({"step": state.step, "score": validation.score, **validation.metrics}, folder)

    def _save_model(self, name: str, model: torch.nn.Module, validation: Validation) -> None:
        folder = self.plan.output / name
        with agreed(str(folder)):
            if self.rank == 0:
                about = {
                    "step": self.state.step,
                    "score": validation.score,
                    "metrics": validation.metrics,
                    **self.plan.configuration,
                }
                with whole_folder(folder) as unfinished:
                    self.plan.task.save(model, unfinished, validation.decisions)
                    write_text(json.dumps(about, indent=2) + "\n", unfinished / "training.json")


_COUNTS = ("documents", "tokens", "padded")


class _Meter:
    """Sums since the last line of metrics.jsonl."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.sums: dict[str, float] = {}

    def add(self, sums: Mapping[str, float]) -> None:
        self.sums = _add([self.sums, sums])

    def read(self) -> dict[str, float]:
        """Mean losses per document, and rates."""
        sums, seconds = self.sums, time.monotonic() - self.start
        if not sums:
            return {"documents": 0}
        documents = sums["documents"]
        return {
            "documents": round(documents),
            **{name: value / documents for name, value in sums.items() if name not in _COUNTS},
            "tokens_per_second": sums["tokens"] / seconds,
            "padding": 1 - sums["tokens"] / sums["padded"],
        }


def _add(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + value
    return total


def _seed(*numbers: int) -> int:
    """A 63-bit seed made from numbers, such as the seed of the run and a step."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _overflow(step: int, skipped: int) -> UserError:
    return UserError(
        f"fp16 overflowed in {skipped} steps in a row, up to step {step + 1}",
        fix="start again in another --output with a lower --optim.lr, or with bf16 or fp32",
    )
