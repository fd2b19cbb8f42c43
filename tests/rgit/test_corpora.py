"""The documents of an RGIT run: which part each is in, and what is refused before anything is begun."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kpray.corpus.limits import Limits
from kpray.errors import UserError
from kpray.rgit.config import RGITSettings
from kpray.rgit.corpora import Corpora, CorpusFiles, read_answers, read_corpora
from kpray.settings import validate_settings

ENGLISH = [{"id": f"e{place}", "text": f"a graph of {place}", "keyphrases": ["graph"]} for place in range(12)]


def foreign(name: str, number: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"id": f"{name}{place}", "lang": "de", "text": f"Ein Graph {place}", "keyphrases": ["Graph"], **more}
        for place in range(number)
    ]


def linked(name: str, number: int) -> list[dict[str, Any]]:
    return [{**record, "english_ids": [f"e{place}"]} for place, record in enumerate(foreign(name, number))]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def make_files(folder: Path, **parts: list[dict[str, Any]]) -> CorpusFiles:
    given = {"english": ENGLISH, "parallel": linked("p", 11), "passages": foreign("n", 5), **parts}
    paths = {name: (write(folder / f"{name}.jsonl", rows),) for name, rows in given.items()}
    nothing: dict[str, Any] = {"valid": (), "test": (), "answers": ()}
    return CorpusFiles(**{**nothing, **paths}, lang="en", limits=Limits())


def read(folder: Path, **parts: list[dict[str, Any]]) -> Corpora:
    return read_corpora(make_files(folder, **parts), folder / "output")


def test_parts(tmp_path: Path) -> None:
    corpora = read(tmp_path, test=foreign("t", 3))
    sizes = {name: len(rows) for name, rows in corpora.parts.items()}
    assert sizes == {"parallel": 9, "passages": 5, "valid": 2, "test": 3}  # every tenth of 11 is held out: two
    assert [record.document.id for record in corpora.records("valid")] == ["p0", "p10"]
    assert [record.english_ids for record in corpora.records("parallel")][:2] == [("e1",), ("e2",)]
    assert len(corpora.documents) == 9 + 5 + 2 + 3
    assert len(corpora.english) == len(ENGLISH)


def test_the_pairs_of_passages_stay_hidden(tmp_path: Path) -> None:
    hidden = linked("n", 5)
    files = make_files(tmp_path, passages=hidden)
    corpora = read_corpora(files, tmp_path / "output")
    assert {record.english_ids for record in corpora.records("passages")} == {()}
    assert read_answers(files, corpora) == {}
    told = replace(files, answers=(write(tmp_path / "answers.jsonl", hidden[1:]),))
    assert read_answers(told, corpora) == {row: int(corpora.english.rows("en", [f"e{row}"])[0]) for row in range(1, 5)}


def test_own_ids_name_the_english_passage(tmp_path: Path) -> None:
    same = [{**record, "id": f"e{place}"} for place, record in enumerate(foreign("p", 4))]
    corpora = read(tmp_path, parallel=same, valid=linked("v", 2))
    assert [record.english_ids for record in corpora.records("parallel")] == [("e0",), ("e1",), ("e2",), ("e3",)]


def test_a_second_run_reads_nothing_anew(tmp_path: Path) -> None:
    first = read(tmp_path)
    stored = first.documents.folder / "passages.arrow"
    when = stored.stat().st_mtime_ns
    again = read(tmp_path)
    assert (again.parts, again.documents.sha256) == (first.parts, first.documents.sha256)
    assert stored.stat().st_mtime_ns == when
    with pytest.raises(UserError, match=r"output: the folder holds output made with passages = .*another"):
        read(tmp_path, passages=foreign("n", 6))


def test_what_is_left_out_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*foreign("n", 3), {"id": "none", "lang": "de", "text": "Ohne"}, {"id": "empty", "keyphrases": ["x"]}]
    unknown = [*linked("p", 4), *foreign("q", 1, english_ids=["gone"])]
    corpora = read(tmp_path, passages=rows, parallel=unknown, valid=linked("v", 2))
    said = capsys.readouterr().err
    assert "--passages: left out 1 records that cannot be read, 1 without keyphrases" in said
    assert "--parallel: left out 1 documents without English passage" in said
    assert (len(corpora.parts["passages"]), len(corpora.parts["parallel"])) == (3, 4)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"passages": linked("p", 2)}, r"document 'p\d+' \(de\) is there already: .*parallel\.jsonl:\d+"),
        (
            {"parallel": [*foreign("q", 1, english_ids=["gone"])]},
            "none of 1 documents has its English passage",
        ),
        ({"parallel": linked("p", 1)}, "one parallel document is too few to hold one out"),
        ({"passages": [{"id": "n", "lang": "de", "text": "Ohne"}]}, "--passages: there is no document with keyphrases"),
        ({"parallel": []}, "--parallel: there is no document with keyphrases"),
    ],
)
def test_refusals(parts: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, **parts)
    assert not list((tmp_path / "output").glob("documents-*/finished.json"))
    assert len(read(tmp_path).documents) == 9 + 5 + 2  # with other files the same folder serves


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "parallel is needed: give --parallel PATH, or --config planted"),
        ({"parallel": ["p"], "passages": ["n"]}, "english is needed"),
        ({"plant": "small", "english": ["e"]}, "english and plant exclude each other"),
    ],
)
def test_settings(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        validate_settings(RGITSettings, {"output": str(tmp_path), **given}, where="test")
