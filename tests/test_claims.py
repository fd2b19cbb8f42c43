"""An output folder has one owner at a time. tests/integration/test_claims.py has tests with processes."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kpray import claims
from kpray.claims import claimed, sibling
from kpray.cluster.step_cache import StepCache
from kpray.corpus.store import build_store
from kpray.errors import UserError
from kpray.storage import whole_folder
from tests.commands import RunHere


def claim_of(folder: Path, **changes: object) -> Path:
    """Leave a claim in an output folder, as an owner does that was killed. The values are those of this process."""
    file = folder / "_kpray/.owner/0123.owner"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({**claims._this_run(), **changes}))
    return file


def test_a_second_run_is_refused(tmp_path: Path) -> None:
    with claimed(tmp_path), pytest.raises(UserError) as error, claimed(tmp_path):
        pass
    assert str(error.value).startswith(f"{tmp_path}: another job is writing there: process {os.getpid()} on ")
    assert "\n" not in str(error.value)
    with claimed(tmp_path):
        pass
    with claimed(tmp_path):
        assert [file.suffix for file in (tmp_path / "_kpray/.owner").iterdir()] == [".owner"]


def test_a_dead_process_on_this_machine_is_replaced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "SECONDS_WITHOUT_RENEWAL", float("inf"))
    number = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1  # no process has this number
    cases: list[dict[str, Any]] = [{"process": number}, {"started": "1"}]  # the second is a number used again
    for index, changes in enumerate(cases):
        folder = tmp_path / str(index)
        file = claim_of(folder, **changes)
        with claimed(folder):
            assert not file.exists()


def test_a_process_on_another_machine_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = claim_of(tmp_path, machine="another", host="h2", process=7)
    monkeypatch.setattr(claims, "SECONDS_WITHOUT_RENEWAL", 1.5)
    alive = threading.Timer(0.5, lambda: file.with_suffix(".renewals").write_text("1"))
    alive.start()
    with pytest.raises(UserError, match=r"another job is writing there: process 7 on h2, since "), claimed(tmp_path):
        pass
    alive.join()
    assert file.exists()
    started = time.monotonic()
    with claimed(tmp_path):
        assert not file.exists()
        assert not file.with_suffix(".renewals").exists()
    assert time.monotonic() - started > 1.5


@pytest.mark.parametrize("text", ["", "[]", '{"host": 1}', "\udcff", '{"process": "x"}'])
def test_a_damaged_claim_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(claims, "SECONDS_WITHOUT_RENEWAL", 0.5)
    file = claim_of(tmp_path)
    file.write_text(text, errors="surrogateescape")
    with claimed(tmp_path):
        assert not file.exists()


def test_names_in_a_claim_cannot_write_control_characters(tmp_path: Path) -> None:
    claim = claims._read(claim_of(tmp_path, host="\x1b[2J"))
    assert claim is not None
    assert claims._describe(claim) == "an unknown process"


def test_a_claim_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "SECONDS_BETWEEN_RENEWALS", 0.05)
    with claimed(tmp_path):
        (file,) = (tmp_path / "_kpray/.owner").iterdir()
        time.sleep(0.5)
        assert int(file.with_suffix(".renewals").read_text()) > 2


def test_a_run_whose_claim_was_taken_over_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "SECONDS_BETWEEN_RENEWALS", 0.05)

    def run() -> None:
        with claimed(tmp_path):
            (file,) = (tmp_path / "_kpray/.owner").glob("*.owner")
            file.unlink()
            time.sleep(20)

    with pytest.raises(UserError, match="another job has taken over the folder"):
        run()
    assert list(tmp_path.iterdir()) == []


def test_there_are_never_two_owners(tmp_path: Path) -> None:
    owners, most, times = [0], [0], [0]
    end = time.monotonic() + 4

    def work() -> None:
        while time.monotonic() < end:
            with suppress(UserError), claimed(tmp_path / "folder", sibling(tmp_path / "folder")):
                owners[0] += 1
                most[0] = max(most[0], owners[0])
                times[0] += 1
                time.sleep(0.01)
                owners[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1
    assert times[0] > 5
    assert list(tmp_path.iterdir()) == []


def test_a_second_builder_of_a_store(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "1", "title": "t", "abstract": "words"}\n')
    folder = tmp_path / "store"
    with claimed(folder, sibling(folder)), whole_folder(folder) as unfinished:
        with pytest.raises(UserError, match=f"{folder}: another job is writing there"):
            build_store([str(tmp_path / "a.jsonl")], folder)
        assert unfinished.exists()
    folder.rmdir()
    assert len(build_store([str(tmp_path / "a.jsonl")], folder)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "store"]


def test_a_step_that_another_run_works_on_is_done_once(tmp_path: Path) -> None:
    calls: list[str] = []
    begun = threading.Event()

    def work(name: str) -> Callable[[Path], dict[str, str]]:
        def do(folder: Path) -> dict[str, str]:
            calls.append(name)
            begun.set()
            time.sleep(1)
            return {"by": name}

        return do

    first = threading.Thread(target=lambda: StepCache(tmp_path).do("step", {}, work("a")))
    first.start()
    begun.wait()
    step = StepCache(tmp_path).do("step", {}, work("b"))
    first.join()
    assert (step.outcome, step.reused, calls) == ({"by": "a"}, True, ["a"])
    assert [path.name for path in tmp_path.iterdir()] == [step.folder.name]


@pytest.mark.parametrize(
    "command",
    [
        "batch --input {0}",
        "train unikeyphrase --train {0} --valid {0}",
        "train retriever --train {0} --valid {0} --english {0}",
        "rgit --parallel {0} --passages {0} --english {0}",
        "mine --passages {0} --english {0}",
        "sweep heads --valid {0} --test {1}",
        "sweep tau --parallel {0} --passages {0} --english {0}",
        "quickstart",
    ],
)
def test_commands_own_their_output_folder(tmp_path: Path, command: str, kpray: RunHere) -> None:
    given = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for file in given:
        file.write_text('{"id": "1", "title": "t", "abstract": "words", "keyphrases": ["words"]}\n')
    output = tmp_path / "output"
    with claimed(output):
        ended = kpray(*command.format(*given).split(), "--output", output)
    assert ended.code == 2
    *_, line = ended.err.splitlines()
    assert line.startswith(f"kpray: error: {output}: another job is writing there: process {os.getpid()} on ")
    assert not list(output.rglob("_config.yaml"))


def test_folders_are_removed_if_the_run_wrote_nothing(tmp_path: Path) -> None:
    with claimed(tmp_path / "a/output"):
        assert (tmp_path / "a/output").is_dir()
    assert not (tmp_path / "a").exists()

    (tmp_path / "b").mkdir()
    with claimed(tmp_path / "b"):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "b"]
    assert not list((tmp_path / "b").iterdir())

    with claimed(tmp_path / "c"):
        (tmp_path / "c/report.md").touch()
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["report.md"]
