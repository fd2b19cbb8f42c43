"""Which of SAMRank's heads: `python jobs/sweep_samrank_heads.py --valid PATH... --test PATH... --output DIR`.

One pass of each model gives every head in every direction, part of the score and set of candidates.
"""

from __future__ import annotations

import sys

from kpray.cluster.mirror import mirrored
from kpray.settings import parse_settings, run_main
from kpray.sweep.heads import HeadSweepSettings, run_head_sweep


def main() -> int:
    job = parse_settings(HeadSweepSettings, sys.argv[1:], prog="jobs/sweep_samrank_heads.py", description=__doc__)
    with mirrored(job.output, job.dry_run):
        return run_head_sweep(job)


if __name__ == "__main__":
    run_main(main)
