"""How preflight judges the answer of a node, and whether workers fit. tests/integration asks real nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kpray.cluster.preflight import _check_answer, _shared_file, _unreadable, check_room
from kpray.errors import UserError
from kpray.versions import versions

NODES = [{"CPU": 0.0}, {"CPU": 4.0}, {"CPU": 4.0, "GPU": 2.0}]


def answer(**other: Any) -> dict[str, Any]:
    return {"versions": versions(), "write": "", "shared": True, "models": {"/model": ""}, "bfloat16": False, **other}


def test_good_answer() -> None:
    _check_answer(answer(), "10.0.0.2", Path("/output"))


def test_torch_may_be_built_for_another_device() -> None:
    torch = versions()["torch"].partition("+")[0]
    _check_answer(answer(versions={**versions(), "torch": f"{torch}+cu130"}), "10.0.0.2", Path("/output"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"versions": {**versions(), "torch": "2.0.0"}},
            r"10\.0\.0\.2: the node has torch 2\.0\.0, but this machine has 2",
        ),
        ({"versions": {"python": versions()["python"]}}, "the node has kpray none, but this machine has"),
        ({"write": "Read-only file system"}, "cannot write to /output: Read-only file system .*mount the folder on"),
        ({"shared": False}, "does not share the folder /output with this machine .*--output that all nodes share"),
        ({"models": {"/model": "No such file or directory"}}, "cannot read the model /model: No such file"),
    ],
)
def test_bad_answer(other: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _check_answer(answer(**other), "10.0.0.2", Path("/output"))


def test_a_processor_without_bfloat16() -> None:
    message = r"10\.0\.0\.2: the job computes in bfloat16, for which the node's processor has no instructions \(set"
    with pytest.raises(UserError, match=message):
        _check_answer(answer(), "10.0.0.2", Path("/output"), bfloat16=True)
    _check_answer(answer(bfloat16=True), "10.0.0.2", Path("/output"), bfloat16=True)


def test_room() -> None:
    check_room(8, {"CPU": 1}, NODES, "batch")
    check_room(2, {"CPU": 2, "GPU": 1}, NODES, "batch")
    check_room(8, {"CPU": 0.5, "GPU": 0.25}, NODES, "batch")


@pytest.mark.parametrize(
    ("workers", "needs", "message"),
    [
        (
            9,
            {"CPU": 1},
            r"batch: 9 workers of 1 cores each need 9 cores, and 8 fit on .*\(; 4 cores; 4 cores and 2 GPUs\)",
        ),
        (2, {"CPU": 3, "GPU": 1}, "2 workers of 3 cores and 1 GPUs each need 6 cores and 2 GPUs, and 1 fit"),
        (1, {"CPU": 5}, "and 0 fit"),  # 8 cores in total, but no node has 5
    ],
)
def test_no_room(workers: int, needs: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_room(workers, needs, NODES, "batch")


def test_shared_file_is_removed_at_the_end(tmp_path: Path) -> None:
    with _shared_file(tmp_path / "new") as file:
        assert file
        assert file.exists()
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"), _shared_file(tmp_path / "file"):
        pass
    with _shared_file(None) as nothing:
        assert nothing is None


def test_model_that_cannot_be_read(tmp_path: Path) -> None:
    assert _unreadable(str(tmp_path / "absent")) == "No such file or directory"
    assert _unreadable(str(tmp_path)) == "the folder is empty"
    (tmp_path / "config.json").touch()
    assert _unreadable(str(tmp_path)) == ""
