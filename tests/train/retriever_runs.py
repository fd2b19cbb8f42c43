"""Trains small retrievers in a process group, without Ray."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from kpray.ramkg.config import RetrieverConfig
from kpray.ramkg.retriever_task import RetrieverTask
from kpray.train.loop import Plan, train_worker
from kpray.training import OptimConfig, RunConfig
from tests.ramkg.tiny_retriever import make_pairs

PAIRS = 21


@dataclass(frozen=True)
class RetrieverCase:
    """One training."""

    output: Path
    config: RetrieverConfig
    english: Path
    zero: int
    checkpointing: bool = False


def train_retrievers(cases: list[RetrieverCase]) -> None:
    """Run the trainings in turn. The last step of each epoch has one document, fewer than there are workers."""
    records = make_pairs(PAIRS, seed=1)[0]
    for case in cases:
        task = RetrieverTask(case.config, case.english)
        rows = pa.Table.from_pylist(task.tokenize(records), schema=task.schema())
        table = rows.append_column("order", pa.array(range(PAIRS)))

        def tables(table: pa.Table = table) -> Iterable[pa.Table]:
            return [table]

        run = RunConfig(
            zero=case.zero,  # type: ignore[arg-type]
            micro_tokens=1,
            validate_every=100,
            log_every=1,
            gradient_checkpointing=case.checkpointing,
        )
        optim = OptimConfig(lr=3e-3, epochs=2, batch=10)
        train_worker(Plan(task, optim, run, records, case.output, {}, rows=PAIRS), tables, _ignore)


def _ignore(metrics: dict[str, Any], folder: Path) -> None:
    """Ignore a report."""
