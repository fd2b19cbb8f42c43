"""The store of English passages in a job's output folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kpray.corpus.limits import Limits, Reading
from kpray.corpus.store import PassageStore
from kpray.errors import UserError
from kpray.rgit.passage_stores import english_store, passage_store


def write(path: Path, *ids: str) -> str:
    path.write_text("".join(json.dumps({"id": id, "text": f"text of {id}"}) + "\n" for id in ids), encoding="utf-8")
    return str(path)


def test_passages_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files = [write(tmp_path / "a.jsonl", "a", "b"), write(tmp_path / "b.jsonl", "c")]
    folder = english_store(files, Path("output"), Reading())
    assert folder.is_relative_to(tmp_path / "output")
    assert capsys.readouterr().err == "kpray: reading --english\n"
    store = PassageStore(folder)
    assert [store.record(row).document.lang for row in range(len(store))] == ["en", "en", "en"]
    before = (folder / "store.json").stat().st_mtime_ns
    assert english_store(files, Path("output"), Reading()) == folder
    assert (folder / "store.json").stat().st_mtime_ns == before
    assert capsys.readouterr().err == ""

    others = {
        english_store(files[:1], Path("output"), Reading()),
        english_store(files, Path("output"), Reading(limits=Limits(max_characters=9))),
        passage_store("passages", files, Path("output"), Reading(lang="fr")),
        passage_store("passages", files, Path("output"), Reading()),
        english_store(files, Path("other"), Reading()),
    }
    write(tmp_path / "b.jsonl", "d")  # an edit of the same size
    others.add(english_store(files, Path("output"), Reading()))
    assert len(others - {folder}) == 6
    assert "kpray: reading --passages\n" in capsys.readouterr().err
    assert len(PassageStore(folder)) == 3


def test_a_complete_store_of_a_killed_run_is_reused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [write(tmp_path / "a.jsonl", "a", "b")]
    folder = english_store(files, tmp_path / "output", Reading())
    (folder.parent / "finished.json").unlink()
    before = (folder / "store.json").stat().st_mtime_ns
    assert english_store(files, tmp_path / "output", Reading()) == folder
    assert (folder / "store.json").stat().st_mtime_ns == before
    assert (folder.parent / "finished.json").exists()
    assert capsys.readouterr().err == "kpray: reading --english\n"


def test_an_interrupted_step_is_repeated(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text("{\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"wrong\.jsonl:1"):
        english_store([str(wrong)], tmp_path / "output", Reading())
    with pytest.raises(UserError, match=r"wrong\.jsonl:1"):  # the same folder
        english_store([str(wrong)], tmp_path / "output", Reading())
    wrong.write_text('{"x": 1', encoding="utf-8")
    with pytest.raises(UserError, match=r"wrong\.jsonl:1"):
        english_store([str(wrong)], tmp_path / "output", Reading())
    write(wrong, "a")
    assert len(PassageStore(english_store([str(wrong)], tmp_path / "output", Reading()))) == 1
