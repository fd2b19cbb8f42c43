"""The fields of a record, under the names that the field's public data sets give them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kpray.corpus.limits import Limits
from kpray.document import Document, Record
from kpray.errors import RejectedDocument

# In each list the first field that has a value counts.
_TITLE = ("title",)
_ABSTRACT = ("abstract",)
_TEXT = ("text", "document", "body", "content", "contents", "src")
_LANG = ("lang", "language")
_ID = ("id", "_id", "doc_id", "paper_id", "name")
_KEYPHRASES = ("keyphrases", "keywords", "keyword", "tags", "kps")
_STEMMED = ("keyphrases_stem",)
_PRESENT, _ABSENT = ("present",), ("absent",)
_ENGLISH = ("english_ids",)

FIELDS = frozenset(
    _TITLE + _ABSTRACT + _TEXT + _LANG + _ID + _KEYPHRASES + _STEMMED + _PRESENT + _ABSENT + _ENGLISH
)  #: all that kpray looks at
_TYPES = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}


def parse_json(raw: bytes) -> dict[str, Any]:
    """Object that a JSON text holds.

    Raises:
        RejectedDocument: it is not UTF-8, not JSON, or not an object.
    """
    try:
        value = json.loads(decode(raw))
    except json.JSONDecodeError as error:
        raise RejectedDocument(f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}") from error
    except RecursionError as error:
        raise RejectedDocument("JSON is nested too deeply") from error
    except ValueError as error:
        raise RejectedDocument("not JSON: a number has too many digits") from error
    if not isinstance(value, dict):
        raise RejectedDocument(f"not a JSON object but {_type(value)}")
    return value


def decode(raw: bytes) -> str:
    """Text of UTF-8 bytes, without a byte-order mark.

    Raises:
        RejectedDocument: naming the first byte that is not UTF-8, counted from 1.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RejectedDocument(f"not UTF-8 at byte {error.start + 1}") from error


def parse_fields(fields: Mapping[str, Any], *, source: str, line: int, lang: str, limits: Limits) -> Record:
    """Record of a JSON object or a table row; null counts as missing.

    The body is the abstract, a line break and the text, or the one of them that there is. Gold keyphrases are a list,
    or a string with ";" between them; where there are only `present` and `absent`, their union in that order.

    Args:
        fields: field names and values.
        source: name of the file.
        line: line of the record, counted from 1.
        lang: language of a record that names none.
        limits: sizes beyond which a record is rejected.

    Raises:
        RejectedDocument: it has no text, a field has the wrong type, or its text is too long.
    """
    title = _string(fields, _TITLE)
    abstract, text = _string(fields, _ABSTRACT), _string(fields, _TEXT)
    if abstract is None and text is None and not title:
        raise RejectedDocument(f"no text: needs one of the fields {', '.join(_TITLE + _ABSTRACT + _TEXT)}")
    keyphrases = _phrases(fields, _KEYPHRASES)
    if keyphrases is None:
        present, absent = _phrases(fields, _PRESENT) or (), _phrases(fields, _ABSENT) or ()
        keyphrases = tuple(dict.fromkeys(present + absent))
    document = make_document(
        id=_id(fields) or f"{source}:{line}",
        body="\n".join(part for part in (abstract, text) if part),
        title=title or "",
        lang=_string(fields, _LANG) or lang,
        limits=limits,
    )
    return Record(document, keyphrases, _phrases(fields, _STEMMED), source, line, _english_ids(fields))


def make_document(*, id: str, body: str, title: str, lang: str, limits: Limits) -> Document:
    """Document without white space around its title and body.

    Raises:
        RejectedDocument: its text is too long.
    """
    document = Document(id=id, body=body.strip(), title=title.strip(), lang=lang)
    if len(document.text) > limits.max_characters:
        raise RejectedDocument(
            f"the text has {len(document.text)} characters, more than {limits.max_characters} (max_characters)"
        )
    return document


def _string(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """First of the fields with a text that is not blank, stripped; "" when all are blank, None when all are missing."""
    found = None
    for name in names:
        value = fields.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise RejectedDocument(f"field {name}: {_type(value)} where a string is needed")
        found = _valid(value, name).strip()
        if found:
            return found
    return found


def _id(fields: Mapping[str, Any]) -> str | None:
    for name in _ID:
        value = fields.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise RejectedDocument(f"field {name}: {_type(value)} where a string or a whole number is needed")
        return _valid(str(value), name)
    return None


def _english_ids(fields: Mapping[str, Any]) -> tuple[str, ...]:
    (name,) = _ENGLISH
    value = fields.get(name)
    if value is None or value == "":  # an empty cell of a table
        return ()
    ids = value if isinstance(value, list) else [value]
    for id in ids:
        if isinstance(id, bool) or not isinstance(id, str | int):
            raise RejectedDocument(f"field {name}: {_type(id)} where a string or a whole number is needed")
    return tuple(_valid(str(id), name) for id in ids)


def _phrases(fields: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...] | None:
    """First of the fields that is there, as phrases without blank ones; None when all are missing."""
    for name in names:
        value = fields.get(name)
        if value is None:
            continue
        if isinstance(value, str):
            value = value.split(";")
        if not isinstance(value, list):
            raise RejectedDocument(f"field {name}: {_type(value)} where a list of strings is needed")
        for place, phrase in enumerate(value, start=1):
            if not isinstance(phrase, str):
                raise RejectedDocument(f"field {name}: item {place} is {_type(phrase)}, not a string")
        return tuple(phrase for phrase in (_valid(phrase, name).strip() for phrase in value) if phrase)
    return None


def _valid(text: str, name: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RejectedDocument(f"field {name}: invalid Unicode (a lone surrogate)") from error
    return text


def _type(value: object) -> str:
    return "null" if value is None else _TYPES.get(type(value), type(value).__name__)
