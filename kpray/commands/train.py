"""Training of a method's models on Ray Train with DeepSpeed: `kpray train unikeyphrase|retriever|generator`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from kpray.errors import UserError
from kpray.ramkg.config import GENERATOR_OPTIM, RETRIEVER_OPTIM, GenerateConfig, GeneratorConfig, RetrieverConfig
from kpray.ramkg.generator_task import GeneratorTask
from kpray.ramkg.retriever_task import RetrieverTask
from kpray.rgit.passage_stores import english_store
from kpray.settings import parse_settings
from kpray.train.job import TrainSettings, run_train_job, train
from kpray.training import OptimConfig
from kpray.unikeyphrase.config import TaskConfig
from kpray.unikeyphrase.pretrain import PretrainConfig, PretrainTask
from kpray.unikeyphrase.task import UniKeyphraseTask


class UniKeyphraseCommand(TrainSettings):
    """What `kpray train unikeyphrase` takes."""

    task: TaskConfig = TaskConfig()
    pretrain: PretrainConfig = PretrainConfig()


class RetrieverCommand(TrainSettings):
    """What `kpray train retriever` takes."""

    english: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of English documents; --train and --valid name those that belong to theirs."""
    task: RetrieverConfig = RetrieverConfig()
    optim: OptimConfig = RETRIEVER_OPTIM


class GeneratorCommand(TrainSettings):
    """What `kpray train generator` takes."""

    english: tuple[str, ...] = ()
    """Files and folders of English documents; --train and --valid name those whose keyphrases they are given."""
    langs: tuple[str, ...] | None = None
    """Train and validate on documents of these languages only; null: of all."""
    task: GeneratorConfig = GeneratorConfig()
    generate: GenerateConfig = GenerateConfig(beams=1)
    """How validation generates: with one beam, for speed."""
    optim: OptimConfig = GENERATOR_OPTIM


def unikeyphrase(arguments: Sequence[str], prog: str) -> int:
    """Train UniKeyphrase."""
    description = f"Train UniKeyphrase: `{prog} --config small --train PATH --valid PATH --output DIR`."
    job = parse_settings(UniKeyphraseCommand, arguments, prog=prog, description=description)
    return run_train_job(job, lambda folder: UniKeyphraseTask(pretrain(job, folder)))


def pretrain(job: UniKeyphraseCommand, folder: Path) -> TaskConfig:
    """Pretrain the backbone where that is asked for.

    Args:
        job: what is asked for.
        folder: working folder of the training; the pretraining's is `pretrain` in it.

    Returns:
        What is trained then, with the backbone that was pretrained.
    """
    if not job.pretrain.epochs:
        return job.task
    output = folder / "pretrain"
    train(
        PretrainTask(job.task.model, job.pretrain),
        job.model_copy(update={"output": str(output), "optim": job.pretrain}),
    )
    model = job.task.model.model_copy(update={"backbone": str(output / "best")})
    return job.task.model_copy(update={"model": model})


def retriever(arguments: Sequence[str], prog: str) -> int:
    """Train RAMKG's retriever."""
    description = f"Train RAMKG's retriever: `{prog} --train PATH --valid PATH --english PATH --output DIR`."
    job = parse_settings(RetrieverCommand, arguments, prog=prog, description=description)
    return run_train_job(
        job,
        lambda folder: RetrieverTask(job.task, english_store(job.english, folder, job.limits)),
        {"English passages:": job.english},
    )


def generator(arguments: Sequence[str], prog: str) -> int:
    """Train RAMKG's generator."""
    description = f"Train RAMKG's generator: `{prog} --train PATH --valid PATH --english PATH --output DIR`."
    job = parse_settings(GeneratorCommand, arguments, prog=prog, description=description)
    if job.task.passages and not job.english:
        raise UserError("--english is required", fix="give it, or --task.passages 0 for a generator without retrieval")
    english = job.english if job.task.passages else ()

    def make_task(folder: Path) -> GeneratorTask:
        store = english_store(english, folder, job.limits) if english else None
        return GeneratorTask(job.task, job.generate, store, langs=job.langs)

    return run_train_job(job, make_task, {"English passages:": english})
