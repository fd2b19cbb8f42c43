"""A sweep over trainings of the tests' tiny model."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kpray.settings import parse_settings, run_main
from kpray.sweep.training import TrainingKind, run_training_sweep
from tests.sweep.tiny_sweep import TinySweep
from tests.train.tiny_task import TinyConfig, TinyTask


class CrashingTask(TinyTask):
    """Kills the process of the first trial, once. `KPRAY_CRASH` is a folder that records that it has happened."""

    def describe_tokens(self) -> dict[str, str]:
        folder = os.environ.get("KPRAY_CRASH")
        if folder and "sweep_tiny" not in sys.argv[0]:
            mark = Path(folder) / "crashed"
            if not mark.exists():
                mark.touch()
                os._exit(1)
        return super().describe_tokens()


def main() -> int:
    job = parse_settings(TinySweep, sys.argv[1:], prog="sweep_tiny.py", description=str(__doc__))
    space = {"optim.lr": job.space.lr}
    kind = TrainingKind("train_tiny.py", CrashingTask, TinyConfig)
    return run_training_sweep(job, kind, space, "Tiny")


if __name__ == "__main__":
    run_main(main)
