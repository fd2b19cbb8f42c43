"""Score keyphrases: `python jobs/evaluate.py --input PATH (--predictions DIR | --predictor P) --protocol samrank`."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from rich.console import Console

from kpray.cluster.batch import BatchConfig, BatchRun, check_manifest, predict_files
from kpray.cluster.job import JobSettings, describe_sources, print_plan, writing
from kpray.cluster.session import ray_session
from kpray.corpus.limits import Limits
from kpray.corpus.records import Reject, read_records
from kpray.corpus.sources import find_sources
from kpray.corpus.writing import read_made_by, read_predictions, write_text
from kpray.errors import UserError
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import get_protocol
from kpray.metrics.results import Report, compare
from kpray.report.heat_map import draw_heads
from kpray.report.tables import console_table
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.heads import CUTOFFS, f1_of_heads, head_rows
from kpray.settings import parse_settings, run_main, versions


class EvaluateJob(JobSettings):
    """What the evaluate job takes."""

    input: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of documents with gold keyphrases."""
    predictions: Path | None = None
    """Output folder of an extract job over the same documents."""
    predictor: str | None = None
    """Instead of predictions: samrank, or the folder of a saved predictor, to run over the documents first."""
    protocol: Literal["samrank", "meng", "ramkg"]
    """How predictions are held against gold."""
    output: Path | None = None
    """JSON file for the report, per-document scores included."""
    compare: Path | None = None
    """Report of another run on the same data, for a paired test."""
    heat_map: Path | None = None
    """PNG file: score every head of SAMRank's model by itself, and draw them (the paper's Fig. 3)."""
    top: Annotated[int, Field(ge=1)] = 15
    """Most keyphrases of a document, with --predictor."""
    lang: str = "en"
    """Language of records that name none."""
    seed: int = 0
    """Of the bootstrap."""
    limits: Limits = Limits()
    batch: BatchConfig = BatchConfig()
    samrank: SAMRankConfig = SAMRankConfig()


def main() -> int:
    job = parse_settings(EvaluateJob, sys.argv[1:], prog="jobs/evaluate.py", description=__doc__)
    if (job.predictions is None) == (job.predictor is None):
        raise UserError("either --predictions or --predictor is needed", fix="give one of the two")
    sources = find_sources(job.input)
    if job.dry_run:
        print_plan(job, describe_sources(sources, job.limits))
        return 0
    other = None if job.compare is None else read_report(job.compare)
    records = [record for record in read_records(job.input, job.lang, job.limits) if not isinstance(record, Reject)]
    with tempfile.TemporaryDirectory() as folder:
        predictions = job.predictions or Path(folder)
        if job.predictor is not None:
            run = BatchRun.pinned(predictions, job.predictor, job.samrank, job.top, job.lang, job.limits, job.batch)
            check_manifest(run, sources)
            with ray_session(job.address):
                predict_files(run, sources, job.batch)
        report = evaluate(records, read_predictions(predictions), get_protocol(job.protocol), job.seed)
        made_by = read_made_by(predictions)
    tables = {f"protocol {job.protocol}": report.score_rows(), "documents": report.document_rows()}
    tables["quantities"] = report.quantity_rows()
    tables["languages"] = report.language_rows() if len(report.languages) > 1 else []
    if other is not None:
        tests = compare(report, other, job.seed)
        tables[f"this run minus {job.compare}"] = [{"metric": name, **asdict(test)} for name, test in tests.items()]
    heads = []
    if job.heat_map is not None:
        scores = f1_of_heads(job.samrank, records)
        with writing(job.heat_map):
            draw_heads(
                {", ".join(Path(name).stem for name in job.input): scores[:, :, -1]}, job.heat_map, f"F1@{CUTOFFS[-1]}"
            )
        heads = head_rows(scores)
        tables["heads, the best ten"] = heads[:10]
    for title, rows in tables.items():
        if rows:
            Console().print(console_table(rows, title=title))
    print("predictions by", json.dumps(made_by, ensure_ascii=False))
    if job.output is not None:
        extra = {"made_by": made_by, "heads": heads, "config": job.model_dump(mode="json"), "versions": versions()}
        with writing(job.output):
            write_text(json.dumps({**json.loads(report.to_json()), **extra}, ensure_ascii=False) + "\n", job.output)
    return 0


def read_report(path: Path) -> Report:
    try:
        return Report.from_json(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"the file cannot be read: {error}", where=str(path), fix="give an --output of this job"
        ) from error


if __name__ == "__main__":
    run_main(main)
