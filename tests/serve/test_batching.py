"""Documents of different requests share a batch, without any effect on the results."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from kpray.document import Document, Keyphrase
from kpray.errors import RejectedDocument
from kpray.predictor import Explanation, Predictor
from kpray.registry import open_predictor
from kpray.serve.batching import Batcher, TooLong
from kpray.serve.config import BatchingConfig
from kpray.serve.turns import Turns
from tests.samrank.tiny_models import SENTENCES


class WordLengths(Predictor[list[str]]):
    """A predictor that scores words by their length. Tests can read its batches and block it."""

    kind = "word-lengths"

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = threading.Event()
        self.go.set()

    @override
    def prepare(self, document: Document) -> list[str]:
        if document.lang == "xx":
            raise RejectedDocument("no such language")
        return document.text.split()

    @override
    def tokens(self, prepared: list[str]) -> int:
        return len(prepared)

    @override
    def predict_prepared(self, prepared: Sequence[list[str]], top: int) -> list[Explanation]:
        import numpy as np

        assert self.go.wait(60)
        self.batches.append([" ".join(words) for words in prepared])
        if any("poison" in words for words in prepared):
            raise MemoryError
        ranked = [sorted(words, key=len, reverse=True)[:top] for words in prepared]
        return [
            Explanation([Keyphrase(w, len(w), present=True) for w in words], np.zeros((0, 2)), np.zeros(0))
            for words in ranked
        ]

    @override
    def describe(self) -> dict[str, Any]:
        return {}

    @override
    def save(self, folder: str | Path) -> None:
        raise NotImplementedError


def batcher(predictor: Predictor[Any], **config: Any) -> Batcher:
    return Batcher(predictor, BatchingConfig(**{"wait_ms": 20.0, **config}), 50, lambda *_: None)


def document(text: str, lang: str = "en") -> Document:
    return Document(id="", body=text, lang=lang)


def test_clients_take_turns_by_the_length_of_their_documents() -> None:
    """One client has 30 documents waiting, already prepared, when another one asks for two."""

    async def ask() -> None:
        predictor.go.clear()
        long = [
            asyncio.create_task(shared.explain(document(f"long {n} " + "x " * 30), 9, client="a")) for n in range(30)
        ]
        while not shared.queue:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        short = [asyncio.create_task(shared.explain(document(f"short {n}"), 9, client="b")) for n in range(2)]
        await asyncio.sleep(0)
        predictor.go.set()
        await asyncio.gather(*short)
        assert sum(task.done() for task in long) < 6
        await asyncio.gather(*long)

    predictor = WordLengths()
    shared = batcher(predictor, documents=32, tokens=40, wait_ms=1.0)
    asyncio.run(ask())
    order = [text.split(" x")[0] for batch in predictor.batches for text in batch]
    assert [text for text in order if text.startswith("long")] == [f"long {n}" for n in range(30)]
    assert max(order.index("short 0"), order.index("short 1")) < 6


def test_a_client_that_waited_for_nothing_saves_no_turns() -> None:
    turns = Turns()
    assert [turns.start("a", 100) for _ in range(3)] == [0, 100, 200]
    turns.serve(200)
    assert [turns.start("b", 100) for _ in range(2)] == [200, 300]  # not 0: it did not wait so far
    assert turns.start("a", 100) == 300
    turns.serve(400)
    assert turns._next == {}


def test_documents_of_several_requests_share_a_batch() -> None:
    predictor = WordLengths()

    async def ask() -> list[Explanation]:
        shared = batcher(predictor)
        return await asyncio.gather(*(shared.explain(document(f"a{'b' * n} c"), top=1 + n % 2) for n in range(5)))

    found = asyncio.run(ask())
    assert len(predictor.batches) == 1
    assert [len(explanation.keyphrases) for explanation in found] == [1, 2, 1, 2, 1]
    assert [explanation.keyphrases[0].score for explanation in found] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("config", "batches"),
    [
        ({"documents": 2}, [["a", "b b b"], ["c", "d d"]]),
        ({"documents": 1}, [["a"], ["b b b"], ["c"], ["d d"]]),
        ({"tokens": 4}, [["a", "b b b"], ["c", "d d"]]),
        ({"tokens": 3}, [["a"], ["b b b"], ["c", "d d"]]),
        ({"tokens": 1}, [["a"], ["b b b"], ["c"], ["d d"]]),  # at least one document, however long
    ],
)
def test_batches_respect_limits_and_order_of_arrival(config: dict[str, int], batches: list[list[str]]) -> None:
    predictor = WordLengths()

    async def ask() -> None:
        shared = batcher(predictor, **config)
        await asyncio.gather(*(shared.explain(document(text), 9) for text in ("a", "b b b", "c", "d d")))

    asyncio.run(ask())
    assert predictor.batches == batches


def test_documents_that_arrive_while_the_model_is_busy_share_a_batch() -> None:
    predictor = WordLengths()

    async def ask() -> None:
        shared = batcher(predictor, wait_ms=0.0)
        predictor.go.clear()
        first = asyncio.create_task(shared.explain(document("first"), 9))
        while not shared.busy_seconds:
            await asyncio.sleep(0)
        later = [asyncio.create_task(shared.explain(document(f"later {n}"), 9)) for n in range(3)]
        await asyncio.sleep(0)
        predictor.go.set()
        await asyncio.gather(first, *later)
        assert shared.queue == 0
        assert shared.busy_seconds == 0

    asyncio.run(ask())
    assert predictor.batches == [["first"], ["later 0", "later 1", "later 2"]]


def test_cancelled_documents_are_not_predicted() -> None:
    predictor = WordLengths()

    async def ask() -> None:
        shared = batcher(predictor)
        predictor.go.clear()
        kept = asyncio.create_task(shared.explain(document("kept"), 9))
        while not shared.busy_seconds:
            await asyncio.sleep(0)
        cancelled = [asyncio.create_task(shared.explain(document("cancelled"), 9)) for _ in range(3)]
        also_kept = asyncio.create_task(shared.explain(document("also kept"), 9))
        await asyncio.sleep(0)
        for task in cancelled:
            task.cancel()
        await asyncio.sleep(0)
        predictor.go.set()
        await asyncio.gather(kept, also_kept)

    asyncio.run(ask())
    assert predictor.batches == [["kept"], ["also kept"]]


def test_an_error_affects_only_its_document() -> None:
    predictor = WordLengths()

    async def ask() -> list[Any]:
        shared = batcher(predictor)
        asked = [document("fine"), document("x", lang="xx"), document("w " * 51), document("poison"), document("too")]
        return await asyncio.gather(*(shared.explain(one, 9) for one in asked), return_exceptions=True)

    fine, rejected, too_long, poison, too = asyncio.run(ask())
    assert fine.keyphrases[0].text == "fine"
    assert isinstance(rejected, RejectedDocument)
    assert isinstance(too_long, TooLong)
    assert str(too_long) == "the document has 51 tokens, but the limit is 50"
    assert isinstance(poison, MemoryError)
    assert too.keyphrases[0].text == "too"


def test_results_do_not_depend_on_the_batch(tiny_samrank: dict[str, Any]) -> None:
    predictor = open_predictor("samrank", tiny_samrank)
    documents = [document(" ".join(SENTENCES[first:last])) for first in range(5) for last in range(first + 1, 6)]
    alone = [predictor.predict([one], top=5)[0] for one in documents]

    async def ask(**config: Any) -> list[Explanation]:
        shared = Batcher(predictor, BatchingConfig(**config), 10_000, lambda *_: None)
        return await asyncio.gather(*(shared.explain(one, 5) for one in documents))

    for config in ({}, {"tokens": 100}, {"documents": 4}):
        found = [explanation.keyphrases for explanation in asyncio.run(ask(**config))]
        assert [[phrase.text for phrase in phrases] for phrases in found] == [
            [phrase.text for phrase in phrases] for phrases in alone
        ]
