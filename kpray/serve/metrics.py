"""Prometheus metrics of the service. No label contains the client or text of a request.

Each replica has a registry. The ingress that answers `GET /metrics` collects the metrics of all replicas. The
multiprocess mode of prometheus_client would merge only files of one node, and `ray.serve.metrics` exports each node at
another port, with other names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from types import SimpleNamespace

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_DOCUMENTS = (1, 2, 4, 8, 16, 32, 64, 128)
_TOKENS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class IngressMetrics(CollectorRegistry):
    """Metrics of an ingress replica."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = Counter("kpray_requests", "Requests with a response.", ["route", "status"], registry=self)
        seconds = "Time from the first byte of a request to its response."
        self.seconds = Histogram("kpray_request_seconds", seconds, ["route"], buckets=_SECONDS, registry=self)
        self.ongoing = Gauge("kpray_ongoing_requests", "Requests without a response yet.", registry=self)
        self.rejects = Counter("kpray_rejects", "Refused requests, by error code.", ["code"], registry=self)
        self.retries = Counter("kpray_retries", "Requests that were retried because a replica died.", registry=self)


class ModelMetrics(CollectorRegistry):
    """Metrics of a replica with models."""

    def __init__(self) -> None:
        super().__init__()
        outcomes, tokens = "Documents, by outcome: ok, or the error code.", "Tokens that the model has read."
        self.documents = Counter("kpray_documents", outcomes, ["model", "outcome"], registry=self)
        self.tokens = Counter("kpray_tokens", tokens, ["model"], registry=self)
        self.batch_documents = self._histogram("kpray_batch_documents", "Documents per batch.", _DOCUMENTS)
        self.batch_tokens = self._histogram("kpray_batch_tokens", "Tokens per batch.", _TOKENS)
        self.batch_seconds = self._histogram("kpray_batch_seconds", "Time of the model per batch.", _SECONDS)
        self.queue = Gauge("kpray_queue_documents", "Documents waiting for the model.", ["model"], registry=self)

    def _histogram(self, name: str, help_text: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, help_text, ["model"], buckets=buckets, registry=self)

    def observe_batch(self, model: str, documents: int, tokens: int, seconds: float) -> None:
        """Record a finished batch of a model."""
        self.batch_documents.labels(model).observe(documents)
        self.batch_tokens.labels(model).observe(tokens)
        self.batch_seconds.labels(model).observe(seconds)
        self.tokens.labels(model).inc(tokens)


def collect(registry: CollectorRegistry, replica: str) -> list[Metric]:
    """All metrics of a registry. Each sample gets the label `replica`."""
    metrics = list(registry.collect())
    for metric in metrics:
        metric.samples = [sample._replace(labels={**sample.labels, "replica": replica}) for sample in metric.samples]
    return metrics


def exposition(replicas: Iterable[Sequence[Metric]]) -> bytes:
    """Metrics of all replicas in Prometheus' text format. The format requires samples of one name to be together."""
    merged: dict[str, Metric] = {}
    for metric in chain.from_iterable(replicas):
        if metric.name in merged:
            merged[metric.name].samples += metric.samples
        else:
            merged[metric.name] = metric
    return generate_latest(SimpleNamespace(collect=merged.values))
