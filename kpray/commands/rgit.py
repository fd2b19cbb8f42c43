"""Train RAMKG by RGIT: `kpray rgit --parallel PATH --passages PATH --english PATH --output DIR`."""

from __future__ import annotations

from collections.abc import Sequence

from kpray.cluster.job import print_plan
from kpray.cluster.mirror import mirrored
from kpray.printing import print_result, print_tables
from kpray.report.rounds import recall_rows, round_rows, score_rows
from kpray.rgit.job import RGITSettings, describe_documents, run_rgit
from kpray.settings import parse_settings
from kpray.storage import location


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the command."""
    job = parse_settings(RGITSettings, arguments, prog=prog, description=str(__doc__))
    if job.dry_run:
        print_plan(job, describe_documents(job, "a planted corpus"))
        return 0
    with mirrored(job.output):
        report = run_rgit(job)
    print_tables(
        {
            "rounds, recall@k": round_rows(report),
            "retrieval, recall@k": recall_rows(report),
            "keyphrases": score_rows(report),
        }
    )
    output = location(job.output)
    print_result(f"the predictor: {output}/best; the report: {output}/report.html")
    return 0
