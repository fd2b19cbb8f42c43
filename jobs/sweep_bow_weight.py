"""Weight of the bag-of-words constraint: `python jobs/sweep_bow_weight.py --train PATH --valid PATH --output DIR`.

Each trial is a training of UniKeyphrase (its paper's Table 4 and Fig. 5).
"""

from __future__ import annotations

import sys
from typing import Annotated

from pydantic import Field

from kpray.settings import Settings, parse_settings, run_main
from kpray.sweep.unikeyphrase import UniKeyphraseSweepSettings, run_unikeyphrase_sweep


class BowSpace(Settings):
    """The values that are tried."""

    bow_weight: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (0.0, 0.25, 0.5, 1.0, 2.0)
    """w_m of Eq. 12; 0: without the constraint."""


class BowWeightSweep(UniKeyphraseSweepSettings):
    """What the job takes: all that the training job takes, and the space."""

    space: BowSpace = BowSpace()


def main() -> int:
    job = parse_settings(BowWeightSweep, sys.argv[1:], prog="jobs/sweep_bow_weight.py", description=__doc__)
    space = {"task.loss.bow_weight": job.space.bow_weight}
    return run_unikeyphrase_sweep(job, space, "UniKeyphrase: weight of the bag-of-words constraint")


if __name__ == "__main__":
    run_main(main)
