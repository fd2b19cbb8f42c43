"""Times a training of the tests' tiny model with two workers, and prints the rows."""

from __future__ import annotations

import json

from benchmarks.train_scaling import time_workers
from kpray.training import OptimConfig, RunConfig
from tests.train.tiny_task import TinyConfig, TinyTask, make_records


def main() -> None:
    optim, run = OptimConfig(batch=8, epochs=7), RunConfig(micro_tokens=100)
    rows = time_workers(TinyTask(TinyConfig(seconds=0.05)), optim, run, make_records(40, seed=0), (2,))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
