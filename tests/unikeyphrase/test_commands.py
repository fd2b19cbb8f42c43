"""Commands with a trained folder; tests/integration covers jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kpray import cli
from kpray.registry import open_predictor
from kpray.unikeyphrase.config import DecodeConfig
from tests.unikeyphrase.tiny_model import RECORDS, write_records


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The documents that the model has memorized, with their gold keyphrases."""
    path = tmp_path / "documents.jsonl"
    write_records(path)
    return path


def extract(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["kpray", "extract", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert isinstance(end.value.code, int)
    return end.value.code


def test_extract(
    file: Path, saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--predictor", str(saved), "--unikeyphrase.decode.beams", "2", "--format", "json", "--explain"]
    assert extract(monkeypatch, file, *options) == 0
    printed = json.loads(capsys.readouterr().out)
    config = printed["made_by"]["config"]
    # The options are those of the folder, except beams.
    assert config["decode"] == DecodeConfig(beams=2, outside_bias=0.25).model_dump()
    expected = open_predictor(str(saved), {"decode": {"beams": 2}}).predict([record.document for record in RECORDS])
    for document, keyphrases in zip(printed["documents"], expected, strict=True):
        assert [phrase["text"] for phrase in document["keyphrases"]] == [phrase.text for phrase in keyphrases]
    assert Path("kpray-explain.html").exists()

    assert extract(monkeypatch, file, "--predictor", saved) == 0
    out, err = capsys.readouterr()
    assert "machine translation  (absent)" in out
    assert err.splitlines() == ["kpray: unikeyphrase"]


def test_section_of_another_method(
    file: Path, saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, option, value, kind in (
        (str(saved), "samrank.heads", "1-1", "unikeyphrase"),
        ("samrank", "unikeyphrase.decode.beams", "3", "samrank"),
    ):
        assert extract(monkeypatch, file, "--predictor", name, f"--{option}", value) == 2
        field = ".".join(option.split(".")[:2])
        assert capsys.readouterr().err == (
            f"kpray: error: {field} is set, but the predictor {name!r} is of the kind {kind} "
            f"(remove the options of {option.split('.')[0]})\n"
        )
