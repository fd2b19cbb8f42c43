"""Batches of documents from different requests.

Ray Serve's batching forms a batch every few milliseconds, and these batches then wait for the model. Here, a batch is
formed from all waiting documents when the model becomes free. Documents of cancelled requests leave the queue. Clients
take turns, so that many or long documents of one client do not delay those of another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar

from kpray.document import Document
from kpray.predictor import Explanation, Predictor
from kpray.serve.config import BatchingConfig
from kpray.serve.turns import Turns

Value = TypeVar("Value")

LEAST_CHARACTERS = 100  #: a shorter document costs as much as one of this length


class TooLong(Exception):
    """A document has more characters or tokens than the limits allow."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A document in the queue.

    Attributes:
        start: its start among the documents of all clients (`Turns`).
        number: order of arrival, for documents with the same start.
        document: the document.
        top: maximum number of keyphrases.
        predictor: `Batcher.predictor`, or one that shares its model and follows other options.
        future: the explanation. It is cancelled together with the request.
        prepared: result of `Predictor.prepare`.
        tokens: number of tokens of the document.
        error: the error of preparing the document; None: no error.
    """

    start: float
    number: int
    document: Document
    top: int
    predictor: Predictor[Any]
    future: asyncio.Future[Explanation]
    prepared: Any = None
    tokens: int = 0
    error: Exception | None = None

    def __lt__(self, other: _Waiting) -> bool:
        return (self.start, self.number) < (other.start, other.number)

    def finish(self, result: Explanation | Exception) -> None:
        """Set the result of the future, unless it was cancelled."""
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            support = result.support and result.support[: self.top]
            self.future.set_result(replace(result, keyphrases=result.keyphrases[: self.top], support=support))


@dataclass
class Batcher:
    """Explains one document per call, and runs the documents of concurrent calls in batches.

    All work of the predictor runs in one thread, so that preparing documents does not compete with the model for the
    interpreter. Clients take turns by the length of their documents; the documents of one client keep their order.

    Attributes:
        predictor: the predictor.
        config: limits of a batch.
        most_tokens: maximum number of tokens of a document.
        observe: called after each batch with its number of documents, its number of tokens and its seconds.
    """

    predictor: Predictor[Any]
    config: BatchingConfig
    most_tokens: int
    observe: Callable[[int, int, float], None]
    _arrived: list[_Waiting] = field(default_factory=list, init=False)  # a heap
    _ready: list[_Waiting] = field(default_factory=list, init=False)  # a heap
    _turns: Turns = field(default_factory=Turns, init=False)
    _numbers: Iterator[int] = field(default_factory=count, init=False)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "model"), init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)
    _busy_since: float | None = field(default=None, init=False)

    async def explain(
        self, document: Document, top: int, predictor: Predictor[Any] | None = None, client: str = ""
    ) -> Explanation:
        """Return the explanation of `predictor.predict(document, top=top, explain=True)`.

        Args:
            document: the document.
            top: maximum number of keyphrases.
            predictor: result of `self.predictor.selecting`; None: `self.predictor`.
            client: whose document it is.

        Raises:
            RejectedDocument: the document cannot be processed.
            TooLong: the document has too many tokens.
        """
        future: asyncio.Future[Explanation] = asyncio.get_running_loop().create_future()
        start = self._turns.start(client, max(LEAST_CHARACTERS, len(document.text)))
        waiting = _Waiting(start, next(self._numbers), document, top, predictor or self.predictor, future)
        heappush(self._arrived, waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await waiting.future

    @property
    def queue(self) -> int:
        """Number of waiting documents."""
        return len(self._arrived) + len(self._ready)

    @property
    def busy_seconds(self) -> float:
        """Seconds since the model started its current work; 0 if it is idle."""
        return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    async def _work(self) -> None:
        """Process batches until no document is waiting."""
        if self.queue < self.config.documents and self.config.wait_ms:
            await asyncio.sleep(self.config.wait_ms / 1000)
        while self.queue:
            fresh = self._take_fresh()
            if fresh:
                await self._in_thread(self._prepare, fresh)
            for waiting in fresh:
                if waiting.error is not None:
                    waiting.finish(waiting.error)
                else:
                    heappush(self._ready, waiting)
            by_predictor: dict[int, list[_Waiting]] = {}
            for waiting in self._take_batch():
                by_predictor.setdefault(id(waiting.predictor), []).append(waiting)
            for batch in by_predictor.values():
                await self._predict(batch)

    async def _in_thread(self, function: Callable[..., Value], *arguments: Any) -> Value:
        self._busy_since = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        finally:
            self._busy_since = None

    def _take_fresh(self) -> list[_Waiting]:
        """Take the next documents that are not prepared, at most as many as the next batch has room for."""
        fresh: list[_Waiting] = []
        while self._arrived and len(fresh) + len(self._ready) < self.config.documents:
            waiting = heappop(self._arrived)
            if not waiting.future.done():
                fresh.append(waiting)
        return fresh

    def _prepare(self, fresh: Sequence[_Waiting]) -> None:
        for waiting in fresh:
            try:
                waiting.prepared = waiting.predictor.prepare(waiting.document)
                waiting.tokens = waiting.predictor.tokens(waiting.prepared)
                if waiting.tokens > self.most_tokens:
                    raise TooLong(f"the document has {waiting.tokens} tokens, but the limit is {self.most_tokens}")
            except Exception as error:  # raised in the request of this document
                waiting.error = error

    def _take_batch(self) -> list[_Waiting]:
        """Take as many documents as fit into a batch, in the order of their starts, but at least one."""
        batch: list[_Waiting] = []
        tokens = 0
        while self._ready and len(batch) < self.config.documents:
            if batch and tokens + self._ready[0].tokens > self.config.tokens:
                break
            waiting = heappop(self._ready)
            if not waiting.future.done():
                batch.append(waiting)
                tokens += waiting.tokens
        if batch:
            self._turns.serve(batch[-1].start)
        return batch

    async def _predict(self, batch: Sequence[_Waiting]) -> None:
        started = time.monotonic()
        prepared, top = [waiting.prepared for waiting in batch], max(waiting.top for waiting in batch)
        try:
            explanations = await self._in_thread(batch[0].predictor.predict_prepared, prepared, top)
        except Exception as error:
            if len(batch) == 1:
                batch[0].finish(error)
                return
            for waiting in batch:  # the failure of one document must not affect other requests
                await self._predict([waiting])
            return
        self.observe(len(batch), sum(waiting.tokens for waiting in batch), time.monotonic() - started)
        for waiting, explanation in zip(batch, explanations, strict=True):
            waiting.finish(explanation)
