"""`kpray evaluate`: scores of predicted keyphrases."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field

from kpray.batch.config import BatchConfig
from kpray.cluster.job import JobSettings, describe_sources, print_plan, run_details, writing
from kpray.corpus.sources import find_sources, short_names
from kpray.corpus.writing import write_text
from kpray.errors import UserError
from kpray.metrics.protocols import get_protocol
from kpray.metrics.runs import (
    comparison_tables,
    console_tables,
    draw_figures,
    notes,
    read_runs,
    report_sections,
    report_title,
)
from kpray.printing import print_result, print_tables
from kpray.registry import PredictionSettings, kind_of, open_predictor, section_of
from kpray.report.page import write_page
from kpray.report.progress import Activity
from kpray.report.relation import distance_rows, draw_relation, pair_distances
from kpray.selection import SelectionOptions
from kpray.settings import parse_settings
from kpray.versions import versions

if TYPE_CHECKING:
    from kpray.batch.evaluation import DataSet

DESCRIPTION = "Score keyphrases against gold keyphrases: those that `kpray batch` wrote, or those of a predictor."
EXAMPLES = (
    "--input test.jsonl --predictions keyphrases/ --protocol meng",
    "--input test.jsonl --predictor samrank --protocol samrank",
)
USUAL = ("predictions", "predictor", "output", "tables", "compare", "lang", "address", "dry_run")
FIGURE_DOCUMENTS = 50  # of a data set; their tokens make far more than the 2,000 pairs that are drawn


class EvaluateCommand(PredictionSettings, SelectionOptions, JobSettings):
    """Settings of `kpray evaluate`."""

    input: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of documents with gold keyphrases. Each is a dataset with separate scores."""
    predictions: tuple[Path, ...] = ()
    """Output folders of `kpray batch`, one per system. If DIR/NAME exists, it holds the predictions for the dataset
    NAME."""
    predictor: tuple[str, ...] = ()
    """Predictors to run on the documents first, instead of --predictions: samrank, or folders of saved predictors."""
    protocol: Literal["samrank", "meng", "ramkg"]
    """Evaluation protocol: the rules for comparing predicted and gold keyphrases."""
    micro: bool = False
    """Also report micro F1: F1 of the sums over all documents, in which each keyphrase has the same weight."""
    output: Path | None = None
    """JSON file for the reports with the scores of each document, one line per system and dataset."""
    tables: Path | None = None
    """Report with tables as in papers, a case study and the figures: HTML if the name ends in .html, else Markdown."""
    figures: Path | None = None
    """Folder for figures of UniKeyphrase: its representations (Fig. 3), losses (Fig. 4) and bag-of-words errors
    (Fig. 5)."""
    compare: Path | None = None
    """Reports (--output) of another run on the same data, for a paired significance test."""
    heat_map: Path | None = None
    """SVG or PNG file for a heat map of the scores of each single head of SAMRank's model (Fig. 3 of its paper)."""
    top: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of keyphrases per document, with --predictor. If null, the number that the protocol needs: 50
    where it scores all (@M)."""
    seed: int = 0
    """Random seed of the bootstrap."""
    batch: BatchConfig = BatchConfig()


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the command."""
    started = time.monotonic()
    job = parse_settings(EvaluateCommand, arguments, prog=prog, description=DESCRIPTION, usual=USUAL, examples=EXAMPLES)
    if bool(job.predictions) == bool(job.predictor):
        raise UserError("either --predictions or --predictor is needed", fix="give one of the two")
    selection = SelectionOptions.of(job)
    if job.predictions and (chosen := selection.model_dump(exclude_defaults=True)):
        name = next(iter(chosen))
        raise UserError(f"{name} has no effect on --predictions", fix=f"give it with --predictor, or remove {name}")
    sources = find_sources(job.input, follow_links=job.follow_links)
    if job.dry_run:
        print_plan(job, describe_sources(sources, job.reading()))
        return 0
    with Activity("loading the libraries"):
        from kpray.batch.evaluation import describe_data_sets, evaluate_systems, read_data_sets

    protocol = get_protocol(job.protocol)
    others = read_runs(job.compare) if job.compare else []
    with Activity("reading the documents"):
        data_sets = read_data_sets(job.input, job.reading())
    # What a training wrote to DIR/best goes by the name of DIR.
    systems = short_names([str(Path(given)).removesuffix("/best") for given in job.predictor or job.predictions])
    with tempfile.TemporaryDirectory() as scratch:
        folders = job.predictions or predict(job, data_sets, job.top or protocol.top, selection, Path(scratch))
        with Activity("scoring the predictions"):
            of_systems = dict(zip(systems, folders, strict=True))
            runs = evaluate_systems(of_systems, data_sets, protocol, job.seed, micro=job.micro)
            described = describe_data_sets(of_systems, data_sets, protocol) if job.tables else []
    heads = {}
    if job.heat_map:
        from kpray.samrank.heads import draw_f1_of_heads

        with writing(job.heat_map):
            heads = draw_f1_of_heads(job.samrank, {data.name: data.records for data in data_sets}, job.heat_map)
    tables = {**console_tables(runs), **comparison_tables(runs, others, str(job.compare), job.seed)}
    tables |= {f"heads, the best ten on {name}": rows[:10] for name, rows in heads.items()}
    print_tables(tables)
    print_result("\n".join(notes(runs)))
    if job.output:
        extra = {"config": job.model_dump(mode="json"), "versions": versions()}
        lines = [run.to_json({"heads": heads.get(run.data, []), **extra}) for run in runs]
        with writing(job.output):
            write_text("\n".join(lines) + "\n", job.output)
    images = {job.heat_map: "F1@15 of each attention head by itself"} if job.heat_map else {}
    if job.figures:
        with writing(job.figures):
            drawn = draw_figures(runs, job.figures)
            drawn += draw_distances(dict(zip(systems, job.predictor, strict=False)), data_sets, job.figures)
        images |= dict.fromkeys(drawn, "")
        print_result(f"figures: {', '.join(map(str, drawn)) or 'there is nothing to draw'}")
    if job.tables:
        with writing(job.tables):
            relative = {os.path.relpath(path, job.tables.parent): text for path, text in images.items()}
            write_page(
                job.tables, report_title(runs), run_details(job, started), report_sections(runs, relative, described)
            )
    return 0


def predict(
    job: EvaluateCommand, data_sets: list[DataSet], top: int, selection: SelectionOptions, folder: Path
) -> list[Path]:
    """Run each predictor over the data sets; returns the output folder of each."""
    from kpray.batch.evaluation import predict_data_sets
    from kpray.batch.extract import BatchRun

    configs = [section_of(name, job, job.predictor) for name in job.predictor]
    runs = [
        BatchRun.pinned(folder / str(index), name, config, top, job.reading(), job.batch, selection)
        for index, (name, config) in enumerate(zip(job.predictor, configs, strict=True))
    ]
    predict_data_sets(runs, data_sets, job.batch, job.address)
    return [folder / str(index) for index in range(len(runs))]


def draw_distances(predictors: dict[str, str], data_sets: list[DataSet], folder: Path) -> list[Path]:
    """Draw Fig. 3 of the UniKeyphrase models among the predictors, over the first documents of every data set."""
    from kpray.unikeyphrase.predictor import UniKeyphrase
    from kpray.unikeyphrase.representations import task_representations

    documents = [record.document for data in data_sets for record in data.records[:FIGURE_DOCUMENTS]]
    distances = {}
    for system, name in predictors.items():
        if kind_of(name) == UniKeyphrase.kind:
            predictor = cast(UniKeyphrase, open_predictor(name))
            distances[system] = pair_distances(*task_representations(predictor, documents))
    if not distances:
        return []
    draw_relation(distances, folder / "representations.svg")
    print_tables({"distance of the two tasks' representations": distance_rows(distances)})
    return [folder / "representations.svg"]
