"""A backbone, and a model that has learnt a few documents by heart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kpray.unikeyphrase.model import UniKeyphraseModel
from kpray.unikeyphrase.task import UniKeyphraseTask
from tests.unikeyphrase.tiny_model import RECORDS, make_task, save_backbone

MakeTask = Callable[..., UniKeyphraseTask]


@pytest.fixture(scope="session")
def tiny_task(tmp_path_factory: pytest.TempPathFactory) -> MakeTask:
    """A task over a small backbone: `tiny_task(relation_layers=1)`."""
    backbone = save_backbone(tmp_path_factory.mktemp("backbone"))
    return lambda **model: make_task(backbone, **model)


@pytest.fixture(scope="session")
def trained(tiny_task: MakeTask) -> tuple[UniKeyphraseTask, UniKeyphraseModel]:
    """A task and its model after training on `RECORDS`, without dropout, until it knows them by heart."""
    task = tiny_task(relation_dropout=0, dropout=0, attention_dropout=0)
    torch.manual_seed(1)
    model = task.build()
    assert isinstance(model, UniKeyphraseModel)
    model.train()
    rows: list[Any] = task.tokenize(RECORDS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    steps = 200
    for step in range(steps):
        batch = task.collate(rows, [step * len(rows) + place for place in range(len(rows))])
        loss = task.losses(model, batch, step / steps)["loss"]
        optimizer.zero_grad()
        (loss / len(rows)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return task, model


@pytest.fixture(scope="session")
def saved(trained: tuple[UniKeyphraseTask, UniKeyphraseModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the trained model."""
    task, model = trained
    folder = tmp_path_factory.mktemp("saved")
    task.save(model, folder, {"outside_bias": 0.25})
    return folder
