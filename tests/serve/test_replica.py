"""Models in one process, without Ray: they are freed, their health is checked, and failures are logged."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Sequence
from typing import Any
from weakref import ref

import pytest

from kpray.document import Document
from kpray.serve.batching import Batcher
from kpray.serve.config import ServeConfig, served_models
from kpray.serve.replica import PredictionFailed, Replica
from kpray.serve.schemas import DocumentMessage, KeyphrasesRequest
from kpray.settings import validate_settings
from tests.samrank.tiny_models import SENTENCES
from tests.serve.service import StartService


def request(*texts: str) -> KeyphrasesRequest:
    return KeyphrasesRequest(documents=[DocumentMessage(text=text) for text in texts])


def test_unused_model_is_freed(tiny_samrank: dict[str, Any]) -> None:
    config = validate_settings(ServeConfig, {"models": ["samrank"], "samrank": tiny_samrank}, where="test")
    replica = Replica(config, served_models(config))

    async def open_and_drop() -> ref[Batcher]:
        batcher = await replica.open_model("samrank")
        assert (await batcher.explain(Document("", "Sparse networks."), 5)).keyphrases
        return ref(batcher)

    gone = asyncio.run(open_and_drop())
    gc.collect()
    assert gone() is None


def test_model_that_hangs_is_unhealthy(start_service: StartService) -> None:
    replica = start_service(limits={"seconds": 0.001}).backend.replica

    async def check() -> list[str]:
        found = []
        work = asyncio.create_task(replica.predict("samrank", request(*[" ".join(SENTENCES)] * 32), "id"))
        while not work.done():
            try:
                await replica.check_health()
            except RuntimeError as error:
                found.append(str(error))
            await asyncio.sleep(0.001)
        await replica.check_health()
        return found

    assert set(asyncio.run(check())) == {"a model has worked on one batch for more than 0.004 s"}


def test_failure_is_logged_without_the_text(
    start_service: StartService, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, failure = start_service(), KeyError("Secret words.")
    batcher = service.backend.replica.kept["samrank"]

    def fail(prepared: Sequence[Any], top: int) -> None:
        raise failure

    monkeypatch.setattr(batcher.predictor, "predict_prepared", fail)
    with pytest.raises(PredictionFailed):
        asyncio.run(service.backend.replica.predict("samrank", request(failure.args[0]), "the-id"))
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage().startswith("request=the-id failed unexpectedly: KeyError\n")
    assert "ecret" not in caplog.text
    assert service.metric('kpray_documents_total{model="samrank"') == 0


def test_failure_of_one_document_leaves_the_others(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = start_service()
    predictor = service.backend.replica.kept["samrank"].predictor
    prepare = predictor.prepare

    def fail(document: Document) -> Any:
        if "Poison" in document.text:
            raise KeyError(document.text)
        return prepare(document)

    monkeypatch.setattr(predictor, "prepare", fail)
    answer = asyncio.run(service.backend.replica.predict("samrank", request("Poison.", SENTENCES[0]), "the-id"))
    first, second = json.loads(answer)
    assert first["error"]["code"] == "internal"
    assert first["error"]["message"].startswith("internal error: KeyError; ")
    assert second["keyphrases"]
    assert "error" not in second
    assert "request=the-id failed unexpectedly: KeyError\n" in caplog.text
    assert "Poison" not in caplog.text
