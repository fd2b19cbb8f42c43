"""Configuration of the service: the options of `kpray serve`, and the `args` in serve_config.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from kpray.errors import UserError
from kpray.hub import pin_name
from kpray.registry import KINDS, MethodSections, kind_of, pin_config, predictor_version, section_of
from kpray.settings import Settings, validate_settings

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)


class RequestLimits(Settings):
    """Limits on one request. Too large requests are refused as a whole; too large documents are refused one by one."""

    body_bytes: PositiveInt = 1024 * 1024
    """Maximum size of a request body in bytes."""
    documents: PositiveInt = 64
    """Maximum number of documents per request."""
    characters: PositiveInt = 50_000
    """Maximum length of a document, title and body, in characters."""
    tokens: PositiveInt = 8192
    """Maximum number of tokens per document that the model reads."""
    top: PositiveInt = 100
    """Maximum number of keyphrases per document."""
    seconds: PositiveFloat = 30.0
    """Time limit of a request in seconds, from its first byte. Work on it stops then."""
    characters_per_minute: PositiveInt | None = None
    """Maximum number of characters per minute, in titles and texts, for one API key, or for one address without keys,
    at each ingress replica. A document counts as at least 100 characters. If null, no limit."""

    @model_validator(mode="after")
    def _rate_allows_a_request(self) -> RequestLimits:
        if self.characters_per_minute is not None and self.characters_per_minute < self.body_bytes:
            raise ValueError("limits.characters_per_minute should be at least limits.body_bytes")
        return self


class BatchingConfig(Settings):
    """Batching of documents from several requests. It does not change results."""

    tokens: PositiveInt = 4096
    """Maximum number of tokens in a batch. A longer document is processed alone. Within a batch, the predictor groups
    documents of similar length."""
    documents: PositiveInt = 32
    """Maximum number of documents in a batch. 1 turns batching off."""
    wait_ms: Annotated[float, Field(ge=0)] = 2.0
    """Time that an idle model waits for more documents, in milliseconds."""


class ReplicasConfig(Settings):
    """Replicas, the processes that hold a model, for each kind of predictor."""

    min_replicas: PositiveInt = 1
    """Minimum number of replicas."""
    max_replicas: PositiveInt = 2
    """Maximum number of replicas."""
    target_ongoing_requests: PositiveFloat = 16.0
    """Target number of concurrent requests per replica. Replicas are added when there are more."""
    upscale_delay_s: Annotated[float, Field(ge=0)] = 10.0
    """Seconds above the target before a replica is added."""
    downscale_delay_s: Annotated[float, Field(ge=0)] = 120.0
    """Seconds below the target before a replica is removed."""
    max_ongoing_requests: PositiveInt = 64
    """Maximum number of concurrent requests per replica. It must be at least the documents of a batch."""
    max_queued_requests: PositiveInt = 64
    """Maximum number of requests that wait for a replica. Further requests are refused with status 503."""
    ingress_replicas: PositiveInt = 1
    """Number of processes that read requests and write responses."""
    cpus: Annotated[float, Field(gt=0)] = 0.5
    """Number of CPU cores that Ray reserves for each replica."""
    gpus: Annotated[float, Field(ge=0)] = 0.0
    """Number of GPUs that Ray reserves for each replica. 0.25 puts four replicas on one GPU; 0 runs the model on the
    CPU."""
    threads: PositiveInt = 1
    """Number of threads of the model on a CPU."""


class ServeConfig(MethodSections):
    """Settings of the service."""

    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("samrank", "unikeyphrase")
    """Models to serve, each as NAME=PREDICTOR. Requests choose a model by NAME. PREDICTOR is samrank,
    unikeyphrase (the model that comes with kpray), an id on the Hugging Face hub, or the folder of a saved predictor
    that all nodes see. `samrank` is short for samrank=samrank. The first model is the default."""
    lang: str = "auto"
    """Language of documents without a `lang` field: a code, an English name, or `auto`, which detects it."""
    api_keys: Path | None = None
    """File of API keys, one `name:key` per line. It is read again when it changes. The environment variable
    KPRAY_API_KEYS adds keys, separated by commas. Without any keys, requests need none."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose web pages may send requests, such as https://example.org. Without them, pages of other origins may
    not."""
    hosts: tuple[str, ...] = ()
    """Host names, besides localhost, in requests that arrive at a loopback address; for example the name of a reverse
    proxy on this machine. Other names are refused, because web pages can use them to reach the service (DNS
    rebinding)."""
    proxies: tuple[str, ...] = ()
    """Addresses or networks of reverse proxies, such as 10.0.0.7 or 10.1.0.0/16. Their header X-Forwarded-For gives the
    address of the client; the header of others is ignored."""
    version: str = ""
    """Any text that identifies the deployment. When it changes, the models are reloaded even if their paths are the
    same."""
    limits: RequestLimits = RequestLimits()
    batch: BatchingConfig = BatchingConfig()
    replicas: ReplicasConfig = ReplicasConfig()

    @model_validator(mode="after")
    def _proxies_are_addresses(self) -> ServeConfig:
        for text in self.proxies:
            if not _is_network(text):
                raise ValueError(f"proxies has {text!r}, but needs addresses or networks, such as 10.1.0.0/16")
        return self

    @model_validator(mode="after")
    def _a_replica_takes_a_batch(self) -> ServeConfig:
        replicas = self.replicas
        if replicas.max_replicas < replicas.min_replicas:
            raise ValueError("replicas.max_replicas should be at least replicas.min_replicas")
        if replicas.max_ongoing_requests < self.batch.documents:
            raise ValueError("replicas.max_ongoing_requests should be at least batch.documents")
        return self


def _is_network(text: str) -> bool:
    """Whether a text is the address of a machine or of a network."""
    try:
        return bool(ip_network(text))
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A predictor that is served. All replicas have the same one.

    Attributes:
        name: value of `model` in a request.
        kind: kind of the predictor. All models of a kind are in the same deployment.
        predictor: argument of `open_predictor`. A folder is an absolute path.
        config: its resolved configuration (`pin_config`).
        version: `predictor_version`, to distinguish versions during an update.
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
        predictor = pin_name(predictor)
    version = predictor_version(predictor, pinned, config.version)
    return ServedModel(name, kind_of(predictor), predictor, pinned, version)
