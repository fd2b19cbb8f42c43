"""A step is done once for the same inputs, and again for others or where it was not finished."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kpray.cluster.step_cache import StepFolder
from kpray.errors import UserError


def test_a_step_is_done_once(tmp_path: Path) -> None:
    done: list[Path] = []

    def work(folder: Path) -> Mapping[str, Any]:
        done.append(folder)
        return {"rows": len(done)}

    first = StepFolder(tmp_path).do("embed", {"encoder": "a", "rows": [1, 2]}, work)
    again = StepFolder(tmp_path).do("embed", {"rows": [1, 2], "encoder": "a"}, work)
    assert (first.outcome, again.outcome) == ({"rows": 1}, {"rows": 1})
    assert (first.reused, again.reused) == (False, True)
    assert first.folder == again.folder == done[0]
    steps = StepFolder(tmp_path)
    other = steps.do("embed", {"encoder": "b", "rows": [1, 2]}, work)
    assert other.outcome == {"rows": 2}
    assert other.key != first.key
    assert steps.do("search", {"encoder": "b", "rows": [1, 2]}, work).key not in (first.key, other.key)
    assert [line["reused"] for line in steps.log] == [False, False]


def test_what_was_not_finished_is_gone_on_with(tmp_path: Path) -> None:
    def killed(folder: Path) -> Mapping[str, Any]:
        (folder / "half").write_text("done")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StepFolder(tmp_path).do("train", {}, killed)
    step = StepFolder(tmp_path).do("train", {}, lambda folder: {"found": (folder / "half").read_text()})
    assert step.outcome == {"found": "done"}
    assert not step.reused


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        StepFolder(tmp_path / "file").do("train", {}, lambda folder: {})
