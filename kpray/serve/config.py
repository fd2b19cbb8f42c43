"""Configuration of the service: the options of `kpray serve`, and the `args` in serve_config.yaml."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from kpray.errors import UserError
from kpray.registry import KINDS, MethodSections, kind_of, pin_config, section_of
from kpray.settings import Settings, validate_settings

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)


class RequestLimits(Settings):
    """What one request may ask for. A request beyond them is refused; of documents beyond them, each by itself."""

    body_bytes: PositiveInt = 1024 * 1024
    """Largest body of a request."""
    documents: PositiveInt = 64
    """Most documents of a request."""
    characters: PositiveInt = 50_000
    """Longest text of a document, title and body."""
    tokens: PositiveInt = 8192
    """Most tokens of a document that the model reads."""
    top: PositiveInt = 100
    """Most keyphrases of a document."""
    seconds: PositiveFloat = 30.0
    """Deadline of a request, from its first byte; then the work for it stops."""
    documents_per_minute: PositiveInt | None = None
    """Most documents a minute of one API key, or of one address where there are no keys, at each ingress replica;
    null: any number."""

    @model_validator(mode="after")
    def _rate_allows_a_request(self) -> RequestLimits:
        if self.documents_per_minute is not None and self.documents_per_minute < self.documents:
            raise ValueError("limits.documents_per_minute should be at least limits.documents")
        return self


class BatchingConfig(Settings):
    """Which documents, of whatever requests, go through a model together; results do not depend on it."""

    tokens: PositiveInt = 4096
    """Most tokens of a batch, or one document; within it the predictor itself puts together what is of like length."""
    documents: PositiveInt = 32
    """Most documents of a batch; 1: no batching."""
    wait_ms: Annotated[float, Field(ge=0)] = 2.0
    """How long an idle model waits for more documents, in milliseconds."""


class ReplicasConfig(Settings):
    """Processes with a model, of each kind of predictor."""

    min_replicas: PositiveInt = 1
    """Fewest replicas."""
    max_replicas: PositiveInt = 2
    """Most replicas."""
    target_ongoing_requests: PositiveFloat = 16.0
    """Requests that a replica is to have at a time; with more, replicas are added."""
    upscale_delay_s: Annotated[float, Field(ge=0)] = 10.0
    """Seconds for which it must be more before a replica is added."""
    downscale_delay_s: Annotated[float, Field(ge=0)] = 120.0
    """Seconds for which it must be fewer before one is taken away."""
    max_ongoing_requests: PositiveInt = 64
    """Most requests that a replica has at a time; at least a batch."""
    max_queued_requests: PositiveInt = 64
    """Most requests that wait for a replica; others are refused with 503."""
    ingress_replicas: PositiveInt = 1
    """Processes that read requests and write answers."""
    cpus: Annotated[float, Field(gt=0)] = 0.5
    """Cores that Ray sets aside for a replica."""
    gpus: Annotated[float, Field(ge=0)] = 0.0
    """GPUs that Ray sets aside for a replica: 0.25 puts four on one; 0: CPU."""
    threads: PositiveInt = 1
    """Threads of the model on a CPU."""


class ServeConfig(MethodSections):
    """What is served, and how."""

    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("samrank",)
    """Each `NAME=PREDICTOR`: the `model` of a request, and samrank or the folder of a saved predictor (all nodes see it
    under the same path); `samrank` alone is its own name. The first is the default."""
    lang: str = "en"
    """Language of documents that name none."""
    api_keys: Path | None = None
    """File of API keys, a line `name:key` each, read again when it changes. Those of the environment variable
    KPRAY_API_KEYS, with commas between them, count too. Where there is neither, no key is asked for."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may ask (`https://example.org`); none: no page of another origin."""
    version: str = ""
    """Any text: when it changes, a new deployment opens its models anew, though the paths are the same."""
    limits: RequestLimits = RequestLimits()
    batch: BatchingConfig = BatchingConfig()
    replicas: ReplicasConfig = ReplicasConfig()

    @model_validator(mode="after")
    def _a_replica_takes_a_batch(self) -> ServeConfig:
        replicas = self.replicas
        if replicas.max_replicas < replicas.min_replicas:
            raise ValueError("replicas.max_replicas should be at least replicas.min_replicas")
        if replicas.max_ongoing_requests < self.batch.documents:
            raise ValueError("replicas.max_ongoing_requests should be at least batch.documents")
        return self


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A predictor that is served. All replicas have the same one.

    Attributes:
        name: value of `model` in a request.
        kind: kind of the predictor. All models of a kind are in the same deployment.
        predictor: argument of `open_predictor`. A folder is an absolute path.
        config: its resolved configuration (`pin_config`).
        version: digest of everything that its predictions depend on, to distinguish versions during an update.
    """

    name: str
    kind: str
    predictor: str
    config: dict[str, Any]
    version: str


def read_config(args: Mapping[str, Any]) -> ServeConfig:
    """Read the configuration from `args` in a YAML file of Ray Serve.

    Raises:
        UserError: a field is wrong. The error names the field, its value and what it should be.
    """
    return validate_settings(ServeConfig, args, where="args")


def served_models(config: ServeConfig) -> tuple[ServedModel, ...]:
    """The models of a configuration, with resolved configurations.

    Raises:
        UserError: a name or a predictor is wrong.
    """
    named: dict[str, str] = {}
    for text in config.models:
        name, equals, predictor = text.partition("=")
        if not equals and name not in KINDS:
            raise UserError(f"{text!r} has no name", where="models", fix="write NAME=FOLDER")
        if not _NAME.fullmatch(name):
            raise UserError(
                f"{name!r} is not a valid name of a model", where="models", fix="use letters, digits, '.', '_', '-'"
            )
        if name in named:
            raise UserError(f"two models are called {name!r}", where="models", fix="give them different names")
        named[name] = predictor or name
    return tuple(
        _pin(name, predictor, config, [other for other in named.values() if other != predictor])
        for name, predictor in named.items()
    )


def _pin(name: str, predictor: str, config: ServeConfig, others: list[str]) -> ServedModel:
    pinned = pin_config(predictor, section_of(predictor, config, others))
    if predictor not in KINDS:  # the current folder of replicas differs
        predictor = str(Path(predictor).resolve())
    depends_on = json.dumps([kind_of(predictor), predictor, pinned, config.version], sort_keys=True)
    version = hashlib.sha256(depends_on.encode()).hexdigest()[:12]
    return ServedModel(name, kind_of(predictor), predictor, pinned, version)
