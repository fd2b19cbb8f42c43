"""Train UniKeyphrase: `python jobs/train_unikeyphrase.py --config small --train PATH --valid PATH --output DIR`."""

from __future__ import annotations

import sys

from kpray.pretrained import absolute_if_folder
from kpray.settings import parse_settings, run_main
from kpray.train.job import TrainSettings, run_train_job
from kpray.unikeyphrase.config import TaskConfig
from kpray.unikeyphrase.task import UniKeyphraseTask


class TrainUniKeyphraseJob(TrainSettings):
    """What the job takes."""

    task: TaskConfig = TaskConfig()


def main() -> int:
    job = parse_settings(TrainUniKeyphraseJob, sys.argv[1:], prog="jobs/train_unikeyphrase.py", description=__doc__)
    model = job.task.model
    model = model.model_copy(update={"backbone": absolute_if_folder(model.backbone)})
    task = UniKeyphraseTask(job.task.model_copy(update={"model": model}))
    return run_train_job(job, lambda folder: task)


if __name__ == "__main__":
    run_main(main)
