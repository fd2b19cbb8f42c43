"""Requests made up from /openapi.json, valid and not: what comes back is what the schema says, and never a 5xx."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.cluster.serving.conftest import Service


@pytest.fixture(scope="module")
def interface(tiny_samrank: dict[str, Any]) -> OpenApiSchema:
    service = Service({"samrank": tiny_samrank}, {})
    return schemathesis.openapi.from_asgi("/openapi.json", service.app)


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/keyphrases"), ("GET", "/v1/models"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")],
)
def test_answers_are_as_described(method: str, path: str, mode: GenerationMode, interface: OpenApiSchema) -> None:
    try:
        cases = interface[path][method].as_strategy(generation_mode=mode)
    except Unsatisfiable:
        pytest.skip("nothing about this one can be wrong")

    @hypothesis.given(case=cases)
    @hypothesis.settings(max_examples=15, suppress_health_check=list(hypothesis.HealthCheck))
    def ask(case: schemathesis.Case[Any]) -> None:
        assert case.call_and_validate().status_code < 500

    ask()
