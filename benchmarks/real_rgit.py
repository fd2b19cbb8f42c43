"""RAMKG and RGIT on real text, with a small multilingual backbone that is trained from scratch.

    python benchmarks/run.py real_rgit --foreign taln/fr.jsonl --english taln/en.jsonl --pretrain acm.jsonl --output DIR

The documents to test on, and their translations, reach no training. `answers` of the parts reach only the tables.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real_rgit_parts import sentence_rows, split_languages, split_pairs, write_backbone
from benchmarks.settings import RealRGITSettings
from kpray.cluster.inputs import identify_options, step_inputs
from kpray.cluster.step_cache import Step, StepCache
from kpray.corpus.records import Reject, read_records
from kpray.corpus.writing import write_text
from kpray.document import Record
from kpray.metrics.evaluate import evaluate
from kpray.ramkg.config import GENERATOR, GenerateConfig
from kpray.ramkg.generator import open_generator
from kpray.ramkg.generator_task import GeneratorTask
from kpray.registry import open_predictor
from kpray.report.tables import markdown_table
from kpray.rgit.config import RGITSettings, System
from kpray.rgit.corpora import write_documents
from kpray.rgit.job import run_rgit
from kpray.rgit.rounds import PROTOCOL, document_f1, model_identity
from kpray.rgit.steps import RGITSteps
from kpray.train.config import TrainSettings
from kpray.train.job import balanced_sample, train
from kpray.training import OptimConfig

Tables = dict[str, list[dict[str, Any]]]
_INPUTS = ("foreign", "english", "pretrain", "others")
_SYSTEMS: tuple[System, ...] = ("generator", "ramkg", "rgit")
_VALID = 40  # each document of --pretrain with this distance validates the pretraining
_TOP = 100  # more keyphrases than a generator writes


def measure(job: RealRGITSettings) -> Tables:
    """Train and score all systems with all seeds, and write the tables.

    Returns:
        The tables: what the rounds gain, what the keyphrases of the passages are worth to the generator, and
        generators without retrieval in the languages of --others.

    Raises:
        UserError: a file cannot be read, or there are too few pairs.
    """
    steps = RGITSteps((job.output / "steps").resolve())
    parts = _make_parts(steps, job)
    backbone = _pretrain(steps, job, parts)
    model = backbone.folder / "best"
    runs = {seed: _run(steps, job, parts, model, seed) for seed in job.seeds}
    tables = {
        "F1@M and recall in percent, by seed": [_run_row(seed, step) for seed, step in runs.items()],
        "F1@M of the last generator, by the passage whose keyphrases it reads": [
            {"seed": seed, "retrieved passage": step.outcome["scores"]["rgit"][0], **step.outcome["hints"]}
            for seed, step in runs.items()
        ],
    }
    if job.others:
        scores = {seed: _train_alone(steps, job, parts, model, seed) for seed in job.seeds}
        tables["F1@M of generators without retrieval"] = [
            {"seed": seed, **{lang: _interval(score) for lang, score in step.outcome["scores"].items()}}
            for seed, step in scores.items()
        ]
    text = "\n\n".join(f"{title}\n\n{markdown_table(rows, digits=1)}" for title, rows in tables.items())
    write_text(f"{text}\n", job.output / "real_rgit.md")
    return tables


def _make_parts(steps: StepCache, job: RealRGITSettings) -> Step:
    """A step with a file for each part of the documents."""
    files = {name: getattr(job, name) for name in _INPUTS}
    inputs = {
        "files": step_inputs(identify_options(files)),
        "split": job.split.model_dump(mode="json"),
        "backbone": job.backbone.model_dump(mode="json", include={"documents", "sentences", "seed"}),
    }

    def work(folder: Path) -> dict[str, Any]:
        foreign, english, pretrain, others = (_read(files[name]) for name in _INPUTS)
        parts = split_pairs(foreign, english, job.split)
        parts |= {f"others-{name}": records for name, records in split_languages(others, job.split.seed).items()}
        chosen = balanced_sample(pretrain, job.backbone.documents)
        parts["pretraining-valid"] = chosen[::_VALID]
        sample = [record for number, record in enumerate(chosen) if number % _VALID]
        parts["texts"] = [*parts["parallel"], *parts["passages"], *parts["others-train"], *sample]
        # Rounds compare generators on `passages`, so that the backbone must not have seen their keyphrases.
        parts["pretraining"] = [*sample, *sentence_rows(parts["texts"], job.backbone.sentences, job.backbone.seed)]
        for name, records in parts.items():
            write_documents(records, folder / f"{name}.jsonl")
        return {name: len(records) for name, records in parts.items()}

    return steps.do("parts", inputs, work)


def _pretrain(steps: StepCache, job: RealRGITSettings, parts: Step) -> Step:
    """A step with the pretrained backbone in its subfolder `best`."""
    config = job.generator.model_copy(update={"passages": 0})
    inputs = {
        "parts": parts.key,
        "backbone": job.backbone.model_dump(mode="json"),
        "generator": config.model_dump(mode="json", exclude={"backbone"}),
        "optim": job.pretraining.model_dump(mode="json"),
        "validate_every": job.run.validate_every,
    }

    def work(folder: Path) -> dict[str, Any]:
        random = folder / "random"
        if not (random / "config.json").exists():
            texts = (record.document.text for record in _read([str(parts.folder / "texts.jsonl")]))
            positions = max(config.source_tokens, config.target_tokens + 1)
            write_backbone(texts, job.backbone, positions, random)
        learnt, valid = parts.folder / "pretraining.jsonl", parts.folder / "pretraining-valid.jsonl"
        return _train_generator(job, random, learnt, valid, folder, job.pretraining)

    return steps.do("pretraining", inputs, work)


def _train_generator(
    job: RealRGITSettings,
    backbone: Path,
    learnt: Path,
    valid: Path,
    folder: Path,
    optim: OptimConfig,
) -> dict[str, Any]:
    """Train a generator without retrieval into a folder; returns the step and the score of the best one."""
    config = job.generator.model_copy(update={"passages": 0, "backbone": str(backbone)})
    settings = TrainSettings(
        train=(str(learnt),),
        valid=(str(valid),),
        output=str(folder),
        optim=optim,
        run=job.run,
        local=True,
    )
    state = train(GeneratorTask(config, GenerateConfig(beams=1)), settings)
    return {"step": state.best_step, "score": state.best}


def _run(steps: StepCache, job: RealRGITSettings, parts: Step, backbone: Path, seed: int) -> Step:
    """A step with a whole run of RGIT and all its numbers."""
    file: dict[str, Any] = {
        name: (str(parts.folder / f"{name}.jsonl"),) for name in ("parallel", "passages", "english", "valid", "test")
    }
    inputs = {
        "parts": parts.key,
        "backbone": model_identity(str(backbone)),
        "seed": seed,
        **job.model_dump(
            mode="json",
            include={"retriever", "generator", "generate", "rgit", "train_retriever", "train_generator", "run"},
        ),
    }

    def work(folder: Path) -> dict[str, Any]:
        started, seeded = time.monotonic(), {"seed": seed}
        report = run_rgit(
            RGITSettings(
                **file,
                answers=(str(parts.folder / "answers.jsonl"),),
                output=str(folder / "run"),
                steps=steps.folder,
                systems=_SYSTEMS,
                retriever=job.retriever.model_copy(update=seeded),
                generator=job.generator.model_copy(update={"backbone": str(backbone)}),
                generate=job.generate,
                rgit=job.rgit,
                train_retriever=job.train_retriever.model_copy(update=seeded),
                train_generator=job.train_generator.model_copy(update=seeded),
                run=job.run,
                local=True,
            )
        )
        return {
            "scores": {name: report["systems"][name]["scores"]["average"]["f1@M"] for name in _SYSTEMS},
            "rounds": report["rounds"],
            "recall": report["recall"],
            "hints": hint_scores(folder / "run", parts.folder, job.generate),
            "seconds": time.monotonic() - started,
        }

    return steps.do("run", inputs, work)


def hint_scores(run: Path, parts: Path, search: GenerateConfig) -> dict[str, float]:
    """F1@M of a run's generator on the test documents with keyphrases of other passages than the retrieved one.

    It says what limits a run: if the true passage helps no more than another one, the generator does not use the
    keyphrases; if it helps more than the retrieved one, the retriever is the limit.

    Args:
        run: output folder of `run_rgit`.
        parts: folder of the parts.
        search: the beam search.

    Returns:
        Mean F1@M in percent, with the keyphrases of the true passage, and with those of another document's.
    """
    generator = open_generator(str(run / "best" / GENERATOR), search)
    records = _read([str(parts / "test.jsonl")])
    english = {record.document.id: record.keyphrases for record in _read([str(parts / "english.jsonl")])}
    answers = {record.document.id: record.english_ids[0] for record in _read([str(parts / "answers.jsonl")])}
    true = [english[answers[record.document.id]] for record in records]
    langs = [record.document.lang for record in records]
    languages = [generator.mixer.language(lang) for lang in langs]
    scores: dict[str, float] = {}
    for name, hints in (("true passage", true), ("another passage", [*true[1:], true[0]])):
        made = generator.mixer.sources([record.document.text for record in records], languages, hints)
        readable = [index for index, source in enumerate(made) if not isinstance(source, str)]
        sources = [source for source in made if not isinstance(source, str)]
        found = dict(zip(readable, generator.generate(sources, [langs[index] for index in readable]), strict=True))
        f1 = [document_f1(record, [text for text, _ in found.get(index, [])]) for index, record in enumerate(records)]
        scores[name] = float(np.mean(f1))
    return scores


def _train_alone(steps: StepCache, job: RealRGITSettings, parts: Step, backbone: Path, seed: int) -> Step:
    """A step with the scores of a generator without retrieval on the test documents of --others, by language."""
    optim = job.train_generator.model_copy(update={"seed": seed})
    inputs = {
        "parts": parts.key,
        "backbone": model_identity(str(backbone)),
        "optim": optim.model_dump(mode="json"),
        **job.model_dump(mode="json", include={"generator", "generate", "run"}),
    }

    def work(folder: Path) -> dict[str, Any]:
        learnt, valid, test = (parts.folder / f"others-{name}.jsonl" for name in ("train", "valid", "test"))
        _train_generator(job, backbone, learnt, valid, folder, optim)
        predictor = open_predictor(str(folder / "best"), {"generate": job.generate.model_dump()})
        records = _read([str(test)])
        predicted = predictor.predict([record.document for record in records], top=_TOP)
        report = evaluate(records, predicted, PROTOCOL)
        scores = {lang: report.languages[lang]["f1@M"] for lang in sorted(report.languages)}
        return {"scores": {lang: [score.mean, score.low, score.high] for lang, score in scores.items()}}

    return steps.do("alone", inputs, work)


def _run_row(seed: int, step: Step) -> dict[str, Any]:
    found: Mapping[str, Any] = step.outcome
    rounds = found["rounds"]
    row: dict[str, Any] = {
        "seed": seed,
        "generator without retrieval": _interval(found["scores"]["generator"]),
        "RAMKG": _interval(found["scores"]["ramkg"]),
        "RAMKG + RGIT": _interval(found["scores"]["rgit"]),
    }
    for k in ("1", "5"):
        values = [*(round_["recall"][k] for round_ in rounds), found["recall"]["rgit"][k]]
        row[f"recall@{k} in each round, and after them"] = ", ".join(f"{value:.1f}" for value in values)
    row["pairs mined in each round (right)"] = ", ".join(
        f"{round_['pairs']} ({'–' if round_['accuracy'] is None else format(round_['accuracy'], '.1f')})"
        for round_ in rounds
    )
    return {**row, "seconds": round(found["seconds"])}


def _interval(score: Sequence[float]) -> str:
    return "{:.1f} ({:.1f} to {:.1f})".format(*score)


def _read(paths: Sequence[str]) -> list[Record]:
    """Documents with gold keyphrases."""
    found = read_records(paths) if paths else ()
    return [record for record in found if not isinstance(record, Reject) and record.keyphrases]
