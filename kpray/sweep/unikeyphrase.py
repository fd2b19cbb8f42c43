"""What the sweeps over trainings of UniKeyphrase share."""

from __future__ import annotations

from kpray.cluster.mirror import mirrored
from kpray.pretrained import absolute_if_folder
from kpray.sweep.search import Space
from kpray.sweep.training import TrainingKind, TrainingSweepSettings, run_training_sweep
from kpray.unikeyphrase.config import TaskConfig
from kpray.unikeyphrase.task import UniKeyphraseTask


class UniKeyphraseSweepSettings(TrainingSweepSettings):
    """What these jobs take, beside their space."""

    task: TaskConfig = TaskConfig()


def run_unikeyphrase_sweep(job: UniKeyphraseSweepSettings, space: Space, title: str) -> int:
    """As `run_training_sweep`."""
    model = job.task.model
    model = model.model_copy(update={"backbone": absolute_if_folder(model.backbone)})
    job = job.model_copy(update={"task": job.task.model_copy(update={"model": model})})
    kind = TrainingKind("train_unikeyphrase.py", UniKeyphraseTask, TaskConfig)
    with mirrored(job.output, job.dry_run):
        return run_training_sweep(job, kind, space, title)
