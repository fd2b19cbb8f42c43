"""What programs pass to `predict`, as documents; columns and tables of the libraries that hold texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from kpray import Document, RejectedDocument, UserError, read_records
from kpray.corpus.records import Reject
from kpray.document import Record
from kpray.texts import is_one, to_document, to_documents

datasets = pytest.importorskip("datasets", reason="datasets (extra `dev`) is not installed")
TEXTS = ["Solar panels lose output as they age.", "Wind turbines need strong winds."]
ROWS = {"title": ["Sun", "Wind"], "abstract": TEXTS, "year": [2020, 2021]}


def bodies(given: Iterable[Any]) -> list[str]:
    return [each.body if isinstance(each, Document) else str(each) for each in to_documents(given)]


@pytest.mark.parametrize(
    "column",
    [
        TEXTS,
        tuple(TEXTS),
        (text for text in TEXTS),
        dict.fromkeys(TEXTS).keys(),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS, index=[7, 3]),
        pd.Series(TEXTS, dtype="string[pyarrow]"),
        pd.Series(TEXTS, dtype="category"),
        pl.Series(TEXTS),
        pa.array(TEXTS),
        pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
        datasets.Dataset.from_dict({"text": TEXTS})["text"],
        datasets.Dataset.from_dict({"text": TEXTS}),
        datasets.Dataset.from_dict({"text": TEXTS}).to_iterable_dataset(),
        [{"text": text} for text in TEXTS],
        [Document(body=text) for text in TEXTS],
        [Record(Document(body=text)) for text in TEXTS],
    ],
    ids=lambda column: f"{type(column).__module__}.{type(column).__name__}",
)
def test_columns(column: Iterable[Any]) -> None:
    assert not is_one(column)
    assert bodies(column) == TEXTS


@pytest.mark.parametrize(
    "table",
    [pd.DataFrame(ROWS), pl.DataFrame(ROWS), pa.table(ROWS), datasets.Dataset.from_dict(ROWS)],
    ids=lambda table: f"{type(table).__module__}",
)
def test_rows_of_a_table(table: Iterable[Any]) -> None:
    documents = list(to_documents(table))
    assert documents == [
        Document(id="row:1", body=TEXTS[0], title="Sun"),
        Document(id="row:2", body=TEXTS[1], title="Wind"),
    ]


def test_ids() -> None:
    given = ["A text.", Document(body="A text."), Document(id="x", body="A text."), {"id": 7, "text": "A text."}]
    assert [each.id for each in to_documents(given) if isinstance(each, Document)] == ["1", "2", "x", "7"]
    assert to_document("A text.").id == ""


@pytest.mark.parametrize("lang", ["de", "auto", None])
def test_language_is_detected_or_taken(lang: str | None) -> None:
    german = "Die Sonnenkollektoren verlieren mit dem Alter an Leistung."
    assert to_document(german).lang == "de"
    assert to_document({"text": german, "lang": lang}).lang == "de"
    assert to_document({"text": german, "lang": "fr"}).lang == "fr"


@pytest.mark.parametrize(
    "column",
    [
        [None, TEXTS[1]],
        [float("nan"), TEXTS[1]],
        pd.Series([None, TEXTS[1]]),
        pd.Series([None, TEXTS[1]], dtype="string"),
        pl.Series([None, TEXTS[1]]),
        pa.array([None, TEXTS[1]]),
    ],
    ids=lambda column: type(column).__name__,
)
def test_cell_without_a_value_is_rejected_in_its_position(column: Iterable[Any]) -> None:
    assert bodies(column) == ["document 1: no text: the value is null", TEXTS[1]]


def test_row_without_a_value() -> None:
    table = pd.DataFrame({"title": ["Sun", None], "text": [None, np.nan], "id": [1, 2]})
    first, second = to_documents(table)
    assert first == Document(id="1", body="", title="Sun")
    assert isinstance(second, RejectedDocument)
    assert str(second).startswith("document 2: no text: one of these fields is needed: title, abstract, text")


def test_values_of_numpy_in_a_row() -> None:
    row = {"text": "A text.", "id": np.int64(7), "keyphrases": np.array(["text"])}
    assert to_document(row).id == "7"


def test_records_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "x", "text": "A text."}\n{"id": "y"}\n')
    first, second = to_documents(read_records([str(tmp_path)]))
    assert first == Document(id="x", body="A text.")
    assert str(second).startswith(f"document {tmp_path}/a.jsonl:2: no text: ")
    assert is_one(Reject("a", 1, "no text"))


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (None, "not None"),
        (5, "not int"),
        (b"A text.", "not bytes (decode them)"),
        (Path("a.txt"), "not a path (read it with kpray.read_records(['a.txt']))"),
        (pl.DataFrame({"text": TEXTS}).lazy(), "not LazyFrame"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_documents_at_all(given: Any, part: str) -> None:
    with pytest.raises(TypeError) as caught:
        list(to_documents(given))
    assert str(caught.value) == f"predict takes texts, Documents or rows, {part}"


@pytest.mark.parametrize(
    ("item", "part"),
    [
        (TEXTS, "not list"),
        (5, "not int"),
        (b"A text.", "not bytes (decode them)"),
        (Path("a.txt"), "not a path (read it with kpray.read_records(['a.txt']))"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_item_that_is_no_document(item: Any, part: str) -> None:
    with pytest.raises(TypeError) as caught:
        list(to_documents([TEXTS[0], item]))
    expected = f"a document must be a string, a Document or a row with a text field, {part} at index 1"
    assert str(caught.value) == expected


def test_name_of_a_file_is_not_a_text(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("A text.")
    for call in (lambda: to_document(str(file)), lambda: list(to_documents([str(file)]))):
        with pytest.raises(UserError) as caught:
            call()
        assert (
            str(caught.value) == f"{file}: this is the name of a file, not a text (kpray.read_records([{str(file)!r}]))"
        )
    assert to_document(str(tmp_path / "absent.txt")).body.endswith("absent.txt")
    assert to_document("a\0.txt").body == "a\0.txt"
