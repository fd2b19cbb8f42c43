"""Train RAMKG's retriever: `python jobs/train_retriever.py --train PATH --valid PATH --english PATH --output DIR`."""

from __future__ import annotations

import sys
from typing import Annotated

from pydantic import Field

from kpray.pretrained import absolute_if_folder
from kpray.ramkg.config import RETRIEVER_OPTIM, RetrieverConfig
from kpray.ramkg.retriever_task import RetrieverTask
from kpray.rgit.passage_stores import english_store
from kpray.settings import parse_settings, run_main
from kpray.train.job import TrainSettings, run_train_job
from kpray.training import OptimConfig


class TrainRetrieverJob(TrainSettings):
    """What the job takes."""

    english: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of English documents; --train and --valid name those that belong to theirs."""
    task: RetrieverConfig = RetrieverConfig()
    optim: OptimConfig = RETRIEVER_OPTIM


def main() -> int:
    job = parse_settings(TrainRetrieverJob, sys.argv[1:], prog="jobs/train_retriever.py", description=__doc__)
    config = job.task
    config = config.model_copy(update={"backbone": absolute_if_folder(config.backbone)})
    return run_train_job(
        job,
        lambda folder: RetrieverTask(config, english_store(job.english, folder, job.limits)),
        {"English passages:": job.english},
    )


if __name__ == "__main__":
    run_main(main)
