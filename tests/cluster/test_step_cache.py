"""A step runs once for the same inputs. It runs again for other inputs, or if it was not finished."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kpray.cluster.step_cache import StepCache, step_key
from kpray.errors import UserError


def test_a_step_is_done_once(tmp_path: Path) -> None:
    done: list[Path] = []

    def work(folder: Path) -> Mapping[str, Any]:
        done.append(folder)
        return {"rows": len(done)}

    first = StepCache(tmp_path).do("embed", {"encoder": "a", "rows": [1, 2]}, work)
    again = StepCache(tmp_path).do("embed", {"rows": [1, 2], "encoder": "a"}, work)
    assert (first.outcome, again.outcome) == ({"rows": 1}, {"rows": 1})
    assert (first.reused, again.reused) == (False, True)
    assert first.folder == again.folder == done[0]
    steps = StepCache(tmp_path)
    other = steps.do("embed", {"encoder": "b", "rows": [1, 2]}, work)
    assert other.outcome == {"rows": 2}
    assert other.key != first.key
    assert steps.do("search", {"encoder": "b", "rows": [1, 2]}, work).key not in (first.key, other.key)


def test_an_unfinished_step_is_continued(tmp_path: Path) -> None:
    def killed(folder: Path) -> Mapping[str, Any]:
        (folder / "half").write_text("done")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StepCache(tmp_path).do("train", {}, killed)
    assert StepCache(tmp_path).find("train", {}) is None
    step = StepCache(tmp_path).do("train", {}, lambda folder: {"found": (folder / "half").read_text()})
    assert step.outcome == {"found": "done"}
    assert not step.reused


def test_begin_and_finish(tmp_path: Path) -> None:
    steps, inputs = StepCache(tmp_path), {"lr": 0.1}
    folder = steps.begin("trial", inputs)
    key = step_key("trial", inputs)
    assert folder == steps.folder_of("trial", key) == tmp_path / f"trial-{key}"
    assert steps.inputs("trial", key).items() >= inputs.items()
    assert steps.find("trial", inputs) is None
    finished = steps.finish("trial", inputs, {"score": 1})
    assert (finished.folder, finished.key, finished.outcome, finished.reused) == (folder, key, {"score": 1}, False)
    found = steps.find("trial", inputs)
    assert found is not None
    assert (found.folder, found.key, found.outcome, found.reused) == (folder, key, {"score": 1}, True)
    assert steps.begin("trial", inputs) == folder  # a finished step stays finished
    assert steps.find("trial", inputs) is not None


def test_another_version_is_another_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = StepCache(tmp_path).do("train", {}, lambda _: {})
    assert json.loads((before.folder / "inputs.json").read_text("utf-8")).keys() == {"kpray", "step"}
    monkeypatch.setattr("kpray.cluster.step_cache.__version__", "another")
    assert StepCache(tmp_path).find("train", {}) is None


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        StepCache(tmp_path / "file").do("train", {}, lambda folder: {})
