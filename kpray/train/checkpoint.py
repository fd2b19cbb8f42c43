"""Checkpoints of a training. They are written atomically and verified by checksum before they are used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch.distributed as dist

from kpray.cluster.ray_compat import convert_checkpoint, forget_checkpoints, loading_data_only, recording_saves
from kpray.corpus.writing import write_text
from kpray.errors import UserError
from kpray.torch_files import read_torch_file
from kpray.train.collectives import agreed, cannot_write, from_first, is_write_error
from kpray.train.engine import LocalEngine

_TAG = "state"  # DeepSpeed's subfolder of a checkpoint
_UNIVERSAL = "universal"
_MANIFEST = "manifest-{rank}.json"
_FIX = "move the checkpoint away to resume from the one before it"
_STEP_END = len("step-00000000")  # the rest of the name distinguishes checkpoints of the same step


@dataclass(frozen=True, slots=True)
class State:
    """Progress of a training, except for the state that DeepSpeed saves.

    Attributes:
        step: number of completed optimizer steps.
        best: highest validation score; None before the first validation.
        best_step: step of the highest score, the last one that has it.
        stale: number of validations since one scored more than all before it.
        skipped: number of steps that were skipped because of fp16 overflow.
        finished: whether the training has ended.
        workers: number of workers that wrote the checkpoint.
        zero: ZeRO stage.
        precision: precision of the parameters: fp16, bf16 or fp32.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    skipped: int = 0
    finished: bool = False
    workers: int = 1
    zero: int = 0
    precision: str = "fp32"


def save_checkpoint(engine: Any, runs: Path, state: State) -> Path:
    """Write a checkpoint. Every worker calls this.

    The checkpoint has a hidden name until all workers have written their parts.

    Args:
        engine: DeepSpeed engine.
        runs: folder of the checkpoints, which all workers share.
        state: progress of the training, for the manifest of worker 0.

    Returns:
        The checkpoint's folder, `step-...`.

    Raises:
        UserError: a worker could not write. It is raised in all workers, and the checkpoint is removed.
    """
    name = from_first(f"step-{state.step:08d}-{uuid4().hex[:8]}")
    unfinished, rank = runs / f".{name}.tmp", dist.get_rank()
    try:
        with agreed(str(runs)):
            if rank == 0:
                unfinished.mkdir(parents=True)
        with recording_saves(engine, is_write_error) as (files, errors):
            engine.save_checkpoint(str(unfinished), tag=_TAG, save_latest=False)
        with agreed(str(runs)):
            if errors:
                raise cannot_write(errors[0], str(runs))
            shares = {os.path.relpath(file, unfinished): _digest(Path(file)) for file in files}
            manifest = {"files": shares, **({"state": asdict(state)} if rank == 0 else {})}
            write_text(json.dumps(manifest, indent=2) + "\n", unfinished / _MANIFEST.format(rank=rank))
        with agreed(str(runs)):
            if rank == 0:
                unfinished.rename(runs / name)
    except UserError:
        if rank == 0:
            shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return runs / name


def read_state(folder: Path) -> State:
    """Verify a checkpoint and read the progress of its training.

    Raises:
        UserError: a file is missing, cannot be read or has changed.
    """
    rank, workers = 0, 1
    state = State()
    while rank < workers:
        path = folder / _MANIFEST.format(rank=rank)
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            if rank == 0:
                state = State(**manifest["state"])
                workers = state.workers
            wrong = [name for name, digest in manifest["files"].items() if _digest(folder / name) != digest]
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(f"the checkpoint is damaged: {error}", where=str(path)) from error
        if wrong:
            raise UserError("the checkpoint is damaged: the file was changed", where=str(folder / wrong[0]))
        rank += 1
    return state


@dataclass(frozen=True, slots=True)
class Found:
    """The newest good checkpoint of a training.

    Attributes:
        folder: folder of the checkpoint.
        state: progress of the training.
        damaged: folder of each newer, damaged checkpoint -> what is wrong with it.
    """

    folder: Path
    state: State
    damaged: dict[Path, str]

    def notes(self) -> list[str]:
        """One line for each damaged checkpoint."""
        return [f"{damage}; training resumes from step {self.state.step}" for damage in self.damaged.values()]


def find_checkpoint(runs: Path) -> Found | None:
    """Find the newest checkpoint that is not damaged; None if there is no checkpoint.

    Raises:
        UserError: all checkpoints are damaged.
    """
    damaged: dict[Path, str] = {}
    folders = [(folder.name[:_STEP_END], folder.stat().st_mtime, folder) for folder in runs.glob("step-*")]
    for *_, folder in sorted(folders, reverse=True):
        try:
            return Found(folder, read_state(folder), damaged)
        except UserError as error:
            damaged[folder] = str(error)
    for damage in damaged.values():
        raise UserError(f"all checkpoints are damaged: {damage}", where=str(runs), fix="move the folder away")
    return None


def tidy_checkpoints(runs: Path, found: Found | None) -> None:
    """Keep only the newest good checkpoint and rename damaged ones. Call this before workers start.

    Args:
        runs: folder of the checkpoints.
        found: from `find_checkpoint`.
    """
    for unfinished in runs.glob(".step-*.tmp"):
        shutil.rmtree(unfinished)
    forget_checkpoints(runs)
    if found is not None:
        for folder in found.damaged:
            folder.rename(folder.with_name(f"damaged-{folder.name}"))
        for folder in runs.glob("step-*"):
            if folder != found.folder:
                shutil.rmtree(folder)


def check_continuable(state: State, workers: int, zero: int, precision: str) -> None:
    """Check that a training can resume from a checkpoint with these settings.

    Args:
        state: progress in the checkpoint.
        workers: number of workers now.
        zero: ZeRO stage now.
        precision: precision of the parameters now.

    Raises:
        UserError: the ZeRO stage or the precision differs, or the number of workers differs at ZeRO stage 3.
    """
    for name, before, now in (("zero", state.zero, zero), ("precision", state.precision, precision)):
        if before != now:
            raise UserError(
                f"the checkpoint was made with {before}, not {now}",
                where=f"run.{name}",
                fix=f"give --run.{name} {before}, or another --output",
            )
    if state.zero == 3 and state.workers != workers:
        raise UserError(
            f"ZeRO 3 cannot change the number of workers from {state.workers} to {workers}",
            where="run.workers",
            fix=f"give --run.workers {state.workers}",
        )


def needs_conversion(state: State, workers: int) -> bool:
    """Whether a checkpoint must be converted before this number of workers can load it."""
    return state.zero > 0 and state.workers != workers


def load_checkpoint(engine: Any, folder: Path, state: State) -> None:
    """Load the weights and the optimizer state. Every worker calls this.

    Args:
        engine: new DeepSpeed engine, configured with `universal` if the checkpoint needs conversion.
        folder: folder of the checkpoint.
        state: progress in the checkpoint.

    Raises:
        UserError: a file has code or does not fit the model, or the checkpoint cannot be converted for this number of
            workers.
    """
    with nullcontext() if isinstance(engine, LocalEngine) else loading_data_only():
        with agreed(str(folder)):
            if dist.get_rank() == 0:
                _check_files(folder)
        if not needs_conversion(state, dist.get_world_size()):
            _load(engine, folder, folder)
            return
        converted = folder.parent / f".{folder.name}.{_UNIVERSAL}.tmp"
        with agreed(str(converted)):
            if dist.get_rank() == 0:
                _convert(folder, converted)
        _load(engine, converted, folder)
    dist.barrier()
    if dist.get_rank() == 0:
        shutil.rmtree(converted)


def _check_files(folder: Path) -> None:
    """Check that the files of a checkpoint can be read as data.

    The engines refuse code too, but only in the worker that reads the file, while the others wait for it.
    """
    for path in sorted((folder / _TAG).iterdir()):
        read_torch_file(path, if_code=_FIX, if_damaged=_FIX)


def _load(engine: Any, folder: Path, named: Path) -> None:
    """Load the checkpoint of a folder. Errors name the folder `named`."""
    try:
        engine.load_checkpoint(str(folder), tag=_TAG)
    except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, RuntimeError) and "loading state_dict" not in str(error):  # for example a lost worker
            raise
        reason = f"{type(error).__name__} {error}".splitlines()[0]
        raise UserError(f"the checkpoint does not fit this model: {reason}", where=str(named), fix=_FIX) from error


def _convert(folder: Path, converted: Path) -> None:
    """Convert a checkpoint to the format that any number of workers can load."""
    shutil.rmtree(converted, ignore_errors=True)
    reason = convert_checkpoint(folder / _TAG, converted / _TAG)
    if reason:
        raise UserError(
            f"the checkpoint cannot be converted for another number of workers: {reason}",
            where=str(folder),
            fix="resume with the same --run.workers as before",
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"{path.stat().st_size}:{hashlib.file_digest(file, 'sha256').hexdigest()}"
