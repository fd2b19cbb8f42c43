"""Parsing of locations; files and folders are written whole or not at all. tests/integration has tests on a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from kpray.errors import UserError
from kpray.storage import ObjectPath, is_object, location, recover_folder, whole_file, whole_folder


@pytest.mark.parametrize(
    ("name", "object"), [("s3://bucket/a", True), ("gs://b", True), ("s3:/a", False), ("a/s3", False), ("/a", False)]
)
def test_what_is_in_object_storage(name: str, object: bool) -> None:
    assert is_object(name) == object
    assert isinstance(location(name), ObjectPath if object else Path)


@pytest.mark.parametrize("name", ["s3://", "s3:///folder"])
def test_name_without_a_bucket(name: str) -> None:
    with pytest.raises(UserError, match="the bucket is missing"):
        location(name)


def test_unsupported_scheme() -> None:
    with pytest.raises(UserError, match="hdfs:// is not supported"):
        location("hdfs://host/folder")


def test_a_failed_write_leaves_the_file_unchanged(tmp_path: Path) -> None:
    def write(text: str, fails: bool) -> None:
        with whole_file(tmp_path / "file") as unfinished:
            unfinished.write_text(text)
            assert unfinished.name.startswith(".")  # readers of folders skip hidden files
            if fails:
                raise OSError(28, "No space left on device")

    write("1", fails=False)
    with pytest.raises(OSError, match="No space left"):
        write("2", fails=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "1"
    write("3", fails=False)
    assert (tmp_path / "file").read_text() == "3"


def write_folder(folder: Path, text: str, fails: bool = False) -> None:
    with whole_folder(folder) as unfinished:
        assert unfinished.name.startswith(".")
        (unfinished / "below").mkdir()
        (unfinished / "below/weights").write_text(text)
        if fails:
            raise OSError(28, "No space left on device")


def test_a_failed_write_leaves_the_folder_unchanged(tmp_path: Path) -> None:
    folder = tmp_path / "best [1]"  # the name must not be read as a pattern
    for text in ("1", "2"):
        write_folder(folder, text)
        assert (folder / "below/weights").read_text() == text
    (folder / "more").touch()
    with pytest.raises(OSError, match="No space left"):
        write_folder(folder, "3", fails=True)
    assert (folder / "below/weights").read_text() == "2"
    assert list(tmp_path.iterdir()) == [folder]
    write_folder(folder, "4")
    assert not (folder / "more").exists()  # the folder was replaced, not merged


def test_a_folder_is_recovered_after_a_kill(tmp_path: Path) -> None:
    folder, other = tmp_path / "best [1]", tmp_path / ".best [1]more.ab.tmp"
    other.mkdir()
    write_folder(folder, "2")
    folder.rename(tmp_path / f".{folder.name}.old")  # a kill between the two renames
    (tmp_path / f".{folder.name}.12ab.tmp").mkdir()
    recover_folder(folder)
    assert {*tmp_path.iterdir()} == {folder, other}
    assert (folder / "below/weights").read_text() == "2"

    (tmp_path / f".{folder.name}.old").mkdir()  # a kill after both renames
    (tmp_path / f".{folder.name}.12ab.tmp").mkdir()
    write_folder(folder, "3")
    assert {*tmp_path.iterdir()} == {folder, other}
    assert (folder / "below/weights").read_text() == "3"
