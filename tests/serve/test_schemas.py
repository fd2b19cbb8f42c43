"""Valid and invalid requests generated from /openapi.json. Responses must match the schema and never be a 5xx."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.serve.service import Service


@pytest.fixture(scope="module")
def interface(tiny_samrank: dict[str, Any]) -> OpenApiSchema:
    service = Service({"samrank": tiny_samrank}, {})
    return schemathesis.openapi.from_asgi("/openapi.json", service.app)


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        ("POST", "/v1/keyphrases", GenerationMode.POSITIVE),
        ("POST", "/v1/keyphrases", GenerationMode.NEGATIVE),
        ("GET", "/v1/models", GenerationMode.POSITIVE),
        ("GET", "/healthz", GenerationMode.POSITIVE),
        ("GET", "/readyz", GenerationMode.POSITIVE),
        ("GET", "/metrics", GenerationMode.POSITIVE),
    ],
)
def test_responses_match_the_schema(method: str, path: str, mode: GenerationMode, interface: OpenApiSchema) -> None:
    @hypothesis.given(case=interface[path][method].as_strategy(generation_mode=mode))
    @hypothesis.settings(max_examples=25, suppress_health_check=list(hypothesis.HealthCheck))
    def ask(case: schemathesis.Case[Any]) -> None:
        assert case.call_and_validate().status_code < 500

    ask()
