"""Ray Serve: an ingress, and a deployment for each kind of predictor (`serve run serve_config.yaml`, `kpray serve`).

A request goes `RequestMiddleware` -> endpoint of `app.py` -> `Ingress.predict` -> `Predictors.predict`, in another
process -> `Batcher.explain` -> predictor.
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

from kpray.serve.api_keys import Keys
from kpray.serve.app import Backend, build_app
from kpray.serve.batching import Batcher
from kpray.serve.config import ServeConfig, ServedModel, read_config, served_models
from kpray.serve.errors import overloaded, unavailable
from kpray.serve.metrics import IngressMetrics, collect
from kpray.serve.proxy_middleware import CLOSED_SECONDS
from kpray.serve.replica import Replica
from kpray.serve.schemas import KeyphrasesRequest

LOG = {"enable_access_log": False}  # Serve's; `RequestMiddleware` writes a line for each request
MODELS_PER_REPLICA = 4  # open at a time; opening another one closes the least recently used

_INGRESS = "ingress"
_INGRESS_CPUS = 0.1
_ATTEMPTS = 2  # at a request whose replica dies
_PROBE_SECONDS = 3.0
_DRAIN_SECONDS = 5.0  # that a replica which stops has for its requests, beyond their deadline
_STARTS = 3  # tries to start a replica before the deployment counts as failed
_logger = logging.getLogger("ray.serve")


@serve.deployment
class Predictors(Replica):
    """A replica with several models of one kind; the router prefers a replica that has a request's model open."""

    async def __init__(self, config: ServeConfig, models: Sequence[ServedModel]) -> None:  # type: ignore[misc]
        """Open and try the models, as many as a replica holds; it is healthy only after that."""
        super().__init__(config, models)
        torch.set_num_threads(config.replicas.threads)
        for model in models[:MODELS_PER_REPLICA]:
            await self.open_model(model.name)

    @serve.multiplexed(max_num_models_per_replica=MODELS_PER_REPLICA)  # type: ignore[untyped-decorator]
    async def open_model(self, name: str) -> Batcher:
        """The open model, or open it: Serve keeps it until `MODELS_PER_REPLICA` others were used since."""
        return await super().open_model(name)

    async def metrics_of_replica(self) -> list[Metric]:
        """Metrics of this replica."""
        return collect(self._metrics, serve.get_replica_context().replica_tag)


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

    async def predict(self, model: ServedModel, request: KeyphrasesRequest, request_id: str) -> bytes:
        """Ask a replica; where it dies meanwhile, ask another one, once: a prediction has no side effects."""
        handle = self._predictors[model.kind].options(multiplexed_model_id=model.name)
        # A subclass that `request_model` made cannot be pickled by reference.
        plain = KeyphrasesRequest.model_construct(**dict(request))
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._metrics.retries.inc()
            response = handle.predict.remote(model.name, plain, request_id)
            try:
                results: bytes = await response
                return results
            except asyncio.CancelledError:  # the deadline, or the client went away
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
        """Note that the queue of a kind is full; whether those of all kinds are."""
        now = time.monotonic()
        self._full[kind] = now
        return all(now - self._full.get(each, -math.inf) < CLOSED_SECONDS for each in self._predictors)

    async def ready(self) -> bool:
        """Whether each kind of predictor has a replica that answers."""
        return all(await asyncio.gather(*map(_metrics_of, self._predictors.values())))

    async def metrics(self) -> list[list[Metric]]:
        """Metrics of every replica of every deployment."""
        ingress = serve.get_deployment_handle(_INGRESS, serve.get_replica_context().app_name)
        answers = await asyncio.gather(*map(_metrics_of, [*self._predictors.values(), ingress]))
        return [metrics for answer in answers for metrics in answer]

    async def metrics_of_replica(self) -> list[Metric]:
        """Metrics of this ingress."""
        return collect(self._metrics, serve.get_replica_context().replica_tag)


async def _metrics_of(handle: DeploymentHandle[Any]) -> list[list[Metric]]:
    """Metrics of each replica that answers in time."""
    try:
        response = handle.broadcast("metrics_of_replica")
        answers = await response.results_async(timeout_s=_PROBE_SECONDS, return_exceptions=True)
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
