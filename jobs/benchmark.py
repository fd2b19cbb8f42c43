"""Measure kpray beside its floor and other tools: `python jobs/benchmark.py samrank [--input PATH]`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field
from rich.console import Console

from kpray.corpus.quickstart import quickstart_records
from kpray.corpus.records import Reject, read_records
from kpray.errors import UserError
from kpray.report.tables import console_table, markdown_table
from kpray.samrank.config import SAMRankConfig
from kpray.settings import Settings, parse_settings, run_main


class SAMRankBenchmark(Settings):
    """What the benchmark of SAMRank takes."""

    input: tuple[str, ...] = ()
    """Documents with gold keyphrases; none: the English ones of the quickstart's corpus."""
    documents: Annotated[int, Field(ge=1)] = 200
    """Most documents."""
    rounds: Annotated[int, Field(ge=1)] = 3
    """How often each contestant is timed; the best round counts."""
    output: Path | None = None
    """Markdown file for the table."""
    samrank: SAMRankConfig = SAMRankConfig(
        heads=("4-12",), weighting="unit", candidates="paper", position_scale=None, merge_stems=False
    )


def main() -> int:
    """Parse the arguments, measure, print the table."""
    name, *arguments = sys.argv[1:] or [""]
    if name != "samrank":
        raise UserError(f"there is no benchmark {name!r}", fix="known: samrank")
    job = parse_settings(SAMRankBenchmark, arguments, prog="jobs/benchmark.py samrank", description=str(__doc__))
    found = read_records(job.input) if job.input else quickstart_records()
    english = [r for r in found if not isinstance(r, Reject) and r.document.lang == "en" and r.keyphrases]
    if not english:
        raise UserError("no English document with gold keyphrases", where=", ".join(job.input))

    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before numpy reads them
    from kpray.samrank.benchmark import benchmark

    rows = benchmark(job.samrank, english[: job.documents], job.rounds)
    title = f"{len(english[: job.documents])} documents, one thread, processor time, best of {job.rounds}"
    Console().print(console_table(rows, title=title))
    if job.output is not None:
        job.output.write_text(f"{title}\n\n{markdown_table(rows)}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run_main(main)
