from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.corpus.records import Reject
from kpray.corpus.writing import predictions_table, read_predictions, write_predictions, write_rejects
from kpray.document import Document, Keyphrase, Record, predictions_schema
from kpray.errors import UserError

SOME = [Keyphrase("graph theory", 0.75, True, ((0, 12), (40, 53))), Keyphrase("réseau", -1.5, False)]


def test_round_trip_of_predictions(tmp_path: Path) -> None:
    write_predictions([("1", "en", SOME), ("2", "en", [])], tmp_path / "a.parquet")
    (tmp_path / "more").mkdir()
    write_predictions([("1", "zh_CN", SOME[:1])], tmp_path / "more" / "b.parquet")
    write_predictions([], tmp_path / "empty.parquet")
    assert read_predictions(tmp_path) == {("en", "1"): SOME, ("en", "2"): [], ("zh_CN", "1"): SOME[:1]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "empty.parquet", "more"]


def test_predictions_without_offsets_are_read(tmp_path: Path) -> None:
    fields = [("text", pa.string()), ("score", pa.float64()), ("present", pa.bool_())]
    phrases = pa.array([[{"text": "graph theory", "score": 0.75, "present": True}]], pa.list_(pa.struct(fields)))
    pq.write_table(pa.table({"id": ["1"], "lang": ["en"], "keyphrases": phrases}), tmp_path / "a.parquet")
    assert read_predictions(tmp_path) == {("en", "1"): [Keyphrase("graph theory", 0.75, True)]}


numbers = st.integers(0, 2**31 - 1)
offsets = st.lists(st.tuples(numbers, numbers)).map(tuple)
keyphrases = st.builds(Keyphrase, st.text(), st.floats(allow_nan=False), st.booleans(), offsets)


@settings(deadline=None, max_examples=30)
@given(predictions=st.dictionaries(st.tuples(st.text(), st.text()), st.lists(keyphrases)))
def test_round_trip_of_any_predictions(
    predictions: dict[tuple[str, str], list[Keyphrase]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "predictions"
    folder.mkdir(exist_ok=True)
    write_predictions(((id, lang, found) for (lang, id), found in predictions.items()), folder / "a.parquet")
    assert read_predictions(folder) == predictions


def test_predictions_have_the_schema_and_are_compressed(tmp_path: Path) -> None:
    write_predictions([("1", "en", SOME)], tmp_path / "a.parquet")
    file = pq.ParquetFile(tmp_path / "a.parquet")
    assert file.schema_arrow == predictions_schema()
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


def test_rejects_are_json_lines(tmp_path: Path) -> None:
    rejects = [Reject("in/é.jsonl", 3, 'not "JSON"'), Reject("b.csv", 1, "no text")]
    write_rejects(iter(rejects), tmp_path / "rejects.jsonl")
    lines = (tmp_path / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"source": "in/é.jsonl", "line": 3, "reason": 'not "JSON"'},
        {"source": "b.csv", "line": 1, "reason": "no text"},
    ]
    assert "in/é.jsonl" in lines[0]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    write_rejects([Reject("a", 1, "first")], path)
    before = path.read_bytes()

    def failing() -> Iterator[Reject]:
        yield Reject("a", 2, "second")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_rejects(failing(), path)
    with pytest.raises(pa.ArrowException):
        write_predictions([("1", "en", [Keyphrase(1, "no number", True)])], tmp_path / "a.parquet")  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["rejects.jsonl"]


def test_a_second_write_replaces_the_first(tmp_path: Path) -> None:
    write_predictions([("1", "en", SOME)], tmp_path / "a.parquet")
    write_predictions([("2", "en", [])], tmp_path / "a.parquet")
    assert read_predictions(tmp_path) == {("en", "2"): []}


def table(**columns: Any) -> Any:
    rows = {"id": ["1"], "lang": ["en"], "keyphrases": pa.array([[]], predictions_schema().field("keyphrases").type)}
    return pa.table({name: column for name, column in {**rows, **columns}.items() if column is not None})


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (table(keyphrases=None), "a.parquet: not a file of predictions: it has no column keyphrases of type list<"),
        (table(keyphrases=[["a"]]), "it has no column keyphrases of type list<"),
        (table(id=[1]), "it has no column id of type string"),
        (table(lang=pa.array([None], pa.string())), "a.parquet: a row has no id, lang or keyphrases"),
        (None, "a.parquet: the file cannot be read: "),
    ],
)
def test_other_files_are_refused(tmp_path: Path, written: Any, message: str) -> None:
    if written is None:
        (tmp_path / "a.parquet").write_bytes(b"no parquet")
    else:
        pq.write_table(written, tmp_path / "a.parquet")
    with pytest.raises(UserError) as raised:
        read_predictions(tmp_path)
    assert message in str(raised.value)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("name", ["_a.parquet", ".a.parquet", "_parts/a.parquet", "a.jsonl", "nothing/at/all.txt"])
def test_folder_without_predictions(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    write_predictions([("1", "en", SOME)], tmp_path / name)
    with pytest.raises(
        UserError, match=r": the folder has no predictions \(\*\.parquet\) \(give the --output of an extract job\)$"
    ):
        read_predictions(tmp_path)


def test_absent_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="absent: the folder has no predictions"):
        read_predictions(tmp_path / "absent")


def test_document_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    write_predictions([("1", "en", SOME)], tmp_path / "a.parquet")
    write_predictions([("1", "de", SOME), ("1", "en", SOME)], tmp_path / "b.parquet")
    with pytest.raises(
        UserError, match=r"b\.parquet: there are two predictions for the document '1' of language en \(use one folder"
    ):
        read_predictions(tmp_path)


def test_further_columns_are_ignored(tmp_path: Path) -> None:
    pq.write_table(table(note=["x"]), tmp_path / "a.parquet")
    assert read_predictions(tmp_path) == {("en", "1"): []}


def test_source_and_line_are_columns_that_readers_may_leave(tmp_path: Path) -> None:
    record = Record(Document("1", "text"), source="a.jsonl", line=7, metadata={"year": 1999})
    pq.write_table(predictions_table([("1", "en", SOME)], records=[record], metadata=True), tmp_path / "a.parquet")
    [row] = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert (row["source"], row["line"], row["metadata"]) == ("a.jsonl", 7, '{"year": 1999}')
    assert read_predictions(tmp_path) == {("en", "1"): SOME}
