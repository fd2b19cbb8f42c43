"""Train RAMKG by RGIT: `python jobs/rgit.py --parallel PATH --passages PATH --english PATH --output DIR`."""

from __future__ import annotations

import sys

from kpray.cluster.job import describe_inputs, print_plan
from kpray.cluster.rgit import RGITSettings, run_rgit
from kpray.report.rounds import recall_rows, round_rows, score_rows
from kpray.report.tables import print_tables
from kpray.settings import parse_settings, run_main


def main() -> int:
    job = parse_settings(RGITSettings, sys.argv[1:], prog="jobs/rgit.py", description=__doc__)
    if job.dry_run:
        names = ("parallel", "passages", "english", "valid", "test", "answers")
        given = describe_inputs({f"--{name}:": getattr(job, name) for name in names}, job.limits)
        planted = f"a planted corpus: {job.planted.parallel:,} pairs, {job.planted.passages:,} records without"
        print_plan(job, given or planted)
        return 0
    report = run_rgit(job)
    print_tables(
        {
            "rounds, recall@k": round_rows(report),
            "retrieval, recall@k": recall_rows(report),
            "keyphrases": score_rows(report),
        }
    )
    print(f"the predictor: {job.output / 'best'}; the tables: {job.output / 'report.md'}")
    return 0


if __name__ == "__main__":
    run_main(main)
