"""RGIT's threshold tau: `python jobs/sweep_rgit_threshold.py --config planted --output DIR`, or with files.

Each trial is a run of the RGIT job (its paper's Table 7); what does not depend on tau is done once.
"""

from __future__ import annotations

import sys

from kpray.cluster.mirror import mirrored
from kpray.settings import parse_settings, run_main
from kpray.sweep.threshold import RGITSweepSettings, run_rgit_sweep


def main() -> int:
    job = parse_settings(RGITSweepSettings, sys.argv[1:], prog="jobs/sweep_rgit_threshold.py", description=__doc__)
    with mirrored(job.output, job.dry_run):
        return run_rgit_sweep(job)


if __name__ == "__main__":
    run_main(main)
