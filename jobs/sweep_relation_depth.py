"""How many relation layers: `python jobs/sweep_relation_depth.py --train PATH --valid PATH --output DIR`.

Each trial is a training of UniKeyphrase (its paper's Table 5).
"""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from pydantic import Field

from kpray.settings import Settings, parse_settings, run_main
from kpray.sweep.unikeyphrase import UniKeyphraseSweepSettings, run_unikeyphrase_sweep


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


class RelationDepthSweep(UniKeyphraseSweepSettings):
    """What the job takes: all that the training job takes, and the space."""

    space: RelationSpace = RelationSpace()


def main() -> int:
    job = parse_settings(RelationDepthSweep, sys.argv[1:], prog="jobs/sweep_relation_depth.py", description=__doc__)
    space = {f"task.model.{name}": values for name, values in job.space if values is not None}
    return run_unikeyphrase_sweep(job, space, "UniKeyphrase: depth of the relation layers")


if __name__ == "__main__":
    run_main(main)
