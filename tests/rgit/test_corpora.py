"""The documents of an RGIT run: the part of each, and errors before the run starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kpray.corpus.limits import Reading
from kpray.errors import UserError
from kpray.rgit.config import RGITSettings
from kpray.rgit.corpora import Corpora, CorpusFiles, read_answers, read_corpora
from kpray.settings import validate_settings

ENGLISH = [{"id": f"e{index}", "text": f"a graph of {index}", "keyphrases": ["graph"]} for index in range(12)]


def foreign(name: str, number: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"id": f"{name}{index}", "lang": "de", "text": f"Ein Graph {index}", "keyphrases": ["Graph"], **more}
        for index in range(number)
    ]


def linked(name: str, number: int) -> list[dict[str, Any]]:
    return [{**record, "english_ids": [f"e{index}"]} for index, record in enumerate(foreign(name, number))]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def make_files(folder: Path, **parts: list[dict[str, Any]]) -> CorpusFiles:
    folder.mkdir(exist_ok=True)
    given = {"english": ENGLISH, "parallel": linked("p", 11), "passages": foreign("n", 5), **parts}
    paths = {name: (write(folder / f"{name}.jsonl", rows),) for name, rows in given.items()}
    nothing: dict[str, Any] = {"valid": (), "valid_pairs": (), "test": (), "answers": ()}
    return CorpusFiles(**{**nothing, **paths}, reading=Reading(lang="en"))


def read(folder: Path, **parts: list[dict[str, Any]]) -> Corpora:
    return read_corpora(make_files(folder, **parts), folder / "output")


def test_parts(tmp_path: Path) -> None:
    corpora = read(tmp_path, test=foreign("t", 3))
    sizes = {name: len(rows) for name, rows in corpora.parts.items()}
    assert sizes == {
        "parallel": 9,
        "passages": 5,
        "valid_pairs": 2,
        "valid": 2,
        "test": 3,
    }  # every tenth is held out
    assert corpora.parts["valid"] == corpora.parts["valid_pairs"]
    assert [record.document.id for record in corpora.records("valid")] == ["p0", "p10"]
    assert [record.english_ids for record in corpora.records("parallel")][:2] == [("e1",), ("e2",)]
    assert len(corpora.documents) == 9 + 5 + 2 + 3
    assert len(corpora.english) == len(ENGLISH)


def ids_of(corpora: Corpora, name: str) -> list[str]:
    return [record.document.id for record in corpora.records(name)]


def test_documents_without_english_passage_validate_generators(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The development set of AcademicMKP names no English passage."""
    corpora = read(tmp_path, valid=foreign("v", 3))
    assert ids_of(corpora, "valid") == ["v0", "v1", "v2"]
    assert ids_of(corpora, "valid_pairs") == ["p0", "p10"]
    assert len(corpora.parts["parallel"]) == 9
    assert "2 documents of --parallel are held out to validate retrievers" in capsys.readouterr().err


def test_documents_of_valid_that_name_their_english_passage_validate_both(tmp_path: Path) -> None:
    corpora = read(tmp_path, valid=[*foreign("u", 2), *linked("v", 3), *foreign("w", 1, english_ids=["gone"])])
    assert ids_of(corpora, "valid_pairs") == ["v0", "v1", "v2"]
    assert sorted(ids_of(corpora, "valid")) == ["u0", "u1", "v0", "v1", "v2", "w0"]
    assert len(corpora.parts["parallel"]) == 11


def test_pairs_for_validation(tmp_path: Path) -> None:
    pairs = [*linked("v", 3), {**foreign("x", 1)[0], "id": "e7"}]
    corpora = read(tmp_path, valid=[*foreign("u", 1), *foreign("v", 2)], valid_pairs=pairs, test=foreign("t", 2))
    assert sorted(ids_of(corpora, "valid")) == ["u0", "v0", "v1"]
    assert sorted(ids_of(corpora, "valid_pairs")) == ["e7", "v0", "v1", "v2"]
    assert {record.document.id: record.english_ids for record in corpora.records("valid_pairs")} == {
        **{f"v{index}": (f"e{index}",) for index in range(3)},
        "e7": ("e7",),
    }
    assert len(corpora.documents) == 11 + 5 + 5 + 2  # documents that validate both are stored once
    alone = read(tmp_path / "alone", valid_pairs=pairs)
    assert alone.parts["valid"] == alone.parts["valid_pairs"]


def test_a_number_of_parallel_documents(tmp_path: Path) -> None:
    """Fig. 3 of the paper. The validation pairs are the same for every number."""
    french = [{**record, "id": f"f{index}", "lang": "fr"} for index, record in enumerate(linked("p", 5))]
    files = make_files(tmp_path, parallel=[*linked("p", 11), *french])
    corpora = read_corpora(replace(files, parallel_documents=4), tmp_path / "output")
    assert [record.document.lang for record in corpora.records("parallel")] == ["de", "de", "fr", "fr"]
    everything = read_corpora(files, tmp_path / "all")
    assert len(everything.parts["parallel"]) == 14
    assert ids_of(corpora, "valid_pairs") == ids_of(everything, "valid_pairs")
    with pytest.raises(UserError, match=r"the folder holds output made with parallel_documents = 4"):
        read_corpora(files, tmp_path / "output")


def test_the_pairs_of_passages_stay_hidden(tmp_path: Path) -> None:
    hidden = linked("n", 5)
    files = make_files(tmp_path, passages=hidden)
    corpora = read_corpora(files, tmp_path / "output")
    assert {record.english_ids for record in corpora.records("passages")} == {()}
    assert read_answers(files, corpora) == {}
    answered = replace(files, answers=(write(tmp_path / "answers.jsonl", hidden[1:]),))
    assert read_answers(answered, corpora) == {
        row: int(corpora.english.rows("en", [f"e{row}"])[0]) for row in range(1, 5)
    }


def test_a_document_may_have_the_id_of_its_english_passage(tmp_path: Path) -> None:
    same = [{**record, "id": f"e{index}"} for index, record in enumerate(foreign("p", 4))]
    corpora = read(tmp_path, parallel=same, valid=linked("v", 2))
    assert [record.english_ids for record in corpora.records("parallel")] == [("e0",), ("e1",), ("e2",), ("e3",)]


def test_a_second_run_reuses_the_stores(tmp_path: Path) -> None:
    first = read(tmp_path)
    stored = first.documents.folder / "passages.arrow"
    before = stored.stat().st_mtime_ns
    again = read(tmp_path)
    assert (again.parts, again.documents.sha256) == (first.parts, first.documents.sha256)
    assert stored.stat().st_mtime_ns == before
    changed = r"^--passages passages.jsonl: the input has changed since this output was started \(give another"
    with pytest.raises(UserError, match=changed):
        read(tmp_path, passages=foreign("n", 6))
    with pytest.raises(UserError, match=changed):
        read(tmp_path, passages=foreign("m", 5))  # of the same size


def test_skipped_documents_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*foreign("n", 3), {"id": "none", "lang": "de", "text": "Ohne"}, {"id": "empty", "keyphrases": ["x"]}]
    unknown = [*linked("p", 4), *foreign("q", 1, english_ids=["gone"])]
    corpora = read(tmp_path, passages=rows, parallel=unknown, valid=linked("v", 2))
    log = capsys.readouterr().err
    assert "--passages: skipped 1 unreadable records and 1 without keyphrases" in log
    assert "--parallel: skipped 1 documents without English passage" in log
    assert (len(corpora.parts["passages"]), len(corpora.parts["parallel"])) == (3, 4)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"passages": linked("p", 2)}, r"duplicate document 'p\d+' \(de\), first seen in .*parallel\.jsonl:\d+"),
        (
            {"parallel": [*foreign("q", 1, english_ids=["gone"])]},
            "none of the 1 documents has its English passage",
        ),
        ({"parallel": linked("p", 1)}, "one document is too few"),
        ({"valid_pairs": foreign("v", 2)}, "--valid-pairs: none of the 2 documents has its English passage"),
        ({"valid": [*foreign("v", 2), *linked("v", 1)]}, "duplicate document 'v0'"),
        ({"passages": [{"id": "n", "lang": "de", "text": "Ohne"}]}, "--passages: no document has keyphrases"),
        ({"parallel": []}, "--parallel: no document has keyphrases"),
    ],
)
def test_wrong_documents(parts: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, **parts)
    assert not list((tmp_path / "output").glob("documents-*/finished.json"))
    assert len(read(tmp_path).documents) == 9 + 5 + 2  # the same folder accepts corrected files


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "parallel is needed: give --parallel PATH, or --config planted"),
        ({"parallel": ["p"], "passages": ["n"]}, "english is needed"),
        ({"plant": "small", "english": ["e"]}, "english and plant cannot be combined"),
    ],
)
def test_settings(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        validate_settings(RGITSettings, {"output": str(tmp_path), **given}, where="test")
