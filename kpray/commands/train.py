"""`kpray train`: training of UniKeyphrase and of RAMKG's retriever and generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from kpray.errors import UserError
from kpray.ramkg.config import (
    EPOCHS_RUN,
    GENERATOR_OPTIM,
    RETRIEVER_OPTIM,
    GenerateConfig,
    GeneratorConfig,
    RetrieverConfig,
)
from kpray.report.progress import Activity
from kpray.settings import parse_settings
from kpray.train.config import TrainSettings
from kpray.training import OptimConfig, RunConfig
from kpray.unikeyphrase.config import PretrainConfig, TaskConfig

if TYPE_CHECKING:
    from kpray.ramkg.generator_task import GeneratorTask

_CONTINUES = "The same command continues a training that was interrupted."
_USUAL = ("optim.epochs", "optim.batch", "optim.lr", "run.workers", "run.precision", "local", "address", "dry_run")


class UniKeyphraseCommand(TrainSettings):
    """Settings of `kpray train unikeyphrase`."""

    task: TaskConfig = TaskConfig()
    pretrain: PretrainConfig = PretrainConfig()


class RetrieverCommand(TrainSettings):
    """Settings of `kpray train retriever`."""

    english: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of English documents. The documents of --train and --valid name their English passages."""
    task: RetrieverConfig = RetrieverConfig()
    optim: OptimConfig = RETRIEVER_OPTIM
    run: RunConfig = EPOCHS_RUN


class GeneratorCommand(TrainSettings):
    """Settings of `kpray train generator`."""

    english: tuple[str, ...] = ()
    """Files and folders of English documents. The documents of --train and --valid name the English passages whose
    keyphrases they receive."""
    langs: tuple[str, ...] | None = None
    """Languages of the documents to train and validate on. If null, all languages."""
    task: GeneratorConfig = GeneratorConfig()
    generate: GenerateConfig = GenerateConfig(beams=1)
    """Generation during validation, which uses one beam for speed."""
    optim: OptimConfig = GENERATOR_OPTIM
    run: RunConfig = EPOCHS_RUN


def unikeyphrase(arguments: Sequence[str], prog: str) -> int:
    """Train UniKeyphrase."""
    job = parse_settings(
        UniKeyphraseCommand,
        arguments,
        prog=prog,
        description=f"Train UniKeyphrase on documents with keyphrases. {_CONTINUES}",
        usual=("task.model.backbone", *_USUAL),
        examples=("--config small --train train.jsonl --valid valid.jsonl --output model/",),
    )
    with Activity("loading the libraries"):
        from kpray.train.job import run_train_job
        from kpray.unikeyphrase.task import UniKeyphraseTask

    return run_train_job(job, lambda folder: UniKeyphraseTask(pretrain(job, folder)))


def pretrain(job: UniKeyphraseCommand, folder: Path) -> TaskConfig:
    """Pretrain the backbone if `pretrain.epochs` is not 0.

    Args:
        job: settings of the command.
        folder: working folder of the training. The pretraining uses its subfolder `pretrain`.

    Returns:
        Configuration of the training, with the pretrained backbone.
    """
    if not job.pretrain.epochs:
        return job.task
    from kpray.train.job import train
    from kpray.unikeyphrase.pretrain import PretrainTask

    output = folder / "pretrain"
    train(
        PretrainTask(job.task.model, job.pretrain),
        job.model_copy(update={"output": str(output), "optim": job.pretrain}),
        token_sets=folder,
    )
    model = job.task.model.model_copy(update={"backbone": str(output / "best")})
    return job.task.model_copy(update={"model": model})


def retriever(arguments: Sequence[str], prog: str) -> int:
    """Train RAMKG's retriever."""
    job = parse_settings(
        RetrieverCommand,
        arguments,
        prog=prog,
        description=f"Train RAMKG's retriever of English passages. {_CONTINUES}",
        usual=("task.backbone", *_USUAL),
        examples=("--train de.jsonl --valid valid.jsonl --english en.jsonl --output retriever/",),
    )
    with Activity("loading the libraries"):
        from kpray.ramkg.retriever_task import RetrieverTask
        from kpray.rgit.passage_stores import english_store
        from kpray.train.job import run_train_job

    return run_train_job(
        job,
        lambda folder: RetrieverTask(job.task, english_store(job.english, folder, job.reading()), job.optim.batch),
        {"English passages:": job.english},
    )


def generator(arguments: Sequence[str], prog: str) -> int:
    """Train RAMKG's generator."""
    job = parse_settings(
        GeneratorCommand,
        arguments,
        prog=prog,
        description=f"Train RAMKG's generator of keyphrases. {_CONTINUES}",
        usual=("english", "langs", "task.backbone", "task.passages", *_USUAL),
        examples=("--train de.jsonl --valid valid.jsonl --english en.jsonl --output generator/",),
    )
    if job.task.passages and not job.english:
        raise UserError("--english is required", fix="give it, or --task.passages 0 for a generator without retrieval")
    english = job.english if job.task.passages else ()
    with Activity("loading the libraries"):
        from kpray.train.job import run_train_job

    def make_task(folder: Path) -> GeneratorTask:
        from kpray.ramkg.generator_task import GeneratorTask
        from kpray.rgit.passage_stores import english_store

        store = english_store(english, folder, job.reading()) if english else None
        return GeneratorTask(job.task, job.generate, store, langs=job.langs)

    return run_train_job(job, make_task, {"English passages:": english})
