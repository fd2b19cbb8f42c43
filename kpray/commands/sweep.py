"""`kpray sweep`: choice of hyperparameters on Ray Tune."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from kpray.cluster.mirror import mirrored
from kpray.report.progress import Activity
from kpray.settings import Settings, parse_settings
from kpray.sweep.config import HeadSweepSettings, RGITSweepSettings, TrainingSweepSettings
from kpray.sweep.search import Space
from kpray.unikeyphrase.config import TaskConfig

_CONTINUES = "The same command continues a sweep that was interrupted."
_USUAL = ("sweep.seeds", "sweep.hours", "sweep.at_once", "address", "dry_run")
_USUAL_OF_TRAININGS = ("task.model.backbone", "optim.epochs", "optim.batch", "sweep.asha", *_USUAL)


class RelationSpace(Settings):
    """The values to try, in every combination."""

    relation_layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    """Numbers of stacked relation layers, L."""
    relation_mask: Annotated[tuple[Literal["backbone", "none"], ...], Field(min_length=1)] = ("backbone",)
    """Masks of the co-attention: the backbone's, or none."""
    relation_scale: Annotated[tuple[Literal["one", "inverse_sqrt"], ...], Field(min_length=1)] = ("one",)
    """Factors of the co-attention scores."""
    relation_dropout: Annotated[tuple[Annotated[float, Field(ge=0, lt=1)], ...], Field(min_length=1)] | None = None
    """Dropout rates of the output of each relation layer. If null, `task.model.relation_dropout`."""


class BowSpace(Settings):
    """The values to try."""

    bow_weight: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (0.0, 0.25, 0.5, 1.0, 2.0)
    """Values of w_m in Eq. 12; 0 turns the bag-of-words constraint off."""


class UniKeyphraseSweepSettings(TrainingSweepSettings):
    """Settings of the sweeps over trainings of UniKeyphrase, apart from the values to try."""

    task: TaskConfig = TaskConfig()


class RelationDepthSweep(UniKeyphraseSweepSettings):
    """Settings of `kpray sweep depth`: those of the training, and the values to try."""

    space: RelationSpace = RelationSpace()


class BowWeightSweep(UniKeyphraseSweepSettings):
    """Settings of `kpray sweep bow-weight`: those of the training, and the values to try."""

    space: BowSpace = BowSpace()


def heads(arguments: Sequence[str], prog: str) -> int:
    """Choose SAMRank's heads."""
    job = parse_settings(
        HeadSweepSettings,
        arguments,
        prog=prog,
        description="Choose SAMRank's attention heads on documents with keyphrases. One pass of each model gives the "
        f"scores of all its heads. {_CONTINUES}",
        usual=("test", "space.model", "most_heads", "cutoff", "lang", "sweep.hours", "address", "dry_run"),
        examples=("--valid valid.jsonl --test test.jsonl --output heads/",),
    )
    with Activity("loading the libraries"):
        from kpray.sweep.heads import run_head_sweep

    with mirrored(job.output, job.dry_run):
        return run_head_sweep(job)


def depth(arguments: Sequence[str], prog: str) -> int:
    """Choose the number of UniKeyphrase's relation layers."""
    job = parse_settings(
        RelationDepthSweep,
        arguments,
        prog=prog,
        description="Choose the number of UniKeyphrase's relation layers. Each trial is a training (Table 5 of the "
        f"paper). {_CONTINUES}",
        usual=("space.relation_layers", *_USUAL_OF_TRAININGS),
        examples=("--config small --train train.jsonl --valid valid.jsonl --output depth/",),
    )
    space = {f"task.model.{name}": values for name, values in job.space if values is not None}
    return _sweep_unikeyphrase(job, space, "UniKeyphrase: depth of the relation layers")


def bow_weight(arguments: Sequence[str], prog: str) -> int:
    """Choose the weight of UniKeyphrase's bag-of-words constraint."""
    job = parse_settings(
        BowWeightSweep,
        arguments,
        prog=prog,
        description="Choose the weight of UniKeyphrase's bag-of-words constraint. Each trial is a training (Table 4 "
        f"and Fig. 5 of the paper). {_CONTINUES}",
        usual=("space.bow_weight", *_USUAL_OF_TRAININGS),
        examples=("--config small --train train.jsonl --valid valid.jsonl --output bow/",),
    )
    space = {"task.loss.bow_weight": job.space.bow_weight}
    return _sweep_unikeyphrase(job, space, "UniKeyphrase: weight of the bag-of-words constraint")


def tau(arguments: Sequence[str], prog: str) -> int:
    """Choose RGIT's threshold."""
    job = parse_settings(
        RGITSweepSettings,
        arguments,
        prog=prog,
        description="Choose RGIT's threshold tau. Each trial is a run of RGIT (Table 7 of the paper); trials share the "
        f"steps that do not depend on tau. {_CONTINUES}",
        usual=("space.tau", "parallel", "passages", "english", "valid", *_USUAL),
        examples=(
            "--config planted --output tau/",
            "--parallel de.jsonl --passages fr.jsonl --english en.jsonl --output tau/",
        ),
    )
    with Activity("loading the libraries"):
        from kpray.sweep.threshold import run_rgit_sweep

    with mirrored(job.output, job.dry_run):
        return run_rgit_sweep(job)


def _sweep_unikeyphrase(job: UniKeyphraseSweepSettings, space: Space, title: str) -> int:
    with Activity("loading the libraries"):
        from kpray.sweep.training import TrainingKind, run_training_sweep
        from kpray.unikeyphrase.task import UniKeyphraseTask

    kind = TrainingKind("train_unikeyphrase.py", UniKeyphraseTask, TaskConfig)
    with mirrored(job.output, job.dry_run):
        return run_training_sweep(job, kind, space, title)
