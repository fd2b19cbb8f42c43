"""The working folder of an output on a disk. Of one in object storage: in tests/integration."""

from __future__ import annotations

from pathlib import Path

from kpray.cluster.mirror import mirrored, working_folder


def test_a_folder_is_its_own_working_folder(tmp_path: Path) -> None:
    assert working_folder(str(tmp_path / "run")) == tmp_path / "run"
    with mirrored(str(tmp_path / "run")):
        assert not (tmp_path / "run").exists()
