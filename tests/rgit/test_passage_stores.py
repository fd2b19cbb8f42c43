"""English passages of a job's output folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kpray.corpus.limits import Limits
from kpray.corpus.store import PassageStore
from kpray.errors import UserError
from kpray.rgit.passage_stores import FOLDER, english_store


def write(path: Path, *ids: str) -> str:
    path.write_text("".join(json.dumps({"id": id, "text": f"text of {id}"}) + "\n" for id in ids), encoding="utf-8")
    return str(path)


def test_passages_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files = [write(tmp_path / "a.jsonl", "a", "b"), write(tmp_path / "b.jsonl", "c")]
    folder = english_store(files, Path("output"), Limits())
    assert folder == tmp_path / "output" / FOLDER
    assert capsys.readouterr().err == "kpray: reading --english\n"
    store = PassageStore(folder)
    assert [store.record(row).document.lang for row in range(len(store))] == ["en", "en", "en"]
    before = (folder / "store.json").stat().st_mtime_ns
    assert english_store(files, Path("output"), Limits()) == folder
    assert (folder / "store.json").stat().st_mtime_ns == before
    assert capsys.readouterr().err == ""

    with pytest.raises(UserError, match=r"the folder holds output made with english = .*give another --output"):
        english_store(files[:1], Path("output"), Limits())
    assert english_store(files[:1], Path("other"), Limits()) != folder


def test_what_was_interrupted_is_read_again(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text("{\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"wrong\.jsonl:1"):
        english_store([str(wrong)], tmp_path / "output", Limits())
    files = [write(tmp_path / "a.jsonl", "a")]
    assert len(PassageStore(english_store(files, tmp_path / "output", Limits()))) == 1
