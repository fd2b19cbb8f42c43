"""Documents of different requests through a model together.

Ray Serve's own batching cuts what comes in every few milliseconds into batches that then queue for the model; here a
batch is made when the model is free, of all that waits, and a request that was given up leaves the queue.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from kpray.document import Document
from kpray.predictor import Explanation, Predictor
from kpray.serve.config import BatchingConfig

Value = TypeVar("Value")


class TooLong(Exception):
    """A document has more tokens than a request may ask for."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A document on its way.

    Attributes:
        document: as it came.
        top: most keyphrases.
        future: of its explanation; cancelled when nobody waits for it any more.
        prepared: after the work of the CPU.
        tokens: of it.
        error: why it could not be prepared.
    """

    document: Document
    top: int
    future: asyncio.Future[Explanation]
    prepared: Any = None
    tokens: int = 0
    error: Exception | None = None

    def finish(self, result: Explanation | Exception) -> None:
        """Tell who waits, if somebody still does."""
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(replace(result, keyphrases=result.keyphrases[: self.top]))


@dataclass
class Batcher:
    """Gives a predictor's explanation of one document at a time, and batches behind the scenes.

    One thread does all the predictor's work, so that what prepares documents does not take the interpreter away from
    what runs the model. A batch is decided in order of arrival, so nobody waits for ever.

    Attributes:
        predictor: the model.
        config: how large batches are.
        most_tokens: of a document.
        observe: is told the documents, the tokens and the seconds of each batch.
    """

    predictor: Predictor[Any]
    config: BatchingConfig
    most_tokens: int
    observe: Callable[[int, int, float], None]
    _arrived: deque[_Waiting] = field(default_factory=deque, init=False)
    _ready: deque[_Waiting] = field(default_factory=deque, init=False)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "model"), init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)
    _busy_since: float | None = field(default=None, init=False)

    async def explain(self, document: Document, top: int) -> Explanation:
        """What `predictor.predict([document], top=top, explain=True)` gives.

        Raises:
            RejectedDocument: it cannot be processed.
            TooLong: it has too many tokens.
        """
        waiting = _Waiting(document, top, asyncio.get_running_loop().create_future())
        self._arrived.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await waiting.future

    @property
    def queue(self) -> int:
        """Documents that wait."""
        return len(self._arrived) + len(self._ready)

    @property
    def busy_seconds(self) -> float:
        """For how long the model has been at one piece of work; 0 when it is idle."""
        return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    async def _work(self) -> None:
        """Work until nothing waits."""
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
                    self._ready.append(waiting)
            batch = self._take_batch()
            if batch:
                await self._predict(batch)

    async def _in_thread(self, function: Callable[..., Value], *arguments: Any) -> Value:
        self._busy_since = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        finally:
            self._busy_since = None

    def _take_fresh(self) -> list[_Waiting]:
        """Of those that have just arrived, as many as a batch still has room for."""
        fresh: list[_Waiting] = []
        while self._arrived and len(fresh) + len(self._ready) < self.config.documents:
            waiting = self._arrived.popleft()
            if not waiting.future.done():
                fresh.append(waiting)
        return fresh

    def _prepare(self, fresh: Sequence[_Waiting]) -> None:
        for waiting in fresh:
            try:
                waiting.prepared = self.predictor.prepare(waiting.document)
                waiting.tokens = self.predictor.tokens(waiting.prepared)
                if waiting.tokens > self.most_tokens:
                    raise TooLong(f"the document has {waiting.tokens} tokens, more than {self.most_tokens}")
            except Exception as error:  # for whoever waits for it
                waiting.error = error

    def _take_batch(self) -> list[_Waiting]:
        """In order of arrival, as many as fit, and at least one."""
        batch: list[_Waiting] = []
        tokens = 0
        while self._ready and len(batch) < self.config.documents:
            if batch and tokens + self._ready[0].tokens > self.config.tokens:
                break
            waiting = self._ready.popleft()
            if not waiting.future.done():
                batch.append(waiting)
                tokens += waiting.tokens
        return batch

    async def _predict(self, batch: Sequence[_Waiting]) -> None:
        started = time.monotonic()
        prepared, top = [waiting.prepared for waiting in batch], max(waiting.top for waiting in batch)
        try:
            explanations = await self._in_thread(self.predictor.predict_prepared, prepared, top)
        except Exception as error:
            if len(batch) == 1:
                batch[0].finish(error)
                return
            for waiting in batch:  # one document must not take those of others with it
                await self._predict([waiting])
            return
        self.observe(len(batch), sum(waiting.tokens for waiting in batch), time.monotonic() - started)
        for waiting, explanation in zip(batch, explanations, strict=True):
            waiting.finish(explanation)
