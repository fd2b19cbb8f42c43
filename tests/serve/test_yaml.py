"""Checks serve_config.yaml with Ray's and kpray's models. Ray itself ignores unknown keys."""

from __future__ import annotations

import copy
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from kpray.cluster.ray_compat import PROXY_VARIABLE
from kpray.errors import UserError
from kpray.serve.config import ServeConfig, read_config
from kpray.serve.proxy_middleware import BODY_VARIABLE, PROXY_MIDDLEWARES

FILES = sorted(Path(__file__).parents[2].glob("serve*.yaml"))


def unknown_keys(annotation: Any, value: Any, path: str = "") -> Iterator[str]:
    """Paths of the keys in a value that are not fields of a pydantic model (or of one of several)."""
    members = typing.get_args(annotation)
    models = [m for m in (annotation, *members) if isinstance(m, type) and issubclass(m, pydantic.BaseModel)]
    if isinstance(value, list):
        for index, item in enumerate(value):
            for member in members:
                yield from unknown_keys(member, item, f"{path}[{index}]")
    elif isinstance(value, dict) and models:
        fields = {name: info.annotation for model in models for name, info in model.model_fields.items()}
        for key, inner in value.items():
            if key in fields:
                yield from unknown_keys(fields[key], inner, f"{path}.{key}")
            else:
                yield f"{path}.{key}"


def test_files_are_found() -> None:
    assert [file.name for file in FILES] == ["serve_config.yaml"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_file_is_valid(file: Path) -> None:
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    schema = ServeDeploySchema.model_validate(values)
    assert list(unknown_keys(ServeDeploySchema, values)) == []
    assert schema.http_options.host == "127.0.0.1"  # Serve's default is all addresses
    assert schema.controller_options is not None
    variables = (schema.controller_options.runtime_env or {})["env_vars"]
    body_bytes = int(variables.pop(BODY_VARIABLE))
    assert variables == {PROXY_VARIABLE: PROXY_MIDDLEWARES}
    for application in schema.applications:
        assert application.import_path == "kpray.serve.deployment:build"
        config = read_config(application.args)
        assert config.limits.body_bytes == body_bytes
        assert schema.http_options.request_timeout_s is not None
        assert schema.http_options.request_timeout_s > config.limits.seconds


def test_file_contains_the_defaults() -> None:
    [application] = yaml.safe_load(FILES[0].read_text(encoding="utf-8"))["applications"]
    assert read_config({**application["args"], "version": ""}) == ServeConfig()


@pytest.mark.parametrize(
    ("path", "key", "found"),
    [
        ((), "proxy_locations", ".proxy_locations"),
        (("http_options",), "hosts", ".http_options.hosts"),
        (("logging_config",), "level", ".logging_config.level"),
        (("applications", 0), "imports", ".applications[0].imports"),
    ],
)
def test_unknown_keys_are_found(path: tuple[str | int, ...], key: str, found: str) -> None:
    values = copy.deepcopy(yaml.safe_load(FILES[0].read_text(encoding="utf-8")))
    inner = values
    for step in path:
        inner = inner[step]
    inner[key] = "x"
    assert list(unknown_keys(ServeDeploySchema, values)) == [found]


def test_unknown_arguments_are_refused() -> None:
    [application] = yaml.safe_load(FILES[0].read_text(encoding="utf-8"))["applications"]
    with pytest.raises(UserError, match=r"args: unknown field limits\.document \(did you mean limits\.documents\?\)"):
        read_config({**application["args"], "limits": {"document": 1}})
