"""Fixtures for the adapters: a small predictor, and texts with their keyphrases."""

from __future__ import annotations

from typing import Any

import pytest

from kpray import open_predictor
from kpray.predictor import Predictor
from tests.samrank.tiny_models import save_bert

TEXTS = ["Solar panels lose output as they age.", "Wind turbines need strong winds. A wind turbine is tall."]


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Configuration of SAMRank on a small model."""
    pytest.importorskip("textblob", reason="no tagger (extra `offline`) is installed")
    return {"model": save_bert(tmp_path_factory.mktemp("bert")).folder, "heads": ["1-1"], "tagger": "textblob"}


@pytest.fixture(scope="session")
def predictor(config: dict[str, Any]) -> Predictor[Any]:
    """SAMRank on a small model."""
    return open_predictor("samrank", config)


@pytest.fixture(scope="session")
def phrases(predictor: Predictor[Any]) -> list[list[str]]:
    """The keyphrases of `TEXTS`."""
    found = [[keyphrase.text for keyphrase in each] for each in predictor.predict(TEXTS)]
    assert all(found)
    return found
