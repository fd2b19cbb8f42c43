"""The models in one process: they turn a request into results as JSON. `deployment.py` adds Ray Serve."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from weakref import WeakValueDictionary

from kpray.document import Document
from kpray.errors import RejectedDocument, UserError
from kpray.failures import FailedDocument, failure_reason, is_failure
from kpray.predictor import Explanation
from kpray.registry import open_predictor
from kpray.serve.batching import Batcher, TooLong
from kpray.serve.config import ServeConfig, ServedModel
from kpray.serve.metrics import ModelMetrics
from kpray.serve.middleware import log_failure
from kpray.serve.schemas import DocumentError, DocumentMessage, KeyphrasesRequest, Result, result_of, results_json

_WARM_UP = Document(
    id="warm-up", body="Solid-state batteries replace the liquid electrolyte with a ceramic. A thin layer protects it."
)
_STUCK_DEADLINES = 4  # a model that needs more deadlines than this for one batch hangs; no request waits that long
_logger = logging.getLogger("ray.serve")


class PredictionFailed(Exception):
    """A predictor failed unexpectedly. The replica's log has the traceback."""


class Replica:
    """Answers requests with models of one kind.

    Args:
        config: configuration of the service.
        models: the models that a request can name.
    """

    def __init__(self, config: ServeConfig, models: Sequence[ServedModel]) -> None:
        self._config, self._models = config, {model.name: model for model in models}
        self._metrics = ModelMetrics()
        # Weak references: a model is freed when no caller of `open_model` keeps it.
        self._open: WeakValueDictionary[str, Batcher] = WeakValueDictionary()

    async def open_model(self, name: str) -> Batcher:
        """Open and warm up a model. This runs in a thread, because it takes seconds.

        Raises:
            UserError: the predictor cannot be opened.
        """
        model, config = self._models[name], self._config
        predictor = await asyncio.to_thread(open_predictor, model.predictor, model.config)
        # The first batch is slower than later ones.
        for result in await asyncio.to_thread(predictor.predict, [_WARM_UP] * 2):
            if isinstance(result, FailedDocument):
                raise PredictionFailed(result.reason)
        batcher = Batcher(predictor, config.batch, config.limits.tokens, partial(self._metrics.observe_batch, name))
        self._open[name] = batcher
        self._metrics.queue.labels(name).set_function(lambda: self._open[name].queue if name in self._open else 0)
        return batcher

    async def predict(self, name: str, request: KeyphrasesRequest, request_id: str, client: str = "") -> bytes:
        """Return the JSON of a list with one `Result` per document, in order. Clients take turns.

        Cancelling this call removes its waiting documents from the queue.

        Raises:
            PredictionFailed: every document caused an unexpected error.
        """
        batcher = await self.open_model(name)
        try:
            predictor = batcher.predictor.selecting(request.selection(), support=request.explain)
            explain = partial(batcher.explain, predictor=predictor, client=client)
        except UserError as error:
            refused = DocumentError(code="unsupported", message=str(error))
            return results_json([Result(id=given.id, error=refused) for given in request.documents])
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._result(explain, one, request, request_id)) for one in request.documents
                ]
        except Exception as error:
            log_failure(_logger, error, request_id)
            raise PredictionFailed from None
        results = [task.result() for task in tasks]
        if all(result.error is not None and result.error.code == "internal" for result in results):
            raise PredictionFailed
        for result in results:
            self._metrics.documents.labels(name, result.error.code if result.error else "ok").inc()
        return results_json(results)

    async def _result(
        self,
        explain: Callable[[Document, int], Awaitable[Explanation]],
        given: DocumentMessage,
        request: KeyphrasesRequest,
        request_id: str,
    ) -> Result:
        lang = given.lang or request.lang or self._config.lang
        document = Document(id=given.id or "", body=given.text, title=given.title.strip(), lang=lang)
        length, limit = len(document.text), self._config.limits.characters
        try:
            if not document.text.strip():
                raise RejectedDocument("the document has no text")
            if length > limit:
                raise TooLong(f"the document has {length} characters, but the limit is {limit}")
            explanation = await explain(document, request.top)
            result = result_of(given.id, document.lang, explanation, explain=request.explain)
        except RejectedDocument as error:
            result = Result(id=given.id, error=DocumentError(code="rejected", message=error.reason))
        except TooLong as error:
            result = Result(id=given.id, error=DocumentError(code="too_long", message=str(error)))
        except Exception as error:
            if not is_failure(error):
                raise
            log_failure(_logger, error, request_id)
            message = f"{failure_reason(error)}; the log of the service has details under the id of this request"
            result = Result(id=given.id, error=DocumentError(code="internal", message=message))
        return result

    async def check_health(self) -> None:
        """Check whether a model hangs. Serve calls this regularly and replaces the replica if it raises an error.

        Raises:
            RuntimeError: a model hangs.
        """
        longest = _STUCK_DEADLINES * self._config.limits.seconds
        if any(batcher.busy_seconds > longest for batcher in self._open.values()):
            raise RuntimeError(f"a model has worked on one batch for more than {longest:g} s")
