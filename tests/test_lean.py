"""What commands put off."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from kpray import lean


@pytest.fixture(autouse=True)
def collect_again() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_no_garbage_is_collected_in_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "own_process", True)
    before = gc.get_freeze_count()
    with lean.uncollected():
        with lean.uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before


def test_an_error_in_the_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "own_process", True)
    with pytest.raises(ZeroDivisionError), lean.uncollected():
        _ = 1 / 0
    assert gc.isenabled()


def test_a_program_that_imports_kpray_collects_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "own_process", False)
    before = gc.get_freeze_count()
    with lean.uncollected():
        assert gc.isenabled()
    assert gc.get_freeze_count() == before
