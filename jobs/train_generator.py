"""Train RAMKG's generator: `python jobs/train_generator.py --train PATH --valid PATH --english PATH --output DIR`."""

from __future__ import annotations

import sys
from pathlib import Path

from kpray.errors import UserError
from kpray.pretrained import absolute_if_folder
from kpray.ramkg.config import GENERATOR_OPTIM, GenerateConfig, GeneratorConfig
from kpray.ramkg.generator_task import GeneratorTask
from kpray.rgit.passage_stores import english_store
from kpray.settings import parse_settings, run_main
from kpray.train.job import TrainSettings, run_train_job
from kpray.training import OptimConfig


class TrainGeneratorJob(TrainSettings):
    """What the job takes."""

    english: tuple[str, ...] = ()
    """Files and folders of English documents; --train and --valid name those whose keyphrases they are given."""
    langs: tuple[str, ...] | None = None
    """Train and validate on documents of these languages only; null: of all."""
    task: GeneratorConfig = GeneratorConfig()
    generate: GenerateConfig = GenerateConfig(beams=1)
    """How validation generates: with one beam, for speed."""
    optim: OptimConfig = GENERATOR_OPTIM


def main() -> int:
    job = parse_settings(TrainGeneratorJob, sys.argv[1:], prog="jobs/train_generator.py", description=__doc__)
    config = job.task
    if config.passages and not job.english:
        raise UserError("--english is required", fix="give it, or --task.passages 0 for a generator without retrieval")
    config = config.model_copy(update={"backbone": absolute_if_folder(config.backbone)})
    english = job.english if config.passages else ()

    def make_task(folder: Path) -> GeneratorTask:
        store = english_store(english, folder, job.limits) if english else None
        return GeneratorTask(config, job.generate, store, langs=job.langs)

    return run_train_job(job, make_task, {"English passages:": english})


if __name__ == "__main__":
    run_main(main)
