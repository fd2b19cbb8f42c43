"""The Ray Serve application: an ingress, and one deployment for each kind of predictor.

`kpray serve` and `serve run serve_config.yaml` start it. The path of a request is: `RequestMiddleware` -> endpoint in
`app.py` -> `Ingress.predict` -> `Predictors.predict` (in another process) -> `Batcher.explain` -> predictor.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from prometheus_client import Metric
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from kpray.cluster.ray_compat import open_no_port
from kpray.serve.api_keys import Keys
from kpray.serve.app import Backend, build_app
from kpray.serve.batching import Batcher
from kpray.serve.config import ServeConfig, ServedModel, read_config, served_models
from kpray.serve.errors import overloaded, unavailable
from kpray.serve.metrics import IngressMetrics, collect
from kpray.serve.proxy_middleware import CLOSED_SECONDS
from kpray.serve.replica import Replica
from kpray.serve.schemas import KeyphrasesRequest

LOG = {"enable_access_log": False}  # `RequestMiddleware` logs requests instead of Serve
MODELS_PER_REPLICA = 4  # maximum number of open models; opening one more closes the least recently used

_INGRESS = "ingress"
_INGRESS_CPUS = 0.1
_ATTEMPTS = 2  # per request, if its replica dies
_PROBE_SECONDS = 3.0
_DRAIN_SECONDS = 5.0  # extra time, after the deadline of its requests, for a replica that stops
_STARTS = 3  # attempts to start a replica before the deployment has failed
_logger = logging.getLogger("ray.serve")


@serve.deployment
class Predictors(Replica):
    """A replica with several models of one kind. The router prefers replicas that have the requested model open."""

    async def __init__(self, config: ServeConfig, models: Sequence[ServedModel]) -> None:  # type: ignore[misc]
        """Open and warm up as many models as a replica can hold. The replica is healthy only after that."""
        open_no_port()
        super().__init__(config, models)
        torch.set_num_threads(config.replicas.threads)
        for model in models[:MODELS_PER_REPLICA]:
            await self.open_model(model.name)

    @serve.multiplexed(max_num_models_per_replica=MODELS_PER_REPLICA)  # type: ignore[untyped-decorator]
    async def open_model(self, name: str) -> Batcher:
        """Return the model, and open it if needed. Serve closes the least recently used model."""
        return await super().open_model(name)

    async def metrics_of_replica(self) -> list[Metric]:
        """Metrics of this replica."""
        return collect(self._metrics, serve.get_replica_context().replica_tag)


@serve.deployment
@serve.ingress()
class Ingress(Backend):
    """Reads requests, calls the predictors, and writes responses."""

    def __init__(
        self, config: ServeConfig, models: Sequence[ServedModel], predictors: Mapping[str, DeploymentHandle[Any]]
    ) -> None:
        """Read the API keys.

        Args:
            config: configuration of the service.
            models: the models that a request can name.
            predictors: kind of predictor -> handle of its deployment.

        Raises:
            UserError: the API keys cannot be read.
        """
        open_no_port()
        self._config, self._models, self._predictors = config, models, predictors
        self._keys, self._metrics = Keys(config.api_keys), IngressMetrics()
        self._full: dict[str, float] = {}  # kind -> time when its queue was last full

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Build the application that Serve calls with HTTP requests."""
        return build_app(self._config, self._models, self._keys, self._metrics, self)

    async def predict(self, model: ServedModel, request: KeyphrasesRequest, request_id: str, client: str) -> bytes:
        """Call a replica. If it dies, call another one, because predictions have no side effects.

        Raises:
            ApiError: the queue is full, or no replica is available.
        """
        handle = self._predictors[model.kind].options(multiplexed_model_id=model.name)
        # The subclass made by `request_model` cannot be pickled by reference.
        plain = KeyphrasesRequest.model_construct(**dict(request))
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._metrics.retries.inc()
            response = handle.predict.remote(model.name, plain, request_id, client)
            try:
                results: bytes = await response
                return results
            except asyncio.CancelledError:  # the deadline has passed, or the client has disconnected
                response.cancel()  # type: ignore[no-untyped-call]
                raise
            except BackPressureError:
                raise overloaded(full=self._note_full(model.kind)) from None
            except DeploymentUnavailableError:
                break
            except RayActorError:
                continue
        raise unavailable()

    def _note_full(self, kind: str) -> bool:
        """Record that the queue of a kind is full. Returns whether the queues of all kinds are full."""
        now = time.monotonic()
        self._full[kind] = now
        return all(now - self._full.get(each, -math.inf) < CLOSED_SECONDS for each in self._predictors)

    async def ready(self) -> bool:
        """Whether every kind of predictor has a replica that answers."""
        return all(await asyncio.gather(*map(_metrics_of, self._predictors.values())))

    async def metrics(self) -> list[list[Metric]]:
        """Metrics of all replicas of all deployments, one list per replica."""
        ingress = serve.get_deployment_handle(_INGRESS, serve.get_replica_context().app_name)
        answers = await asyncio.gather(*map(_metrics_of, [*self._predictors.values(), ingress]))
        return [metrics for answer in answers for metrics in answer]

    async def metrics_of_replica(self) -> list[Metric]:
        """Metrics of this ingress."""
        return collect(self._metrics, serve.get_replica_context().replica_tag)


async def _metrics_of(handle: DeploymentHandle[Any]) -> list[list[Metric]]:
    """Metrics of the replicas that answer in time, one list per replica."""
    try:
        response = handle.broadcast("metrics_of_replica")
        answers = await response.results_async(timeout_s=_PROBE_SECONDS, return_exceptions=True)
    except (TimeoutError, DeploymentUnavailableError, RayActorError):
        return []
    return [answer for answer in answers if not isinstance(answer, BaseException)]


def build(args: dict[str, Any]) -> serve.Application:
    """Make the application. `import_path` in serve_config.yaml names this function.

    Args:
        args: fields of `ServeConfig`.

    Raises:
        UserError: a field is wrong, or a model does not exist.
    """
    config = read_config(args)
    if config.api_keys is not None:
        config = config.model_copy(update={"api_keys": config.api_keys.resolve()})
    Keys(config.api_keys)  # report a wrong file here, not by replicas that fail to start
    models, replicas = served_models(config), config.replicas
    drain = config.limits.seconds + _DRAIN_SECONDS
    kept: dict[str, Any] = {
        "graceful_shutdown_timeout_s": drain,
        "graceful_shutdown_wait_loop_s": 0.5,
        "max_constructor_retry_count": _STARTS,
        "max_surge_percent": 100,  # start a new version before the old one stops
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
        max_ongoing_requests=2 * room,  # so that the ingress, not Serve, refuses requests, with a reason
        max_queued_requests=room,
        backpressure_config={"status_code": 503, "retry_after_s": 1.0},
        **kept,
    ).bind(config, models, predictors)
    return application
