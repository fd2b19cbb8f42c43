"""The working folder of a local output folder. tests/integration tests outputs in object storage."""

from __future__ import annotations

from pathlib import Path

from kpray.cluster.mirror import mirrored, working_folder


def test_a_local_folder_is_the_working_folder(tmp_path: Path) -> None:
    assert working_folder(str(tmp_path / "run")) == tmp_path / "run"
    with mirrored(str(tmp_path / "run")):
        (file,) = (file for file in (tmp_path / "run").rglob("*") if file.is_file())
        assert file.parent == tmp_path / "run/_kpray/.owner"
