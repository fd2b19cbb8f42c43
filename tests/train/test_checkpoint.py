"""Which checkpoint a training resumes from. test_loop tests the contents of checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from kpray.errors import UserError
from kpray.train.checkpoint import (
    State,
    _digest,
    check_continuable,
    find_checkpoint,
    needs_conversion,
    read_state,
    tidy_checkpoints,
)

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a checkpoint by hand: `make(step, "name", workers=2)`."""

    def write(step: int, name: str = "a", *, workers: int = 2) -> Path:
        folder = tmp_path / f"step-{step:08d}-{name}"
        (folder / "state").mkdir(parents=True)
        state = asdict(State(step=step, best=0.5, best_step=3, workers=workers, zero=1))
        for rank in range(workers):
            file = folder / f"state/{rank}.pt"
            file.write_bytes(bytes([rank, step]))
            manifest = {"files": {f"state/{rank}.pt": _digest(file)}, **({"state": state} if rank == 0 else {})}
            (folder / f"manifest-{rank}.json").write_text(json.dumps(manifest), encoding="utf-8")
        return folder

    return write


def test_no_checkpoint(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path) is None
    assert find_checkpoint(tmp_path / "none") is None
    tidy_checkpoints(tmp_path, None)


def test_newest_checkpoint_has_the_highest_step(make: Make, tmp_path: Path) -> None:
    make(9, "z")
    newest = make(10, "a")
    make(2)
    found = find_checkpoint(tmp_path)
    assert found is not None
    assert found.folder == newest
    assert found.state == State(step=10, best=0.5, best_step=3, workers=2, zero=1)
    assert found.notes() == []


@pytest.mark.parametrize(
    ("name", "contents", "reason"),
    [
        ("state/1.pt", b"\x01\x0b", "state/1.pt: the checkpoint is damaged: the file was changed"),
        ("state/0.pt", b"", "state/0.pt: the checkpoint is damaged: the file was changed"),
        ("state/1.pt", None, "manifest-1.json: the checkpoint is damaged: [Errno 2]"),
        ("manifest-1.json", None, "manifest-1.json: the checkpoint is damaged: [Errno 2]"),
        ("manifest-0.json", b"{", "manifest-0.json: the checkpoint is damaged: Expecting"),
        ("manifest-0.json", b'{"files": {}}', "manifest-0.json: the checkpoint is damaged: 'state'"),
        ("manifest-0.json", b"[]", "manifest-0.json: the checkpoint is damaged: "),
    ],
)
def test_damaged_checkpoint(name: str, contents: bytes | None, reason: str, make: Make, tmp_path: Path) -> None:
    good, bad = make(5), make(10)
    (bad / name).unlink()
    if contents is not None:
        (bad / name).write_bytes(contents)
    with pytest.raises(UserError) as error:
        read_state(bad)
    assert str(error.value).startswith(f"{bad}/{reason}")

    found = find_checkpoint(tmp_path)
    assert found is not None
    assert found.folder == good
    tidy_checkpoints(tmp_path, found)
    [note] = found.notes()
    assert note.startswith(f"{bad}/{reason}")
    assert note.endswith("; training resumes from step 5")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"damaged-{bad.name}", good.name]
    again = find_checkpoint(tmp_path)  # the note appears only once
    assert again is not None
    assert again.notes() == []


def test_all_are_damaged(make: Make, tmp_path: Path) -> None:
    for step in (5, 10):
        (make(step) / "state/0.pt").unlink()
    with pytest.raises(UserError, match=rf"{tmp_path}: all checkpoints are damaged: {tmp_path}/step-00000010-a/.*move"):
        find_checkpoint(tmp_path)
    assert len(list(tmp_path.glob("step-*"))) == 2  # nothing was removed


def test_leftovers_are_removed(make: Make, tmp_path: Path) -> None:
    make(5)
    kept = make(10)
    (tmp_path / ".step-00000015-c.tmp/state").mkdir(parents=True)
    (tmp_path / "checkpoint_manager_snapshot.json").write_text("{}", encoding="utf-8")
    tidy_checkpoints(tmp_path, find_checkpoint(tmp_path))
    assert list(tmp_path.iterdir()) == [kept]


@pytest.mark.parametrize(
    ("state", "workers", "message"),
    [
        (State(zero=1), 1, "run.zero: the checkpoint was made with 1, not 2 (give --run.zero 1, or another --output)"),
        (State(zero=2, precision="fp16"), 1, "run.precision: the checkpoint was made with fp16, not fp32 "),
    ],
)
def test_changed_zero_stage_or_precision(state: State, workers: int, message: str) -> None:
    with pytest.raises(UserError) as error:
        check_continuable(state, workers, 2, "fp32")
    assert str(error.value).startswith(message)


def test_other_numbers_of_workers() -> None:
    for zero, conversion in ((0, False), (1, True), (2, True)):
        check_continuable(State(workers=4, zero=zero), 8, zero, "fp32")
        assert needs_conversion(State(workers=4, zero=zero), 8) is conversion
        assert not needs_conversion(State(workers=4, zero=zero), 4)
    check_continuable(State(workers=4, zero=3), 4, 3, "fp32")
    with pytest.raises(UserError, match=r"run.workers: ZeRO 3 cannot change the number of workers from 4 to 8"):
        check_continuable(State(workers=4, zero=3), 8, 3, "fp32")
