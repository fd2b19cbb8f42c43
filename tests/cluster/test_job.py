"""An output folder is bound to the values that its output was made with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kpray.cluster.job import bind_output
from kpray.errors import UserError


def test_output_is_bound_to_its_values_once_there_is_some(tmp_path: Path) -> None:
    assert not bind_output(tmp_path, {"optim": {"lr": 1}}, begun=False)
    assert not bind_output(tmp_path, {"optim": {"lr": 2}, "langs": ("en",)}, begun=False)
    assert bind_output(tmp_path, {"langs": ("en",), "optim": {"lr": 2}}, begun=True)
    before = (tmp_path / "_kpray/manifest.json").read_text("utf-8")
    with pytest.raises(UserError) as error:
        bind_output(tmp_path, {"langs": ("en",), "optim": {"lr": 3}}, begun=True)
    message = f"{tmp_path}: the folder holds output made with optim = {{'lr': 2}}, not {{'lr': 3}} (give another --out"
    assert str(error.value).startswith(message)
    assert (tmp_path / "_kpray/manifest.json").read_text("utf-8") == before


def test_output_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bind_output(tmp_path, {}, begun=False)
    monkeypatch.setattr("kpray.cluster.job.__version__", "another")
    with pytest.raises(UserError, match=r"made with kpray = .*, not 'another'"):
        bind_output(tmp_path, {}, begun=True)


def test_inputs_may_be_added_but_not_change_or_go(tmp_path: Path) -> None:
    a, b = ({"bytes": size, "modified": 1, "sha256": "s"} for size in (1, 2))
    bind_output(tmp_path, {}, begun=False, inputs={"a": a})
    with pytest.raises(UserError, match=f"^{tmp_path}: was started without the input b "):
        bind_output(tmp_path, {}, begun=True, inputs={"b": b, "a": a})
    assert bind_output(tmp_path, {}, begun=True, inputs={"b": b, "a": a}, may_add=True)
    assert json.loads((tmp_path / "_kpray/manifest.json").read_text("utf-8"))["inputs"] == {"a": a, "b": b}
    with pytest.raises(UserError, match=r"^a: the input has changed since this output was started"):
        bind_output(tmp_path, {}, begun=True, inputs={"a": b, "b": b})
    with pytest.raises(UserError, match=f"^{tmp_path}: holds output of the input b, which is not given now"):
        bind_output(tmp_path, {}, begun=True, inputs={"a": a})
    assert bind_output(tmp_path, {}, begun=True, inputs={"b": b, "a": a})
    with pytest.raises(UserError, match=f"^{tmp_path}: was started with the input b before a "):
        bind_output(tmp_path, {}, begun=True, inputs={"a": a, "b": b})


def test_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        bind_output(tmp_path / "file", {}, begun=False)
