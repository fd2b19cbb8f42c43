"""One model in a replica: documents of requests in, results out."""

from __future__ import annotations

import asyncio

from kpray.document import Document
from kpray.errors import RejectedDocument
from kpray.registry import open_predictor
from kpray.serve.batching import Batcher, TooLong
from kpray.serve.config import BatchingConfig, RequestLimits, ServedModel
from kpray.serve.metrics import ModelMetrics
from kpray.serve.schemas import DocumentError, DocumentMessage, Result, Work, result_of, results_json

_WARM_UP = Document(
    id="warm-up", body="Solid-state batteries replace the liquid electrolyte with a ceramic. A thin layer protects it."
)


class OpenModel:
    """An open predictor and its queue.

    Opening takes seconds, so it is done in a thread, before any request.

    Raises:
        UserError: the predictor cannot be opened.
    """

    def __init__(self, model: ServedModel, batch: BatchingConfig, limits: RequestLimits, metrics: ModelMetrics) -> None:
        predictor = open_predictor(model.predictor, model.config)
        predictor.predict([_WARM_UP] * 2)  # the first time takes longer than those after it
        self.name, self.limits, self.metrics = model.name, limits, metrics
        self.batcher = Batcher(predictor, batch, limits.tokens, self._observe)
        metrics.queue.labels(model.name).set_function(lambda: self.batcher.queue)

    def _observe(self, documents: int, tokens: int, seconds: float) -> None:
        self.metrics.batch_documents.labels(self.name).observe(documents)
        self.metrics.batch_tokens.labels(self.name).observe(tokens)
        self.metrics.batch_seconds.labels(self.name).observe(seconds)
        self.metrics.tokens.labels(self.name).inc(tokens)

    async def predict(self, work: Work) -> bytes:
        """JSON of one `Result` for each document, in order.

        When it is cancelled, documents that still wait are dropped.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._predict(document, work)) for document in work.documents]
        return results_json([task.result() for task in tasks])

    async def _predict(self, asked: DocumentMessage, work: Work) -> Result:
        lang = asked.lang or work.lang
        document = Document(id=asked.id or "", body=asked.text, title=asked.title.strip(), lang=lang)
        length = len(document.text)
        try:
            if not document.text.strip():
                raise RejectedDocument("the document has no text")
            if length > self.limits.characters:
                raise TooLong(f"the document has {length} characters, more than {self.limits.characters}")
            explanation = await self.batcher.explain(document, work.top)
            result = result_of(asked.id, explanation, explain=work.explain)
            outcome = "ok"
        except RejectedDocument as error:
            outcome = "rejected"
            result = Result(id=asked.id, error=DocumentError(code=outcome, message=error.reason))
        except TooLong as error:
            outcome = "too_long"
            result = Result(id=asked.id, error=DocumentError(code=outcome, message=str(error)))
        self.metrics.documents.labels(self.name, outcome).inc()
        return result
