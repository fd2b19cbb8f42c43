"""`kpray rgit`: training of RAMKG by RGIT."""

from __future__ import annotations

from collections.abc import Sequence

from kpray.printing import print_result, print_tables
from kpray.report.progress import Activity
from kpray.rgit.config import RGITSettings
from kpray.settings import parse_settings
from kpray.storage import location

DESCRIPTION = (
    "Train RAMKG's retriever and generator together in rounds (RGIT, Algorithm 1 of the paper). "
    "The same command continues a run that was interrupted."
)
EXAMPLES = (
    "--config planted-small --output rgit/",
    "--parallel de.jsonl --passages fr.jsonl --english en.jsonl --output rgit/",
)
USUAL = (
    *("parallel", "passages", "english", "valid", "valid_pairs", "test", "systems", "rgit.rounds", "rgit.tau"),
    *("retriever.backbone", "generator.backbone", "run.workers", "address", "dry_run"),
)


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the command."""
    job = parse_settings(RGITSettings, arguments, prog=prog, description=DESCRIPTION, usual=USUAL, examples=EXAMPLES)
    with Activity("loading the libraries"):
        from kpray.cluster.job import print_plan
        from kpray.cluster.mirror import mirrored
        from kpray.report.rounds import recall_rows, round_rows, score_rows
        from kpray.rgit.job import describe_documents, run_rgit

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
