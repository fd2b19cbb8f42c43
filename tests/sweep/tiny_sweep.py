"""Settings of a sweep over trainings of the tests' tiny model."""

from __future__ import annotations

from kpray.settings import Settings
from kpray.sweep.config import TrainingSweepSettings
from tests.train.tiny_task import TinyConfig


class TinySpace(Settings):
    """What is tried."""

    lr: tuple[float, ...] = (0.01,)


class TinySweep(TrainingSweepSettings):
    """What the job takes."""

    task: TinyConfig = TinyConfig()
    space: TinySpace = TinySpace()
