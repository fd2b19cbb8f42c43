"""The document transformer in LangChain itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kpray.predictor import Predictor
from tests.adapters.conftest import TEXTS

pytest.importorskip("langchain_core", reason="langchain-core (extra `langchain`) is not installed")

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore

from kpray.adapters.langchain import KeyphraseMetadata


def documents() -> list[Document]:
    return [Document(text, id=str(index), metadata={"page": index}) for index, text in enumerate(TEXTS)]


def test_metadata_have_the_keyphrases(config: dict[str, Any], phrases: list[list[str]]) -> None:
    given = documents()
    found = KeyphraseMetadata(config=config).transform_documents(given)
    assert [each.metadata for each in found] == [{"page": i, "keyphrases": each} for i, each in enumerate(phrases)]
    assert [(each.id, each.page_content) for each in found] == [("0", TEXTS[0]), ("1", TEXTS[1])]
    assert given == documents()


def test_field_and_top(predictor: Predictor[Any], phrases: list[list[str]]) -> None:
    transformer = KeyphraseMetadata(predictor, top=1, field="tags")
    assert [each.metadata["tags"] for each in transformer.transform_documents(documents())] == [p[:1] for p in phrases]


def test_asynchronous_call(predictor: Predictor[Any], phrases: list[list[str]]) -> None:
    found = asyncio.run(KeyphraseMetadata(predictor).atransform_documents(documents()))
    assert [each.metadata["keyphrases"] for each in found] == phrases


def test_rejected_document(predictor: Predictor[Any]) -> None:
    with pytest.warns(UserWarning, match="no keyphrases for document 2: "):
        found = KeyphraseMetadata(predictor).transform_documents([*documents()[:1], Document("half \ud800")])
    assert found[1].metadata == {"keyphrases": []}


def test_filter_of_a_vector_store(predictor: Predictor[Any], phrases: list[list[str]]) -> None:
    from langchain_core.embeddings import DeterministicFakeEmbedding

    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents(list(KeyphraseMetadata(predictor).transform_documents(documents())))
    wanted = phrases[1][0]
    [found] = store.similarity_search("wind", k=5, filter=lambda each: wanted in each.metadata["keyphrases"])
    assert found.page_content == TEXTS[1]
