"""The RGIT job: its settings, its documents, its rounds, and what it leaves: a predictor, predictions, a report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from kpray.batch.extract import BatchConfig
from kpray.cluster.job import write_configuration, writing
from kpray.cluster.meters import show
from kpray.cluster.mirror import working_folder
from kpray.cluster.session import ray_session
from kpray.cluster.step_cache import Step
from kpray.corpus.planted import write_planted
from kpray.corpus.writing import write_predictions, write_text
from kpray.errors import UserError
from kpray.log import say
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import PROTOCOLS
from kpray.pretrained import absolute_if_folder, load_tokenizer
from kpray.ramkg.backbones import BackboneConfig, write_backbones
from kpray.ramkg.codemix import load_mixer
from kpray.ramkg.config import (
    ENGLISH,
    GENERATOR,
    INDEX,
    RETRIEVER,
    GenerateConfig,
    GeneratorConfig,
    IndexConfig,
    RAMKGConfig,
    RetrieverConfig,
    RGITConfig,
)
from kpray.ramkg.encoder import TextEncoder
from kpray.ramkg.predictor import make_keyphrases, save_parts
from kpray.ramkg.rgit import NO_PAIRS, Round, can_qualify, final_pairs, run_rounds
from kpray.report.rounds import RoundRow, rounds_report
from kpray.rgit.corpora import Corpora, CorporaSettings, read_answers, read_corpora
from kpray.rgit.rounds import Models, Retrieved, RoundSteps
from kpray.storage import absolute
from kpray.text.stems import stemmed_words
from kpray.training import OptimConfig, RunConfig
from kpray.versions import versions

System = Literal["generator", "ramkg", "rgit"]
_NAMES = {"generator": "generator without retrieval", "ramkg": "RAMKG", "rgit": "RAMKG + RGIT"}
_LOOKED_AT = 1000  # English documents in which there should be some keyphrase


class RGITSettings(CorporaSettings):
    """What the job takes."""

    steps: Path | None = None
    """Folder of finished steps, which runs may share; null: `steps` in the output folder."""
    backbones: BackboneConfig = BackboneConfig()
    """Sizes of the small random models."""
    systems: Annotated[tuple[System, ...], Field(min_length=1)] = ("rgit",)
    """What is trained at the end on --parallel and --passages, and compared; the last one is the predictor."""
    compare: tuple[Path, ...] = ()
    """Output folders of finished runs, which stand beside this one in the report."""
    retriever: RetrieverConfig = RetrieverConfig()
    index: IndexConfig = IndexConfig()
    generator: GeneratorConfig = GeneratorConfig()
    generate: GenerateConfig = GenerateConfig()
    rgit: RGITConfig = RGITConfig()
    train_retriever: OptimConfig = OptimConfig(lr=2e-5, epochs=15, batch=32)
    train_generator: OptimConfig = OptimConfig(lr=1e-4, epochs=10, batch=8)
    run: RunConfig = RunConfig()
    batch: BatchConfig = BatchConfig()


def run_rgit(job: RGITSettings) -> dict[str, Any]:
    """Do Algorithm 1 and what follows it, or go on where an earlier run in the output folder stopped.

    Returns:
        What `report.json` says.

    Raises:
        UserError: a mistake of the user; what is in the output folder is still good.
    """
    others = {str(folder): _read_report(folder) for folder in job.compare}
    output, given = working_folder(job.output), absolute(job.output)
    if job.plant:
        job = _plant(job, output / "planted")
    job = job.model_copy(
        update={
            "output": str(output),
            "retriever": job.retriever.model_copy(update={"backbone": absolute_if_folder(job.retriever.backbone)}),
            "generator": job.generator.model_copy(update={"backbone": absolute_if_folder(job.generator.backbone)}),
        }
    )
    corpora = read_corpora(job)
    _check(job, corpora)
    write_configuration(job.model_copy(update={"output": given}), output)
    models = Models(
        job.retriever,
        job.index,
        job.generator,
        job.generate,
        job.train_retriever,
        job.train_generator,
        job.run,
        job.batch,
    )
    with ray_session(job.address, output, (job.retriever.backbone, job.generator.backbone)):
        steps = RoundSteps((job.steps or output / "steps").resolve(), corpora, models, job.limits)
        rounds = list(_rounds(job, steps)) if "rgit" in job.systems else []
        reports = {}
        retrievers: dict[str, Retrieved | None] = {}
        for system in job.systems:
            retriever = _final_retriever(system, steps, job.rgit, rounds)
            generator = steps.train_generator(retriever, ("parallel", "passages"))
            reports[system] = _evaluate(system, steps, generator, retriever, output)
            retrievers[system] = retriever
        _save(output, retriever, generator, corpora, job)
    report: dict[str, Any] = {
        "rounds": [row.to_json() for row in _round_rows(rounds, read_answers(job, corpora))],
        "recall": {system: found.recall for system, found in retrievers.items() if found},
        "systems": reports,
        "rgit": job.rgit.model_dump(mode="json"),
        "target": job.retriever.target,
        "parallel": len(corpora.parts["parallel"]),
        "steps": steps.steps.log,
        "versions": versions(),
    }
    report = json.loads(json.dumps(report))  # as who reads the file sees it
    with writing(output):
        write_text(json.dumps(report, indent=2) + "\n", output / "report.json")
        runs = {given: report, **others} if others else {}
        write_text(rounds_report(report, runs), output / "report.md")
    return report


def _read_report(folder: Path) -> dict[str, Any]:
    path = folder / "report.json"
    try:
        report: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            "is not the report of a finished run",
            where=f"--compare: {path}",
            fix="give the output folder of one that ended",
        ) from error
    return report


def _plant(job: RGITSettings, folder: Path) -> RGITSettings:
    """The job with the planted corpus and its models in the place of files."""
    with writing(folder):
        files = write_planted(job.planted, folder)
        encoder, generator = write_backbones(files, folder, job.backbones, job.planted.seed)
    return job.model_copy(
        update={
            "plant": False,
            "parallel": (str(files.parallel),),
            "passages": (str(files.passages),),
            "english": (str(files.english),),
            "valid": (str(files.dev),),
            "test": (str(files.test),),
            "answers": (str(files.hidden),),
            "retriever": job.retriever.model_copy(update={"backbone": str(encoder)}),
            "generator": job.generator.model_copy(update={"backbone": str(generator)}),
        }
    )


def _rounds(job: RGITSettings, steps: RoundSteps) -> Iterator[Round[Retrieved]]:
    """The rounds, and a manifest of each as it ends."""
    folder = working_folder(job.output) / "rounds"
    with writing(folder):
        folder.mkdir(exist_ok=True)
    if not len(can_qualify(steps.base_f1(), job.rgit.tau)):
        raise UserError(
            "no passage can be helped by so much: without retrieval each is above 100 - tau already",
            where="rgit.tau",
            fix="give less",
        )
    for round_ in run_rounds(steps, job.rgit):
        recall = ", ".join(f"@{k} {value:.1f}" for k, value in round_.retriever.recall.items())
        mined = "recall did not rise" if round_.mined is None else f"{len(round_.mined):,} pairs mined"
        say(
            "round",
            f"round {round_.number + 1}: recall {recall}; {mined}",
            round=round_.number + 1,
            recall=dict(round_.retriever.recall),
            pairs=None if round_.mined is None else len(round_.mined),
        )
        show("kpray_rgit_round", round_.number + 1)
        manifest = {
            "retriever": round_.retriever.step.key,
            "recall": dict(round_.retriever.recall),
            "learnt": round_.learnt.tolist(),
            "mined": None if round_.mined is None else round_.mined.tolist(),
        }
        with writing(folder):
            write_text(json.dumps(manifest) + "\n", folder / f"{round_.number:02d}.json")
        if round_.mined is not None and not len(round_.mined):
            raise UserError(
                f"round {round_.number + 1} found no passage that retrieved keyphrases help by more than "
                f"{job.rgit.tau:g} points of F1",
                where="rgit.tau",
                fix="give less; the finished steps are kept",
            )
        yield round_


def _final_retriever(
    system: System, steps: RoundSteps, config: RGITConfig, rounds: list[Round[Retrieved]]
) -> Retrieved | None:
    """None; R_0; or one that learnt from the pseudo pairs and then from the parallel ones (end of Sec. 4.3)."""
    if system == "generator":
        return None
    if system == "ramkg":
        return steps.train_retriever(NO_PAIRS, config.schedule)
    return steps.train_retriever(final_pairs(rounds), "sequential")


def _evaluate(
    system: System, steps: RoundSteps, generator: Step, retriever: Retrieved | None, output: Path
) -> dict[str, Any]:
    """Predict the test documents, write the predictions, and score them."""
    corpora = steps.corpora
    rows = np.array(corpora.parts["test" if "test" in corpora.parts else "valid"], dtype=np.int64)
    records = [corpora.documents.record(row) for row in rows.tolist()]
    documents = [record.document for record in records]
    predicted = [
        make_keyphrases(stemmed_words(document.text, document.lang), document.lang, phrases)
        for document, phrases in zip(documents, steps.predict(generator, rows, retriever), strict=True)
    ]
    keys = [(record.document.lang, record.document.id) for record in records]
    folder = output / "predictions" / system
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lines = ((id, lang, own) for (lang, id), own in zip(keys, predicted, strict=True))
        write_predictions(lines, folder / "part-00000.parquet", {"predictor": _NAMES[system], "step": generator.key})
    report = evaluate(records, dict(zip(keys, predicted, strict=True)), PROTOCOLS["ramkg"])
    scores = {"average": report.scores, **report.languages}
    return {
        "name": _NAMES[system],
        "scores": {
            name: {metric: [score.mean, score.low, score.high] for metric, score in own.items()}
            for name, own in scores.items()
        },
    }


def _save(output: Path, retriever: Retrieved | None, generator: Step, corpora: Corpora, job: RGITSettings) -> None:
    parts = {GENERATOR: generator.folder / "best"}
    if retriever:
        parts |= {
            RETRIEVER: retriever.step.folder / "best",
            INDEX: retriever.index.folder,
            ENGLISH: corpora.english.folder,
        }
    training = job.model_dump(mode="json", include={"systems", "rgit", "retriever", "generator"})
    with writing(output / "best"):
        (output / "best").mkdir(exist_ok=True)
        save_parts(output / "best", parts, RAMKGConfig(model="", generate=job.generate), training)


def _check(job: RGITSettings, corpora: Corpora) -> None:
    """Find what would be found hours later."""
    first = islice(range(len(corpora.english)), _LOOKED_AT)
    if job.generator.passages and not any(corpora.english.record(row).keyphrases for row in first):
        raise UserError(
            "the English documents have no keyphrases", where="--english", fix="give files with the field keyphrases"
        )
    TextEncoder(load_tokenizer(job.retriever.backbone), job.retriever)
    mixer = load_mixer(job.generator)
    seen: set[str] = set()
    for row in range(len(corpora.documents)):
        lang = corpora.documents.record(row).document.lang
        if lang not in seen:
            seen.add(lang)
            mixer.language(lang)


def _round_rows(rounds: Sequence[Round[Retrieved]], answers: dict[int, int]) -> list[RoundRow]:
    rows = []
    for round_ in rounds:
        mined = NO_PAIRS if round_.mined is None else round_.mined
        known = [answers[passage] == english for passage, english in mined.tolist() if passage in answers]
        accuracy = 100 * sum(known) / len(known) if known else None
        rows.append(RoundRow(round_.number + 1, dict(round_.retriever.recall), len(mined), accuracy))
    return rows
