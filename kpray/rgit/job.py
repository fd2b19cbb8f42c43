"""The RGIT job: its settings, and its outputs (the rounds, a predictor, predictions, a report)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from kpray.cluster.inputs import check_apart
from kpray.cluster.job import describe_inputs, run_details, write_configuration, writing
from kpray.cluster.mirror import working_folder
from kpray.cluster.session import ray_session
from kpray.corpus.writing import write_text
from kpray.errors import UserError
from kpray.pretrained import load_tokenizer
from kpray.ramkg.codemix import load_mixer
from kpray.ramkg.config import (
    GeneratorConfig,
    RetrieverConfig,
    RGITConfig,
)
from kpray.ramkg.encoder import TextEncoder
from kpray.ramkg.rgit import NO_PAIRS, Round
from kpray.report.page import write_pages
from kpray.report.progress import Activity
from kpray.report.rounds import RoundRow, draw_seed_pairs, rounds_report
from kpray.rgit.config import RGITSettings, System
from kpray.rgit.corpora import Corpora, CorpusFiles, read_answers, read_corpora
from kpray.rgit.planted import PlantedSize, describe_planted, plant
from kpray.rgit.rounds import Models, Retrieved, RoundSteps, logged_rounds
from kpray.rgit.systems import case_study, evaluate_system, final_retriever, save_predictor
from kpray.storage import absolute, location
from kpray.versions import versions

# Fields of `RGITSettings` with files.
CORPORA = ("parallel", "passages", "english", "valid", "valid_pairs", "test", "answers")
_CHECKED = 1000  # number of English documents that are checked for keyphrases


def describe_documents(job: RGITSettings, planted: str) -> str:
    """Describe the documents for a dry run. `planted` is the name for a planted corpus."""
    if job.plant:
        return f"{planted}: {describe_planted(job.plant, job.planted)}"
    return describe_inputs({f"--{name.replace('_', '-')}:": getattr(job, name) for name in CORPORA}, job.reading())


def run_rgit(job: RGITSettings) -> dict[str, Any]:
    """Run Algorithm 1, the final trainings and the evaluation. Resumes where an earlier run in the folder stopped.

    Returns:
        The contents of `report.json`.

    Raises:
        UserError: the settings or the documents are wrong. A later run can resume from the output folder.
    """
    started = time.monotonic()
    others = {str(folder): _read_report(folder) for folder in job.compare}
    check_apart([path for name in CORPORA for path in getattr(job, name)], location(job.output))
    output, given = working_folder(job.output), absolute(job.output)
    if job.plant:
        job = plant_corpus(job, job.plant, output / "planted")
    files, models = files_of(job), models_of(job)
    with Activity("reading the documents"):
        corpora = read_corpora(files, output)
    _check(corpora, job.retriever, job.generator)
    write_configuration(job.model_copy(update={"output": given}), output)
    with ray_session(job.address, output, (job.retriever.backbone, job.generator.backbone)):
        steps = RoundSteps((job.steps or output / "steps").resolve(), corpora, models, job.limits)
        rounds = list(logged_rounds(steps, job.rgit, output / "rounds")) if "rgit" in job.systems else []
        round_rows = _round_rows(rounds, read_answers(files, corpora), steps, job.rgit)
        reports = {}
        recall: dict[str, Mapping[int, float]] = {}
        retrievers: dict[System, Retrieved | None] = {}
        for system in job.systems:
            retriever = retrievers[system] = final_retriever(system, steps, job.rgit.schedule, rounds)
            generator = steps.train_generator(retriever, ("parallel", "passages"))
            reports[system] = evaluate_system(system, steps, generator, retriever, output)
            if retriever:
                recall[system] = retriever.recall
        training = job.model_dump(mode="json", include={"systems", "rgit", "retriever", "generator"})
        save_predictor(output / "best", generator, retriever, corpora.english.folder, job.generate, training)
    report: dict[str, Any] = {
        "rounds": [row.to_json() for row in round_rows],
        "recall": recall,
        "systems": reports,
        "case": case_study(steps, retrievers, output),
        "rgit": job.rgit.model_dump(mode="json"),
        "target": job.retriever.target,
        "parallel": len(corpora.parts["parallel"]),
        "steps": steps.steps.log,
        "versions": versions(),
    }
    report = json.loads(json.dumps(report))  # the same values that readers of the file get
    with writing(output):
        write_text(json.dumps(report, indent=2) + "\n", output / "report.json")
        runs = {given: report, **others} if others else {}
        images = draw_seed_pairs(runs, output)
        write_pages(output, "RGIT", run_details(job, started), rounds_report(report, runs, images))
    return report


def files_of(job: RGITSettings) -> CorpusFiles:
    """The input files of a job."""
    paths = {name: getattr(job, name) for name in CORPORA}
    return CorpusFiles(**paths, reading=job.reading(), parallel_documents=job.parallel_documents)


def models_of(job: RGITSettings) -> Models:
    """The configurations of a job's models."""
    return Models(
        retriever=job.retriever,
        index=job.index,
        generator=job.generator,
        generate=job.generate,
        train_retriever=job.train_retriever,
        train_generator=job.train_generator,
        run=job.run,
        local=job.local,
        batch=job.batch,
    )


def plant_corpus(job: RGITSettings, size: PlantedSize, folder: Path) -> RGITSettings:
    """Make a planted corpus and its models, and return the job with their paths."""
    planted = plant(size, job.planted, folder)
    files = planted.files
    return job.model_copy(
        update={
            "plant": None,
            "parallel": (str(files.parallel),),
            "passages": (str(files.passages),),
            "english": (str(files.english),),
            "valid": (str(files.dev),),
            "test": (str(files.test),),
            "answers": (str(files.hidden),),
            "retriever": job.retriever.model_copy(update={"backbone": str(planted.encoder)}),
            "generator": job.generator.model_copy(update={"backbone": str(planted.generator)}),
        }
    )


def _read_report(folder: Path) -> dict[str, Any]:
    path = folder / "report.json"
    try:
        report: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            "this is not the report of a finished run",
            where=f"--compare: {path}",
            fix="give the output folder of a finished run",
        ) from error
    return report


def _check(corpora: Corpora, retriever: RetrieverConfig, generator: GeneratorConfig) -> None:
    """Check now what would otherwise fail hours later.

    Raises:
        UserError: the English documents have no keyphrases, or a model does not support a mark or a language.
    """
    first = islice(range(len(corpora.english)), _CHECKED)
    if generator.passages and not any(corpora.english.record(row).keyphrases for row in first):
        raise UserError(
            "the English documents have no keyphrases", where="--english", fix="give files with the field keyphrases"
        )
    TextEncoder(load_tokenizer(retriever.backbone), retriever)
    mixer = load_mixer(generator)
    seen: set[str] = set()
    for row in range(len(corpora.documents)):
        lang = corpora.documents.record(row).document.lang
        if lang not in seen:
            seen.add(lang)
            mixer.language(lang)


def _round_rows(
    rounds: Sequence[Round[Retrieved]], answers: Mapping[int, int], steps: RoundSteps, config: RGITConfig
) -> list[RoundRow]:
    rows = []
    for round_ in rounds:
        mined = NO_PAIRS if round_.mined is None else round_.mined
        known = [answers[passage] == english for passage, english in mined.tolist() if passage in answers]
        accuracy = 100 * sum(known) / len(known) if known else None
        mines = round_.mined is not None and config.mining == "gain"
        valid_pairs, valid_accuracy = steps.label_accuracy(round_.retriever, config.tau) if mines else (0, None)
        recall = dict(round_.retriever.recall)
        rows.append(RoundRow(round_.number + 1, recall, len(mined), accuracy, valid_pairs, valid_accuracy))
    return rows
