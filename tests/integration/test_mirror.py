"""The working folder of an output in object storage, on an S3-compatible server."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kpray.claims import claimed
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


def stored(output: str) -> dict[str, str]:
    """Files in the storage: name in the folder -> contents."""
    folder = location(output)
    assert isinstance(folder, ObjectPath)
    files = {str(file).removeprefix(f"{folder}/"): file for file in folder.rglob("*")}
    return {name: file.read_text() for name, file in files.items() if ".owner/" not in name}  # without the job's claim


def write(folder: Path, name: str, text: str, seconds: int) -> None:
    """Write a file whose modification time is `seconds` after the epoch."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    os.utime(folder / name, (seconds, seconds))


def test_files_are_uploaded_and_fetched_again(output: str) -> None:
    folder = working_folder(output)
    with mirrored(output):
        write(folder, "best/model", "one", 1)
        write(folder, "log", "a", 1)
        write(folder, ".unfinished/part", "x", 1)
        write(folder, ".part.tmp", "x", 1)
    assert stored(output) == {"best/model": "one", "log": "a"}
    assert not folder.exists()
    with mirrored(output):
        assert (folder / "best/model").read_text() == "one"
        shutil.rmtree(folder / "best")
        with (folder / "log").open("a") as file:
            file.write("b")
        write(folder, "last/model", "two", 2)
    assert stored(output) == {"log": "ab", "last/model": "two"}


def test_files_are_uploaded_while_the_job_runs(output: str) -> None:
    with mirrored(output):
        write(working_folder(output), "a", "1", 1)
        while not stored(output):
            pass
        assert stored(output) == {"a": "1"}


def test_files_are_uploaded_in_the_order_of_their_writing(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    upload, unlink = ObjectPath.upload, ObjectPath.unlink

    def recorded_upload(path: ObjectPath, file: Path) -> None:
        events.append(path.name)
        upload(path, file)

    def recorded_unlink(path: ObjectPath, missing_ok: bool = False) -> None:
        events.append(f"-{path.name}")
        unlink(path, missing_ok)

    monkeypatch.setattr(ObjectPath, "upload", recorded_upload)
    monkeypatch.setattr(ObjectPath, "unlink", recorded_unlink)
    with mirrored(output):
        write(working_folder(output), "step-1", "", 1)
    with mirrored(output):
        folder = working_folder(output)
        for second, name in enumerate(["z", "manifest", "b"]):
            write(folder, name, "", 10 + second)
        (folder / "step-1").unlink()
    events = [name for name in events if not name.endswith((".owner", ".renewals"))]  # the jobs' claims
    assert events == ["step-1", "z", "manifest", "b", "-step-1"]


def test_files_are_uploaded_after_an_error_in_the_job(output: str) -> None:
    def stopped() -> None:
        with mirrored(output):
            write(working_folder(output), "a", "1", 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert stored(output) == {"a": "1"}


def test_the_storage_replaces_what_a_killed_job_left_on_this_machine(output: str) -> None:
    with mirrored(output):
        write(working_folder(output), "a", "1", 1)
    write(working_folder(output), "a", "older", 1)
    with mirrored(output):
        assert (working_folder(output) / "a").read_text() == "1"


def test_two_jobs_with_the_same_output(output: str) -> None:
    with mirrored(output), pytest.raises(UserError, match="another job is writing there"), mirrored(output):
        pass
    assert list(ObjectPath(output).rglob("*")) == []


def test_a_job_of_another_machine(output: str) -> None:
    with claimed(ObjectPath(output)):  # the other machine has a work folder of its own
        with pytest.raises(UserError, match=rf"^{output}: another job is writing there: process \d+ on "):
            mirrored(output).__enter__()
        assert not working_folder(output).exists()


def test_an_abandoned_claim_in_the_storage(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kpray.claims.SECONDS_WITHOUT_RENEWAL", 1.0)
    claims = ObjectPath(output) / "_kpray/.owner"
    owner = {"host": "other", "machine": "other", "process": 1, "started": "1", "since": "2026-01-01"}
    (claims / "0.owner").write_text(json.dumps(owner))
    (claims / "0.renewals").write_text("7")
    with mirrored(output):
        assert not (claims / "0.owner").exists()
    assert list(ObjectPath(output).rglob("*")) == []


def test_storage_that_cannot_be_written() -> None:
    with pytest.raises(UserError, match=r"^s3://nobucket/run: cannot write: .*bucket"):
        mirrored("s3://nobucket/run").__enter__()
