"""Trains the tiny model in a process group, without Ray."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from kpray.errors import UserError
from kpray.train.loop import Plan, train_worker
from kpray.training import OptimConfig, RunConfig
from tests.train.tiny_task import TinyConfig, TinyTask, make_records

DOCUMENTS = 100
CONFIG = TinyConfig(masked=0.2)
OPTIM = OptimConfig(lr=0.01, epochs=2, batch=16, seed=5)
RUN = RunConfig(micro_tokens=100, validate_every=5, log_every=1, valid_documents=30)


@dataclass(frozen=True)
class Case:
    """One training, with its differences from the defaults above."""

    output: Path
    zero: int = 1
    config: TinyConfig = CONFIG
    optim: OptimConfig = OPTIM
    run: dict[str, Any] = field(default_factory=dict)
    stop_after: int | None = None  # number of validations after which the job is killed
    full_disk: str = ""  # writing fails for paths that contain this
    task: type[TinyTask] = TinyTask
    local: bool = False


class Killed(BaseException):
    """Simulates the end of the process."""


def plan_of(case: Case) -> Plan:
    records = make_records(30, seed=2)
    run = RUN.model_copy(update={"zero": case.zero, **case.run})
    task = case.task(case.config)
    about = {"of": "a test"}
    return Plan(task, case.optim, run, records, case.output, about, rows=DOCUMENTS, local=case.local)


def tables() -> Iterable[pa.Table]:
    """Rows in parts that are in the wrong order."""
    task = TinyTask(TinyConfig())
    rows = task.tokenize(make_records(DOCUMENTS, seed=1))
    table = pa.Table.from_pylist(rows, schema=task.schema()).append_column("order", pa.array(range(DOCUMENTS)))
    return [table.slice(60), table.slice(0, 25), table.slice(25, 35)]


def train_cases(cases: list[Case]) -> list[str]:
    """Run the trainings in turn. Returns the error of each; empty if it succeeded."""
    ends = []
    for case in cases:
        reports = 0

        def report(metrics: dict[str, Any], folder: Path, case: Case = case) -> None:
            nonlocal reports
            reports += 1
            if reports == case.stop_after:
                raise Killed

        save = torch.save
        try:
            if case.full_disk:
                torch.save = _failing_for(case.full_disk)
            train_worker(plan_of(case), tables, report)
            ends.append("")
        except Killed:
            ends.append("killed")
        except UserError as error:
            ends.append(str(error))
        finally:
            torch.save = save
    return ends


def _failing_for(part: str) -> Any:
    save = torch.save

    def failing(values: Any, path: Any, **more: Any) -> None:
        if part in str(path):
            with Path("/dev/full").open("wb", buffering=0) as full:
                save(values, full, **more)
        save(values, path, **more)

    return failing


def weights(output: Path, name: str = "last") -> dict[str, torch.Tensor]:
    """Weights of a saved model."""
    found: dict[str, torch.Tensor] = torch.load(output / name / "weights.pt")
    return found


def difference(one: Path, other: Path, name: str = "last") -> float:
    """Largest difference between the weights of two saved models."""
    first, second = weights(one, name), weights(other, name)
    assert first.keys() == second.keys()
    return max(float((first[key] - second[key]).abs().max()) for key in first)
