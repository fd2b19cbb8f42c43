"""A predictor whose model is in another process gives the same bytes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from kpray.corpus.quickstart import quickstart_records
from kpray.document import Document
from kpray.registry import open_model, open_predictor
from kpray.text.tagging import Tagger
from tests.samrank.test_prepare_each import contents
from tests.samrank.tiny_models import TinyModel


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@pytest.mark.parametrize("options", [{}, {"diversity": 0.4, "seeds": ["sparse graph"]}], ids=["plain", "vectors"])
def test_same_bytes(kind: str, options: dict[str, Any], tiny_model: Callable[[str], TinyModel], tagger: Tagger) -> None:
    config = {"model": tiny_model(kind).folder, "heads": ["2-1", "3-3"], "segment_tokens": 20, "batch_tokens": 100}
    serve = open_model("samrank", config)

    def call(method: str, *arguments: Any, **more: Any) -> Any:
        method, arguments, more = pickle.loads(pickle.dumps((method, arguments, more)))
        return pickle.loads(pickle.dumps(serve(method, *arguments, **more)))

    documents = [Document("empty", "", lang="en"), *(record.document for record in quickstart_records()[:20])]
    here, there = open_predictor("samrank", config), open_predictor("samrank", config, call)
    assert here.describe() == there.describe()
    for some in (documents, documents[:1], []):
        found, expected = (each.predict(some, explain=True, **options) for each in (there, here))
        assert contents(found) == contents(expected)
