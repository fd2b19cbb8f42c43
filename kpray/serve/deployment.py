"""Ray Serve: an ingress, and a deployment for each kind of predictor (`serve run serve_config.yaml`, `kpray serve`).

Everything that is not Ray's stands in `kpray.serve`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakSet

import torch
from prometheus_client import Metric
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from kpray.serve.api_keys import Keys
from kpray.serve.app import Backend, build_app
from kpray.serve.config import ServeConfig, ServedModel, read_config, served_models
from kpray.serve.errors import overloaded, unavailable
from kpray.serve.metrics import IngressMetrics, ModelMetrics, collect
from kpray.serve.middleware import log_failure
from kpray.serve.proxy_middleware import CLOSED_SECONDS
from kpray.serve.replica import OpenModel
from kpray.serve.schemas import Work

LOG = {"enable_access_log": False}  # of Serve: `Gate` writes that line
MODELS_PER_REPLICA = 4  # that are open at a time; another one takes the place of the least recently used

_INGRESS = "ingress"
_INGRESS_CPUS = 0.1
_PROBE_SECONDS = 3.0
_DRAIN_SECONDS = 5.0  # beyond the deadline of the requests that a replica still has when it is to stop
_STUCK_DEADLINES = 4  # of a piece of work that takes longer, nobody waits for the end
_STARTS = 3  # tries to start a replica before the deployment counts as failed
_logger = logging.getLogger("ray.serve")


class PredictionFailed(Exception):
    """A predictor failed unexpectedly; the replica's log says where."""


@serve.deployment
class Predictors:
    """A replica with models of one kind, several at a time: `model` of a request decides (Serve's multiplexing)."""

    async def __init__(self, config: ServeConfig, models: Sequence[ServedModel]) -> None:  # type: ignore[misc]
        """Open and try the models, as many as a replica holds; it is healthy only after that."""
        torch.set_num_threads(config.replicas.threads)
        self._config, self._models = config, {model.name: model for model in models}
        self._metrics = ModelMetrics()
        self._open: WeakSet[OpenModel] = WeakSet()
        for model in models[:MODELS_PER_REPLICA]:
            await self.open_model(model.name)

    @serve.multiplexed(max_num_models_per_replica=MODELS_PER_REPLICA)  # type: ignore[untyped-decorator]
    async def open_model(self, name: str) -> OpenModel:
        """Open a model; Serve keeps it, and sends what is for it to where it is open."""
        config = self._config
        opened = await asyncio.to_thread(OpenModel, self._models[name], config.batch, config.limits, self._metrics)
        self._open.add(opened)
        return opened

    async def predict(self, work: Work) -> bytes:
        """JSON of one `Result` for each document, in order."""
        model: OpenModel = await self.open_model(serve.get_multiplexed_model_id())
        try:
            return await model.predict(work)
        except Exception as error:
            log_failure(_logger, error, work.request_id)
            raise PredictionFailed from None

    async def metrics(self) -> list[Metric]:
        """For Prometheus."""
        return collect(self._metrics.registry, serve.get_replica_context().replica_tag)

    async def check_health(self) -> None:
        """Raise where a model does not come to an end; Serve then starts another replica."""
        longest = _STUCK_DEADLINES * self._config.limits.seconds
        if any(model.batcher.busy_seconds > longest for model in self._open):
            raise RuntimeError(f"a model has been at one batch for more than {longest:g} s")


@serve.deployment
@serve.ingress()
class Ingress(Backend):
    """Reads requests, asks the predictors, writes answers."""

    def __init__(
        self, config: ServeConfig, models: Sequence[ServedModel], predictors: Mapping[str, DeploymentHandle[Any]]
    ) -> None:
        """Read the API keys.

        Raises:
            UserError: they cannot be read.
        """
        self._config, self._models, self._predictors = config, models, predictors
        self._keys, self._metrics = Keys(config.api_keys), IngressMetrics()
        self._full: dict[str, float] = {}  # kind -> when its queue was last found full

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """What Serve calls with HTTP requests."""
        return build_app(self._config, self._models, self._keys, self._metrics, self)

    async def predict(self, model: ServedModel, work: Work) -> bytes:
        """Ask a replica; where it dies over it, ask another one, once: the work has no effects."""
        handle = self._predictors[model.kind].options(multiplexed_model_id=model.name)
        try:
            try:
                return await _ask(handle, work)
            except RayActorError:
                self._metrics.retries.inc()
                return await _ask(handle, work)
        except BackPressureError:
            raise overloaded(full=self._note_full(model.kind)) from None
        except (RayActorError, DeploymentUnavailableError):
            raise unavailable() from None

    def _note_full(self, kind: str) -> bool:
        """Note that the queue of a kind is full; whether those of all kinds are."""
        now = time.monotonic()
        self._full[kind] = now
        return all(now - self._full.get(each, -math.inf) < CLOSED_SECONDS for each in self._predictors)

    async def missing(self) -> list[str]:
        """Names of models that no replica can answer for now."""
        answers = await asyncio.gather(*map(_metrics_of, self._predictors.values()))
        ready = {kind for kind, answer in zip(self._predictors, answers, strict=True) if answer}
        return [model.name for model in self._models if model.kind not in ready]

    async def metrics(self) -> list[list[Metric]]:
        """Of every replica of every deployment."""
        own = serve.get_deployment_handle(_INGRESS, serve.get_replica_context().app_name)
        answers = await asyncio.gather(
            *map(_metrics_of, self._predictors.values()), _metrics_of(own, "metrics_of_replica")
        )
        return [metrics for answer in answers for metrics in answer]

    async def metrics_of_replica(self) -> list[Metric]:
        """Of this ingress."""
        return collect(self._metrics.registry, serve.get_replica_context().replica_tag)


async def _ask(handle: DeploymentHandle[Any], work: Work) -> bytes:
    response = handle.predict.remote(work)
    try:
        results: bytes = await response
    except asyncio.CancelledError:  # the deadline, or the client went away
        response.cancel()  # type: ignore[no-untyped-call]
        raise
    return results


async def _metrics_of(handle: DeploymentHandle[Any], method: str = "metrics") -> list[list[Metric]]:
    """What each replica answers that does so in time."""
    try:
        answers = await handle.broadcast(method).results_async(timeout_s=_PROBE_SECONDS, return_exceptions=True)
    except (TimeoutError, DeploymentUnavailableError, RayActorError):
        return []
    return [answer for answer in answers if not isinstance(answer, BaseException)]


def build(args: dict[str, Any]) -> serve.Application:
    """Make the application of `args`, the fields of `ServeConfig`: what the `import_path` of a Serve file names.

    Raises:
        UserError: a field is wrong, or a model is not there.
    """
    config = read_config(args)
    if config.api_keys is not None:
        config = config.model_copy(update={"api_keys": config.api_keys.resolve()})
    Keys(config.api_keys)  # a wrong file is said here, not by a replica that does not start
    models, replicas = served_models(config), config.replicas
    drain = config.limits.seconds + _DRAIN_SECONDS
    kept: dict[str, Any] = {
        "graceful_shutdown_timeout_s": drain,
        "graceful_shutdown_wait_loop_s": 0.5,
        "max_constructor_retry_count": _STARTS,
        "max_surge_percent": 100,  # a new version is there before the old one goes
        "logging_config": LOG,
    }
    predictors = {
        kind: Predictors.options(  # type: ignore[attr-defined]
            name=kind,
            ray_actor_options={"num_cpus": replicas.cpus, "num_gpus": replicas.gpus},
            autoscaling_config={
                "min_replicas": replicas.min_replicas,
                "max_replicas": replicas.max_replicas,
                "target_ongoing_requests": replicas.target_ongoing_requests,
                "upscale_delay_s": replicas.upscale_delay_s,
                "downscale_delay_s": replicas.downscale_delay_s,
            },
            max_ongoing_requests=replicas.max_ongoing_requests,
            max_queued_requests=replicas.max_queued_requests,
            health_check_period_s=5,
            **kept,
        ).bind(config, [model for model in models if model.kind == kind])
        for kind in dict.fromkeys(model.kind for model in models)
    }
    room = len(predictors) * (replicas.max_replicas * replicas.max_ongoing_requests + replicas.max_queued_requests)
    application: serve.Application = Ingress.options(  # type: ignore[attr-defined]
        name=_INGRESS,
        num_replicas=replicas.ingress_replicas,
        ray_actor_options={"num_cpus": _INGRESS_CPUS},
        max_ongoing_requests=2 * room,  # so that it is the ingress that refuses, and says why
        max_queued_requests=room,
        backpressure_config={"status_code": 503, "retry_after_s": 1.0},
        **kept,
    ).bind(config, models, predictors)
    return application
