"""Fixtures: a backbone, and a model that has memorized a few documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kpray.unikeyphrase.model import UniKeyphraseModel
from kpray.unikeyphrase.task import UniKeyphraseTask
from tests.unikeyphrase.tiny_model import learn_by_heart, make_task, save_backbone

MakeTask = Callable[..., UniKeyphraseTask]


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a small backbone."""
    return save_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="session")
def tiny_task(backbone: str) -> MakeTask:
    """A task over the small backbone: `tiny_task(relation_layers=1)`."""
    return lambda **model: make_task(backbone, **model)


@pytest.fixture(scope="session")
def trained(backbone: str) -> tuple[UniKeyphraseTask, UniKeyphraseModel]:
    """A task and its model, which has memorized `RECORDS`."""
    return learn_by_heart(backbone)


@pytest.fixture(scope="session")
def saved(trained: tuple[UniKeyphraseTask, UniKeyphraseModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the trained model."""
    task, model = trained
    folder = tmp_path_factory.mktemp("saved")
    task.save(model, folder, {"outside_bias": 0.25})
    return folder
