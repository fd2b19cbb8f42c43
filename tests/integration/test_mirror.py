"""The working folder of an output in object storage, on an S3-compatible server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kpray.cluster.mirror import mirrored, working_folder
from kpray.errors import UserError
from kpray.storage import ObjectPath, location
from tests.integration.object_store import object_store


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with object_store() as found, pytest.MonkeyPatch.context() as patch:
        for name, value in {**found, "KPRAY_CACHE": str(tmp_path_factory.mktemp("cache"))}.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def output(request: pytest.FixtureRequest) -> str:
    return f"s3://bucket/{request.node.name}"


def held(output: str) -> dict[str, str]:
    """Files in the storage: name in the folder -> contents."""
    place = location(output)
    assert isinstance(place, ObjectPath)
    return {str(file).removeprefix(f"{place}/"): file.read_text() for file in place.rglob("*")}


def write(folder: Path, name: str, text: str, seconds: int) -> None:
    """Write a file that was last changed so many seconds after the epoch."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    os.utime(folder / name, (seconds, seconds))


def test_what_is_written_arrives_and_is_found_again(output: str) -> None:
    folder = working_folder(output)
    with mirrored(output):
        write(folder, "best/model", "one", 1)
        write(folder, "log", "a", 1)
        write(folder, ".unfinished/part", "x", 1)
        write(folder, ".part.tmp", "x", 1)
    assert held(output) == {"best/model": "one", "log": "a"}
    assert not folder.exists()
    with mirrored(output):
        assert (folder / "best/model").read_text() == "one"
        shutil.rmtree(folder / "best")
        with (folder / "log").open("a") as file:
            file.write("b")
        write(folder, "last/model", "two", 2)
    assert held(output) == {"log": "ab", "last/model": "two"}


def test_files_arrive_while_the_job_works(output: str) -> None:
    with mirrored(output):
        write(working_folder(output), "a", "1", 1)
        while not held(output):
            pass
        assert held(output) == {"a": "1"}


def test_what_names_others_arrives_after_them(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    upload, unlink = ObjectPath.upload, ObjectPath.unlink

    def noted_upload(place: ObjectPath, file: Path) -> None:
        events.append(place.name)
        upload(place, file)

    def noted_unlink(place: ObjectPath, missing_ok: bool = False) -> None:
        events.append(f"-{place.name}")
        unlink(place, missing_ok)

    monkeypatch.setattr(ObjectPath, "upload", noted_upload)
    monkeypatch.setattr(ObjectPath, "unlink", noted_unlink)
    with mirrored(output):
        write(working_folder(output), "step-1", "", 1)
    with mirrored(output):
        folder = working_folder(output)
        for second, name in enumerate(["z", "manifest", "b"]):
            write(folder, name, "", 10 + second)
        (folder / "step-1").unlink()
    events = [name for name in events if ".writable" not in name]
    assert events == ["step-1", "z", "manifest", "b", "-step-1"]


def test_an_error_in_the_job_loses_nothing(output: str) -> None:
    def stopped() -> None:
        with mirrored(output):
            write(working_folder(output), "a", "1", 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert held(output) == {"a": "1"}


def test_what_a_killed_job_left_here_gives_way_to_the_storage(output: str) -> None:
    with mirrored(output):
        write(working_folder(output), "a", "1", 1)
    write(working_folder(output), "a", "older", 1)
    with mirrored(output):
        assert (working_folder(output) / "a").read_text() == "1"


def test_two_jobs_at_one_place(output: str) -> None:
    with mirrored(output), pytest.raises(UserError, match="another job writes there"), mirrored(output):
        pass


def test_storage_that_refuses() -> None:
    with pytest.raises(UserError, match=r"^s3://nobucket/run: cannot write: .*bucket"):
        mirrored("s3://nobucket/run").__enter__()
