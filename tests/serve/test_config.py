"""The schema that the YAML file and the command line share, and its errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kpray.errors import UserError
from kpray.registry import pin_config, predictor_version
from kpray.serve.config import ServeConfig, read_config, served_models
from kpray.settings import parse_settings


def test_the_models_that_come_with_kpray_are_served_by_default() -> None:
    for model, name in zip(served_models(ServeConfig()), ("samrank", "unikeyphrase"), strict=True):
        assert (model.name, model.kind, model.predictor) == (name, name, name)


def test_command_line_and_file_give_the_same_configuration() -> None:
    args = {"models": ["fast=samrank"], "limits": {"documents": 3}, "samrank": {"heads": ["4-12"]}}
    options = ["--models", "fast=samrank", "--limits.documents", "3", "--samrank.heads", "4-12"]
    assert parse_settings(ServeConfig, options, prog="kpray serve", description="") == read_config(args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"modls": ["samrank"]}, "args: unknown field modls (did you mean models?)"),
        ({"limits": {"document": 3}}, "args: unknown field limits.document (did you mean limits.documents?)"),
        ({"limits": {"documents": 0}}, "args: limits.documents is 0 (it should be greater than 0)"),
        ({"models": []}, "args: models is []"),
        ({"replicas": {"min_replicas": 3}}, "args: replicas.max_replicas should be at least replicas.min_replicas"),
        ({"batch": {"documents": 65}}, "args: replicas.max_ongoing_requests should be at least batch.documents"),
        (
            {"limits": {"characters_per_minute": 10}},
            "args: limits.characters_per_minute should be at least limits.body_bytes",
        ),
        ({"proxies": ["10.0.0.1/8"]}, "args: proxies has '10.0.0.1/8', but needs addresses or networks"),
        ({"proxies": ["10.0.0.0/8", "*"]}, "args: proxies has '*', but needs addresses or networks"),
    ],
)
def test_wrong_values(args: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        read_config(args)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["/somewhere/model"], "models: '/somewhere/model' has no name (write NAME=FOLDER)"),
        (["a b=samrank"], "models: 'a b' is not a valid name of a model"),
        (["samrank", "samrank=samrank"], "models: two models are called 'samrank'"),
        (["mine=/no/such/folder"], "predictor: '/no/such/folder' is not a predictor"),
        (["ramkg"], "predictor: 'ramkg' must be trained first"),
    ],
)
def test_wrong_models(models: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        served_models(read_config({"models": models}))
    assert str(error.value).startswith(message)


def test_section_of_a_predictor_that_is_not_served() -> None:
    with pytest.raises(UserError, match=r"unikeyphrase.dtype is set, but the predictor 'samrank' is of the kind"):
        served_models(read_config({"models": ["samrank"], "unikeyphrase": {"dtype": "bfloat16"}}))


def test_models_that_predict_differently_have_different_versions() -> None:
    def version(**args: Any) -> str:
        return served_models(read_config(args))[0].version

    assert version() == version(limits={"documents": 2})
    assert len({version(), version(samrank={"heads": ["4-12"]}), version(version="2")}) == 3


def test_a_served_model_has_the_version_that_the_command_line_shows() -> None:
    [model, _] = served_models(read_config({"samrank": {"heads": ["4-12"]}}))
    assert model.version == predictor_version("samrank", pin_config("samrank", {"heads": ["4-12"]}))


def test_folder_of_a_model_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_samrank: dict[str, Any]
) -> None:
    from kpray.registry import open_predictor

    open_predictor("samrank", tiny_samrank).save(tmp_path / "saved")
    monkeypatch.chdir(tmp_path)
    first, second = served_models(read_config({"models": ["samrank", "mine=saved"], "samrank": tiny_samrank}))
    assert first.predictor == "samrank"
    assert second.predictor == str(tmp_path / "saved")
