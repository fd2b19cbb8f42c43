"""Turns what programs pass to `Predictor.predict` into documents: strings, records, and columns of tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from typing_extensions import TypeIs

from kpray.corpus.fields import parse_fields
from kpray.corpus.limits import Limits, Reading
from kpray.corpus.records import Reject
from kpray.corpus.sources import FORMATS
from kpray.document import Document, Record
from kpray.errors import RejectedDocument, UserError

_LONGEST_PATH = 4096
_ANY_SIZE = Reading(limits=Limits(max_characters=2**62), gold=False)  # the program holds the text in memory already

#: one document
Text: TypeAlias = str | Document | Record | Reject | Mapping[str, Any]


def is_one(given: object) -> TypeIs[Text]:
    """Whether `given` is one document, and not a collection of documents."""
    return isinstance(given, str | Document | Record | Reject | Mapping)


def to_document(given: Text, number: int = 0) -> Document:
    """Make a document.

    Args:
        given: a text, a `Document`, what `read_records` yields, or a row of a table with the fields that files have.
        number: position of the document in its collection, counted from 1; 0: it is the only one. It is the id of a
            document without one.

    Raises:
        RejectedDocument: a row has no text, or a field has the wrong type; or `read_records` rejected the record.
        UserError: the text is the name of a file.
        TypeError: `given` is nothing of all this.
    """
    if isinstance(given, Document):
        return given if given.id else replace(given, id=_id(number))
    if isinstance(given, Record):
        return given.document
    if isinstance(given, Reject):
        raise RejectedDocument(given.reason, f"{given.source}:{given.line}")
    if isinstance(given, str):
        _check_path(given)
        return Document(id=_id(number), body=given)
    if isinstance(given, Mapping):
        fields = {name: _plain(value) for name, value in given.items()}
        return parse_fields(fields, source="row", line=number or 1, reading=_ANY_SIZE).document
    if number and _plain(given) is None:  # a cell of a column
        raise RejectedDocument("no text: the value is null")
    where = f" at index {number - 1}" if number else ""
    raise TypeError(f"a document must be a string, a Document or a row with a text field, not {_kind(given)}{where}")


def to_documents(given: Iterable[object]) -> Iterator[Document | RejectedDocument]:
    """Make a document of each item; one that cannot be made is a `RejectedDocument` in its position.

    Args:
        given: any iterable. Tables of pandas, Polars and pyarrow give their rows.

    Raises:
        UserError, TypeError: as `to_document`; `given` is no iterable.
    """
    for number, item in enumerate(_rows(given), start=1):
        try:
            yield to_document(item, number)  # type: ignore[arg-type]
        except RejectedDocument as error:
            yield error if error.document else RejectedDocument(error.reason, str(number))


def _rows(given: Any) -> Iterable[object]:
    """The items of a collection. A table, which iterates over its columns or has no iterator, gives its rows."""
    if hasattr(given, "iter_rows") and hasattr(given, "columns"):  # Polars
        rows: Iterable[object] = given.iter_rows(named=True)
    elif hasattr(given, "iterrows"):  # pandas
        rows = given.to_dict("records")
    elif hasattr(given, "to_pylist"):  # pyarrow: its scalars are no strings
        rows = given.to_pylist()
    elif isinstance(given, bytes | bytearray | os.PathLike) or not isinstance(given, Iterable):
        raise TypeError(f"predict takes texts, Documents or rows, not {_kind(given)}")
    else:
        rows = given
    return rows


def _id(number: int) -> str:
    return str(number or "")


def _plain(value: object) -> object:
    """A cell without NumPy's types; None if it has no value (NaN, pandas.NA, NaT)."""
    if type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value):
        return None
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    return value


def _check_path(text: str) -> None:
    """Raise an error if a text is the name of a file that kpray can read."""
    short = len(text) <= _LONGEST_PATH and "\n" not in text and "\0" not in text
    if short and text.lower().endswith(tuple(FORMATS)) and os.path.isfile(text):
        raise UserError("this is the name of a file, not a text", where=text, fix=f"kpray.read_records([{text!r}])")


def _kind(given: object) -> str:
    """The type of a value, as an error names it, with what to do instead."""
    if isinstance(given, bytes | bytearray):
        return "bytes (decode them)"
    if isinstance(given, os.PathLike):
        return f"a path (read it with kpray.read_records([{os.fspath(given)!r}]))"
    if given is None:
        return "None"
    return type(given).__name__
