"""What training on several workers gains: runs of the real job, with Ray Train and DeepSpeed, on the same documents."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kpray.cluster.session import ray_session
from kpray.document import Record
from kpray.rgit.corpora import write_documents
from kpray.train.config import TrainSettings
from kpray.train.job import train
from kpray.train.metrics_log import METRICS_FILE
from kpray.training import OptimConfig, RunConfig, TrainingTask

Row = dict[str, str | float | None]

_STEPS_TO_WARM_UP = 2
_CPUS = 0.8  # of a worker: one thread, and as many workers as cores leave what reading takes


def time_workers(
    task: TrainingTask, optim: OptimConfig, run: RunConfig, records: Sequence[Record], workers: Sequence[int]
) -> list[Row]:
    """Train one epoch with each number of workers, every worker with one thread.

    Returns:
        Rows of documents/s by the clock, in the median step, beside those of the first number of workers.

    Raises:
        UserError: as `train`; there are fewer cores than workers.
    """
    rates: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as scratch, ray_session(None):
        documents = Path(scratch) / "documents.jsonl"
        write_documents(records, documents)
        for number in workers:
            output = Path(scratch) / f"workers-{number}"
            job = TrainSettings(
                train=(str(documents),),
                valid=(str(documents),),
                output=str(output),
                optim=optim.model_copy(update={"epochs": 1}),
                run=run.model_copy(update={"workers": number, "cpus": _CPUS, "valid_documents": 2, "log_every": 1}),
            )
            train(task, job)
            rates.append((number, _tokens_per_second(output / METRICS_FILE) / _tokens_per_document(output)))
    return [
        {
            "contestant": f"training with {number} worker{'s' * (number > 1)} of one thread each (by the clock)",
            "documents/s": rate,
            "of the floor": rate / rates[0][1],
        }
        for number, rate in rates
    ]


def _tokens_per_document(output: Path) -> float:
    import pyarrow.compute as pc
    from pyarrow.dataset import dataset

    parts = [str(path) for path in output.glob("tokens-*/part-*.parquet")]
    return float(pc.mean(dataset(parts).to_table(columns=["length"])["length"]).as_py())


def _tokens_per_second(metrics: Path) -> float:
    """In the median step, without the first ones, in which memory is found."""
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    rates = [line["tokens_per_second"] for line in lines if "tokens_per_second" in line]
    return float(statistics.median(rates[_STEPS_TO_WARM_UP:] or rates))
