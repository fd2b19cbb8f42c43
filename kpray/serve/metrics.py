"""What Prometheus is told. No metric has a label that says who asked, or what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_DOCUMENTS = (1, 2, 4, 8, 16, 32, 64, 128)
_TOKENS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class IngressMetrics:
    """Counted where requests come in."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("kpray_requests", "Answered requests.", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "kpray_request_seconds",
            "From a request's first byte to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.ongoing = Gauge("kpray_ongoing_requests", "Requests that are not answered yet.", registry=self.registry)
        self.rejects = Counter("kpray_rejects", "Refused requests, by error code.", ["code"], registry=self.registry)
        self.retries = Counter(
            "kpray_retries", "Requests that were tried again since a replica died.", registry=self.registry
        )


class ModelMetrics:
    """Counted where the models are."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.documents = Counter(
            "kpray_documents", "Documents: ok, or the error's code.", ["model", "outcome"], registry=self.registry
        )
        self.tokens = Counter("kpray_tokens", "Tokens that the model read.", ["model"], registry=self.registry)
        self.batch_documents = Histogram(
            "kpray_batch_documents", "Documents of a batch.", ["model"], buckets=_DOCUMENTS, registry=self.registry
        )
        self.batch_tokens = Histogram(
            "kpray_batch_tokens", "Tokens of a batch.", ["model"], buckets=_TOKENS, registry=self.registry
        )
        self.batch_seconds = Histogram(
            "kpray_batch_seconds", "Time of a batch in the model.", ["model"], buckets=_SECONDS, registry=self.registry
        )
        self.queue = Gauge(
            "kpray_queue_documents", "Documents that wait for the model.", ["model"], registry=self.registry
        )


def collect(registry: CollectorRegistry, replica: str) -> list[Metric]:
    """What a registry holds, each sample with the replica that it is of."""
    metrics = list(registry.collect())
    for metric in metrics:
        metric.samples = [sample._replace(labels={**sample.labels, "replica": replica}) for sample in metric.samples]
    return metrics


@dataclass
class _Merged:
    """Metrics of several replicas, those of one name together, as the format wants them."""

    metrics: dict[str, Metric] = field(default_factory=dict)

    def collect(self) -> Iterator[Metric]:
        yield from self.metrics.values()


def exposition(replicas: Iterable[Sequence[Metric]]) -> bytes:
    """Metrics of all replicas in Prometheus' text format."""
    merged = _Merged()
    for metric in (metric for metrics in replicas for metric in metrics):
        known = merged.metrics.setdefault(metric.name, metric)
        if known is not metric:
            known.samples += metric.samples
    return generate_latest(merged)
