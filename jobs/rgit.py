"""Train RAMKG by RGIT: `python jobs/rgit.py --parallel PATH --passages PATH --english PATH --output DIR`."""

from __future__ import annotations

import sys

from kpray.rgit.job import RGITSettings, run_rgit_job
from kpray.settings import parse_settings, run_main


def main() -> int:
    return run_rgit_job(parse_settings(RGITSettings, sys.argv[1:], prog="jobs/rgit.py", description=__doc__))


if __name__ == "__main__":
    run_main(main)
