"""The training job of the tests' tiny model."""

from __future__ import annotations

import sys

from kpray.settings import parse_settings, run_main
from kpray.train.config import TrainSettings
from kpray.train.job import run_train_job
from tests.train.tiny_task import TinyConfig, TinyTask


class TinyJob(TrainSettings):
    """What the job takes."""

    task: TinyConfig = TinyConfig()


def main() -> int:
    job = parse_settings(TinyJob, sys.argv[1:], prog="train_tiny.py", description=str(__doc__))
    return run_train_job(job, lambda folder: TinyTask(job.task))


if __name__ == "__main__":
    run_main(main)
