"""Which predictions are scored on which data set, without Ray."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kpray.batch.evaluation import DataSet, evaluate_systems, read_data_sets
from kpray.cluster.job import STATE_FOLDER
from kpray.corpus.limits import Reading
from kpray.corpus.writing import write_predictions, write_text
from kpray.document import Keyphrase
from kpray.errors import UserError
from kpray.metrics.protocols import PROTOCOLS
from kpray.metrics.runs import Run

SAMRANK = PROTOCOLS["samrank"]


@pytest.fixture
def data_sets(tmp_path: Path) -> list[DataSet]:
    """`inspec` with ids 1 and 2; `nus` with ids 3 and 4 and an unreadable line."""
    for name, ids in (("inspec", "12"), ("nus", "34")):
        lines = [json.dumps({"id": id_, "text": "tides of the moon", "keyphrases": ["tides"]}) for id_ in ids]
        write_text("\n".join([*lines, "broken"][: 2 + (name == "nus")]), tmp_path / f"{name}.jsonl")
    return read_data_sets([str(tmp_path / "inspec.jsonl"), str(tmp_path / "nus.jsonl")], Reading(lang="en"))


def predict(folder: Path, ids: str, phrase: str = "tides") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(id_, "en", [Keyphrase(phrase, 1.0, True)]) for id_ in ids]
    write_predictions(rows, folder / f"part-{ids}.parquet", {"predictor": phrase})
    return folder


def scores(runs: list[Run]) -> list[tuple[str, str, float | None, int, int]]:
    """System, data set, F1@5, documents without a prediction, predictions without a document."""
    return [
        (run.system, run.data, run.report.scores["f1@5"].mean, len(run.report.missing), len(run.report.unknown))
        for run in runs
    ]


def test_data_sets_are_read_separately(data_sets: list[DataSet]) -> None:
    assert [data.name for data in data_sets] == ["inspec", "nus"]
    assert data_sets[1].document_keys() == {("en", "3"), ("en", "4")}


def test_one_folder_for_all_data_sets(data_sets: list[DataSet], tmp_path: Path) -> None:
    folders = {"right": predict(tmp_path / "a", "12349"), "wrong": predict(tmp_path / "b", "123", "sea")}
    assert scores(evaluate_systems(folders, data_sets, SAMRANK, 0)) == [
        ("right", "inspec", 100, 0, 1),  # no data set contains 9
        ("right", "nus", 100, 0, 1),
        ("wrong", "inspec", 0, 0, 0),
        ("wrong", "nus", 0, 1, 0),
    ]


def test_a_folder_for_each_data_set(data_sets: list[DataSet], tmp_path: Path) -> None:
    predict(tmp_path / "a/inspec", "12")
    predict(tmp_path / "a/nus", "13", "sea")  # inspec contains 1, nus does not
    runs = evaluate_systems({"a": tmp_path / "a"}, data_sets, SAMRANK, 0)
    assert scores(runs) == [("a", "inspec", 100, 0, 0), ("a", "nus", 0, 1, 1)]
    assert [run.made_by for run in runs] == [{"predictor": "tides"}, {"predictor": "sea"}]


def test_data_sets_with_a_common_id_need_subfolders(data_sets: list[DataSet], tmp_path: Path) -> None:
    copy = DataSet("copy", "", data_sets[0].records)
    with pytest.raises(UserError, match=r"a: both inspec and copy contain the id '[12]' \(en\), .*/a/inspec\)"):
        evaluate_systems({"a": predict(tmp_path / "a", "12")}, [data_sets[0], copy], SAMRANK, 0)
    predict(tmp_path / "a/copy", "12", "sea")
    (tmp_path / "a/part-12.parquet").rename(predict(tmp_path / "a/inspec", "") / "part-12.parquet")
    assert scores(evaluate_systems({"a": tmp_path / "a"}, [data_sets[0], copy], SAMRANK, 0)) == [
        ("a", "inspec", 100, 0, 0),
        ("a", "copy", 0, 0, 0),
    ]


def test_full_lists_are_counted_if_there_is_a_manifest(data_sets: list[DataSet], tmp_path: Path) -> None:
    folder = predict(tmp_path / "a", "12349")
    [run] = evaluate_systems({"a": folder}, data_sets[:1], SAMRANK, 0)
    assert (run.predictor, run.top, run.full) == ("", None, 0)
    (folder / STATE_FOLDER).mkdir()
    write_text('{"predictor": "/runs/best", "top": 1}', folder / STATE_FOLDER / "manifest.json")
    [_, run] = evaluate_systems({"a": folder}, data_sets, SAMRANK, 0)
    assert (run.predictor, run.top, run.full) == ("/runs/best", 1, 2)
