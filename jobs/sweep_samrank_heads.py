"""Which of SAMRank's heads: `python jobs/sweep_samrank_heads.py --valid PATH... --test PATH... --output DIR`.

One pass of each model gives every head in every direction, part of the score and set of candidates.
"""

from __future__ import annotations

import sys

from kpray.cluster.head_sweep import HeadSweepSettings, run_head_sweep
from kpray.settings import parse_settings, run_main


def main() -> int:
    job = parse_settings(HeadSweepSettings, sys.argv[1:], prog="jobs/sweep_samrank_heads.py", description=__doc__)
    return run_head_sweep(job)


if __name__ == "__main__":
    run_main(main)
