"""Hyperparameter sweeps on Ray Tune: `kpray sweep heads|depth|bow-weight|tau`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from kpray.cluster.mirror import mirrored
from kpray.settings import Settings, parse_settings
from kpray.sweep.config import HeadSweepSettings, RGITSweepSettings, TrainingSweepSettings
from kpray.sweep.heads import run_head_sweep
from kpray.sweep.search import Space
from kpray.sweep.threshold import run_rgit_sweep
from kpray.sweep.training import TrainingKind, run_training_sweep
from kpray.unikeyphrase.config import TaskConfig
from kpray.unikeyphrase.task import UniKeyphraseTask


class RelationSpace(Settings):
    """The values that are tried, each with all others."""

    relation_layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    """Stacked relation layers, L."""
    relation_mask: Annotated[tuple[Literal["backbone", "none"], ...], Field(min_length=1)] = ("backbone",)
    """What co-attention may see."""
    relation_scale: Annotated[tuple[Literal["one", "inverse_sqrt"], ...], Field(min_length=1)] = ("one",)
    """Factor of the co-attention scores."""
    relation_dropout: Annotated[tuple[Annotated[float, Field(ge=0, lt=1)], ...], Field(min_length=1)] | None = None
    """Dropout on the output of each relation layer; null: that of `task.model`."""


class BowSpace(Settings):
    """The values that are tried."""

    bow_weight: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (0.0, 0.25, 0.5, 1.0, 2.0)
    """w_m of Eq. 12; 0: without the constraint."""


class UniKeyphraseSweepSettings(TrainingSweepSettings):
    """What the sweeps over trainings of UniKeyphrase take, beside their space."""

    task: TaskConfig = TaskConfig()


class RelationDepthSweep(UniKeyphraseSweepSettings):
    """What `kpray sweep depth` takes: all that the training takes, and the space."""

    space: RelationSpace = RelationSpace()


class BowWeightSweep(UniKeyphraseSweepSettings):
    """What `kpray sweep bow-weight` takes: all that the training takes, and the space."""

    space: BowSpace = BowSpace()


def heads(arguments: Sequence[str], prog: str) -> int:
    """Choose SAMRank's heads."""
    description = (
        f"Choose SAMRank's heads: `{prog} --valid PATH... --test PATH... --output DIR`. "
        "One pass of each model gives every head in every direction, part of the score and set of candidates."
    )
    job = parse_settings(HeadSweepSettings, arguments, prog=prog, description=description)
    with mirrored(job.output, job.dry_run):
        return run_head_sweep(job)


def depth(arguments: Sequence[str], prog: str) -> int:
    """Choose how many relation layers UniKeyphrase has."""
    description = (
        f"Choose how many relation layers UniKeyphrase has: `{prog} --train PATH --valid PATH --output DIR`. "
        "Each trial is a training (Table 5 of the paper)."
    )
    job = parse_settings(RelationDepthSweep, arguments, prog=prog, description=description)
    space = {f"task.model.{name}": values for name, values in job.space if values is not None}
    return _sweep_unikeyphrase(job, space, "UniKeyphrase: depth of the relation layers")


def bow_weight(arguments: Sequence[str], prog: str) -> int:
    """Choose the weight of UniKeyphrase's bag-of-words constraint."""
    description = (
        f"Choose the weight of UniKeyphrase's bag-of-words constraint: `{prog} --train PATH --valid PATH --output "
        "DIR`. Each trial is a training (Table 4 and Fig. 5 of the paper)."
    )
    job = parse_settings(BowWeightSweep, arguments, prog=prog, description=description)
    space = {"task.loss.bow_weight": job.space.bow_weight}
    return _sweep_unikeyphrase(job, space, "UniKeyphrase: weight of the bag-of-words constraint")


def tau(arguments: Sequence[str], prog: str) -> int:
    """Choose RGIT's threshold."""
    description = (
        f"Choose RGIT's threshold tau: `{prog} --config planted --output DIR`, or with files. Each trial is a run of "
        "RGIT (Table 7 of the paper); what does not depend on tau is done once."
    )
    job = parse_settings(RGITSweepSettings, arguments, prog=prog, description=description)
    with mirrored(job.output, job.dry_run):
        return run_rgit_sweep(job)


def _sweep_unikeyphrase(job: UniKeyphraseSweepSettings, space: Space, title: str) -> int:
    kind = TrainingKind("train_unikeyphrase.py", UniKeyphraseTask, TaskConfig)
    with mirrored(job.output, job.dry_run):
        return run_training_sweep(job, kind, space, title)
