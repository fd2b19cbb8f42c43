"""`ObjectPath` implements pathlib's methods on an S3-compatible server."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kpray.claims import claimed
from kpray.cluster.inputs import check_inputs, identify
from kpray.corpus.limits import Reading
from kpray.corpus.reading import read_chunks
from kpray.corpus.sources import find_sources
from kpray.corpus.writing import read_made_by, read_predictions, write_predictions, write_text
from kpray.document import Keyphrase
from kpray.errors import UserError
from kpray.storage import ObjectPath, local_folder, location, whole_file
from tests.integration.object_store import object_store


@pytest.fixture(scope="module", autouse=True)
def variables() -> Iterator[None]:
    with object_store() as found, pytest.MonkeyPatch.context() as patch:
        for name, value in found.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> ObjectPath:
    found = location(f"s3://bucket/{request.node.name}/")
    assert isinstance(found, ObjectPath)
    return found


def test_identity_of_input_files(folder: ObjectPath) -> None:
    write_text("a" * 100, folder / "deep" / "a.txt")
    before = identify(find_sources([str(folder)]))
    assert list(before) == ["deep/a.txt"]
    assert (before["deep/a.txt"]["bytes"], before["deep/a.txt"]["modified"] > 0) == (100, True)
    write_text("a" * 99 + "b", folder / "deep" / "a.txt")
    with pytest.raises(UserError, match=r"^deep/a.txt: the input has changed"):
        check_inputs(before, identify(find_sources([str(folder)])), folder)


def test_a_folder_has_one_owner(folder: ObjectPath) -> None:
    with claimed(folder), pytest.raises(UserError, match=r"another job is writing there: process \d+"), claimed(folder):
        raise AssertionError("the second run owns the folder, too")
    with claimed(folder):  # the first has ended
        pass


def test_a_file(folder: ObjectPath) -> None:
    file = folder / "deep" / "file.txt"
    assert (file.name, file.key) == ("file.txt", f"{folder.key}/deep/file.txt")
    assert not file.exists()
    write_text("line\nlast\n", file)
    assert file.exists()
    assert file.is_file()
    assert not file.is_dir()
    assert (folder / "deep").is_dir()
    assert file.size() == len("line\nlast\n")
    assert file.read_text() == "line\nlast\n"
    with file.open() as opened:
        assert [opened.readline(), opened.tell(), opened.read(), opened.seek(0)] == [b"line\n", 5, b"last\n", 0]
    file.unlink()
    assert not file.is_file()
    file.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        file.unlink()
    with pytest.raises(FileNotFoundError):
        file.size()


def test_a_file_larger_than_a_part_of_an_upload(folder: ObjectPath) -> None:
    contents = os.urandom(12_000_000)
    with whole_file(folder / "large") as unfinished:
        unfinished.write_bytes(contents)
    with (folder / "large").open() as file:
        assert file.read() == contents


def test_listing(folder: ObjectPath) -> None:
    for name in ("b.parquet", "a.parquet", "c.txt", "below/d.parquet"):
        write_text(name, folder / name)
    assert [file.name for file in folder.glob("*.parquet")] == ["a.parquet", "b.parquet"]
    assert [file.uri for file in folder.rglob("*.parquet")] == [
        f"{folder}/a.parquet",
        f"{folder}/b.parquet",
        f"{folder}/below/d.parquet",
    ]
    assert list((folder / "absent").glob("*")) == []


def test_an_unfinished_file_does_not_appear(folder: ObjectPath) -> None:
    def begin() -> None:
        with whole_file(folder / "file") as unfinished:
            unfinished.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert list(folder.rglob("*")) == []


def test_predictions(folder: ObjectPath) -> None:
    keyphrases = [Keyphrase("graph", 0.5, True)]
    write_predictions([("1", "en", keyphrases)], folder / "part-0.parquet", {"tagger": "x"})
    write_predictions([("2", "en", [])], folder / "_state" / "part-1.parquet")
    assert read_predictions(folder) == {("en", "1"): keyphrases}
    assert read_made_by(folder) == {"tagger": "x"}


def test_inputs(folder: ObjectPath) -> None:
    write_text('{"abstract": "One."}\n{"abstract": "Two."}\n{"abstract": "Three."}\n', folder / "a.jsonl")
    write_text("abstract\nFour.\n", folder / "b.csv")
    with whole_file(folder / "c.jsonl.gz") as unfinished:
        unfinished.write_bytes(gzip.compress(b'{"abstract": "Five."}\n'))
    write_text("A text.", folder / "below" / "note.txt")
    write_text("hidden", folder / "_hidden" / "note.txt")
    sources = find_sources([str(folder)])
    assert [source.name for source in sources] == [
        f"{folder}/{n}" for n in ("a.jsonl", "b.csv", "below/note.txt", "c.jsonl.gz")
    ]
    chunks = [chunk for source in sources for chunk in read_chunks(source, 2, Reading())]
    assert [len(chunk.items) for chunk in chunks] == [2, 1, 1, 1, 1]
    assert sum(chunk.bytes for chunk in chunks) == sum(source.bytes for source in sources)
    assert find_sources([f"{folder}/a.jsonl"]) == sources[:1]
    with pytest.raises(UserError, match="no such file or folder"):
        find_sources([f"{folder}/absent"])


def test_folder_is_copied_once(folder: ObjectPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KPRAY_CACHE", str(tmp_path))
    write_text("1", folder / "config.json")
    write_text("2", folder / "below" / "weights")
    first = Path(local_folder(str(folder)))
    assert (first / "below/weights").read_text() == "2"
    (first / "mark").touch()
    assert (Path(local_folder(str(folder))) / "mark").exists()
    write_text("33", folder / "config.json")  # changed contents make a new copy
    second = Path(local_folder(str(folder)))
    assert ((second / "config.json").read_text(), (second / "mark").exists()) == ("33", False)
    with pytest.raises(UserError, match="the folder does not exist or is empty"):
        local_folder(f"{folder}/absent")


def test_missing_bucket() -> None:
    with pytest.raises(OSError, match=r"NO_SUCH_BUCKET|specified bucket does not exist"):
        write_text("text", ObjectPath("s3://nobucket/file"))
