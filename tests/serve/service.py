"""A service in this process: the application with real predictors but without Ray. Fixtures start one."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from prometheus_client import Metric
from starlette.types import ASGIApp
from typing_extensions import override

from kpray.serve.api_keys import Keys
from kpray.serve.app import Backend, build_app
from kpray.serve.batching import Batcher
from kpray.serve.config import ServeConfig, ServedModel, served_models
from kpray.serve.metrics import IngressMetrics, collect
from kpray.serve.replica import Replica
from kpray.serve.schemas import KeyphrasesRequest
from kpray.settings import validate_settings
from tests.ramkg.tiny_ramkg import save_ramkg
from tests.samrank.tiny_models import save_bert


class _Replica(Replica):
    """Keeps its models open, as Serve does."""

    def __init__(self, config: ServeConfig, models: Sequence[ServedModel]) -> None:
        super().__init__(config, models)
        self.kept: dict[str, Batcher] = {}

    @override
    async def open_model(self, name: str) -> Batcher:
        if name not in self.kept:
            self.kept[name] = await super().open_model(name)
        return self.kept[name]

    def metrics(self) -> list[Metric]:
        return collect(self._metrics, "samrank-1")


class InProcess(Backend):
    """A replica in this process, which can be made to fail."""

    def __init__(self, config: ServeConfig, models: Sequence[ServedModel]) -> None:
        self.replica, self.metrics_of_ingress = _Replica(config, models), IngressMetrics()
        with ThreadPoolExecutor(1) as thread:  # the test's thread may already run an event loop, for the browser
            for model in models:
                thread.submit(asyncio.run, self.replica.open_model(model.name)).result()
        self.failure: Exception | None = None
        self.pause = 0.0

    @override
    async def predict(self, model: ServedModel, request: KeyphrasesRequest, request_id: str, client: str) -> bytes:
        await asyncio.sleep(self.pause)
        if self.failure is not None:
            raise self.failure
        return await self.replica.predict(model.name, request, request_id, client)

    @override
    async def ready(self) -> bool:
        return self.failure is None

    @override
    async def metrics(self) -> list[list[Metric]]:
        return [collect(self.metrics_of_ingress, "ingress-1"), self.replica.metrics()]


class Service:
    """The application, with a client that sends requests to it directly."""

    def __init__(self, options: dict[str, Any], environment: dict[str, str]) -> None:
        config = validate_settings(ServeConfig, options, where="test")
        models = served_models(config)
        self.backend = InProcess(config, models)
        keys = Keys(config.api_keys, environment)
        self.app = build_app(config, models, keys, self.backend.metrics_of_ingress, self.backend)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def keyphrases(self, *texts: str, key: str = "", **fields: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        body = {"documents": [{"text": text} for text in texts], **fields}
        return self.request("POST", "/v1/keyphrases", json=body, headers=headers)

    def metric(self, sample: str) -> float:
        """Value of the first sample in /metrics that starts with `sample`; 0 if there is none."""
        for line in self.request("GET", "/metrics").text.splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith(sample):
                return float(value)
        return 0.0

    def error(self, response: httpx.Response, status: int) -> str:
        """Check an error response and return its error code."""
        assert response.status_code == status, response.text
        error = response.json()["error"]
        assert set(error) == {"code", "message", "request_id"}
        assert error["request_id"] == response.headers["x-request-id"]
        assert "Traceback" not in response.text
        return str(error["code"])


@contextmanager
def serving(app: ASGIApp, **options: Any) -> Iterator[str]:
    """Run an application in a thread, with options of uvicorn. Yields its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.05)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


StartService = Callable[..., Service]


@pytest.fixture(scope="session")
def tiny_samrank(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Configuration of SAMRank with a very small model, so that documents take almost no time."""
    folder = save_bert(tmp_path_factory.mktemp("model")).folder
    return {"model": folder, "heads": ["2-1", "3-4"], "tagger": "textblob"}


@pytest.fixture(scope="session")
def tiny_ramkg(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a RAMKG that has memorized four documents."""
    return str(save_ramkg(tmp_path_factory.mktemp("ramkg")))


@pytest.fixture
def start_service(tiny_samrank: dict[str, Any]) -> StartService:
    """Start a service with the tiny SAMRank: `start_service(limits={"documents": 2})`."""

    def start(*, environment: dict[str, str] | None = None, **options: Any) -> Service:
        return Service({"models": ["samrank"], "samrank": tiny_samrank, **options}, environment or {})

    return start


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("# a comment\nalice:alice-0123456789abcdef\nbob:bob-0123456789abcdef\n", encoding="utf-8")
    return path
