"""How many relation layers: `python jobs/sweep_relation_depth.py --train PATH --valid PATH --output DIR`.

Each trial is a training of UniKeyphrase (its paper's Table 5).
"""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from pydantic import Field

from kpray.cluster.training_sweep import TrainingKind, TrainingSweepSettings, run_training_sweep
from kpray.settings import Settings, parse_settings, run_main
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


class RelationDepthSweep(TrainingSweepSettings):
    """What the job takes: all that the training job takes, and the space."""

    task: TaskConfig = TaskConfig()
    space: RelationSpace = RelationSpace()


def main() -> int:
    job = parse_settings(RelationDepthSweep, sys.argv[1:], prog="jobs/sweep_relation_depth.py", description=__doc__)
    job = job.model_copy(update={"task": job.task.with_absolute_backbone()})
    space = {f"task.model.{name}": values for name, values in job.space if values is not None}
    kind = TrainingKind("train_unikeyphrase.py", UniKeyphraseTask, TaskConfig)
    return run_training_sweep(job, kind, space, "UniKeyphrase: depth of the relation layers")


if __name__ == "__main__":
    run_main(main)
