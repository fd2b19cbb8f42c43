"""Backbones, documents in several languages, and a generator that has memorized a few documents."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kpray.corpus.store import PassageStore
from kpray.document import Record
from kpray.ramkg.generator_task import GeneratorTask
from tests.ramkg import tiny_generator
from tests.ramkg.tiny_retriever import make_pairs, save_backbone, save_store


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a small BERT."""
    return save_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="session")
def pairs() -> list[Record]:
    """40 documents of the other language; the English one with the same id is the translation."""
    return make_pairs(40, seed=1)[0]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> PassageStore:
    """The English passages of `pairs`."""
    return save_store(make_pairs(40, seed=1)[1], tmp_path_factory.mktemp("store") / "english")


@pytest.fixture(scope="session")
def seq2seq(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of small sequence-to-sequence models, by `tiny_generator.KINDS`."""
    return {kind: tiny_generator.save_backbone(tmp_path_factory.mktemp(kind), kind) for kind in tiny_generator.KINDS}


@pytest.fixture(scope="session")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the store of `tiny_generator.PASSAGES`."""
    return tiny_generator.save_english(tmp_path_factory.mktemp("english")).folder


@pytest.fixture(scope="session")
def trained_generator(seq2seq: dict[str, str], english: Path) -> tuple[GeneratorTask, torch.nn.Module]:
    """A task and its model after training on `tiny_generator.RECORDS`, until it has memorized them."""
    task = tiny_generator.make_task(seq2seq["mbart25"], english)
    return task, tiny_generator.train(task, steps=60)
