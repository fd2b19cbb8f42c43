"""The fields of a record, under the names used in public keyphrase datasets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kpray.corpus.limits import Limits
from kpray.document import Document, Record
from kpray.errors import RejectedDocument

# Names of each field; the first one with a value counts.
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
)  #: all field names that kpray reads
_TYPES = {
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def parse_json(raw: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        RejectedDocument: the text is not UTF-8, not JSON, or not an object.
    """
    try:
        value = json.loads(decode(raw))
    except json.JSONDecodeError as error:
        raise RejectedDocument(f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}") from error
    except RecursionError as error:
        raise RejectedDocument("the JSON is nested too deeply") from error
    except ValueError as error:
        raise RejectedDocument("not JSON: a number has too many digits") from error
    if not isinstance(value, dict):
        raise RejectedDocument(f"expected a JSON object, found {_type(value)}")
    return value


def decode(raw: bytes) -> str:
    """Decode UTF-8 and remove a byte-order mark.

    Raises:
        RejectedDocument: the bytes are not UTF-8; the reason has the position of the first wrong byte, counted from 1.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RejectedDocument(f"not UTF-8 at byte {error.start + 1}") from error


def parse_fields(fields: Mapping[str, Any], *, source: str, line: int, lang: str, limits: Limits) -> Record:
    """Make a record from a JSON object or a table row; null counts as missing.

    The body is the abstract and the text, joined by a line break if both are present. Gold keyphrases are a list or a
    string with the separator ";". If there are only the fields `present` and `absent`, the keyphrases are their union
    in that order.

    Args:
        fields: field names and values.
        source: name of the file.
        line: line of the record, counted from 1.
        lang: language of records without a language field; `auto`: detected from the text.
        limits: maximum sizes; larger records are rejected.

    Raises:
        RejectedDocument: the record has no text, a field has the wrong type, or the text is too long.
    """
    title = _string(fields, _TITLE)
    abstract, text = _string(fields, _ABSTRACT), _string(fields, _TEXT)
    if abstract is None and text is None and not title:
        raise RejectedDocument(f"no text: one of these fields is needed: {', '.join(_TITLE + _ABSTRACT + _TEXT)}")
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
    """Make a document; white space around title and body is removed, and its language is detected if `lang` is `auto`.

    Raises:
        RejectedDocument: the text is too long.
    """
    document = Document(id=id, body=body.strip(), title=title.strip(), lang=lang)
    if len(document.text) > limits.max_characters:
        raise RejectedDocument(
            f"the text has {len(document.text)} characters, more than the limit of {limits.max_characters} "
            "(limits.max_characters)"
        )
    return document


def _string(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """Stripped value of the first field that is not blank; "" if all are blank, None if all are missing."""
    found = None
    for name in names:
        value = fields.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise RejectedDocument(f"field {name}: expected a string, found {_type(value)}")
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
            raise RejectedDocument(f"field {name}: expected a string or an integer, found {_type(value)}")
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
            raise RejectedDocument(f"field {name}: expected strings or integers, found {_type(id)}")
    return tuple(_valid(str(id), name) for id in ids)


def _phrases(fields: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Phrases of the first field that is present, without blank ones; None if all fields are missing."""
    for name in names:
        value = fields.get(name)
        if value is None:
            continue
        if isinstance(value, str):
            value = value.split(";")
        if not isinstance(value, list):
            raise RejectedDocument(f"field {name}: expected a list of strings, found {_type(value)}")
        for number, phrase in enumerate(value, start=1):
            if not isinstance(phrase, str):
                raise RejectedDocument(f"field {name}: item {number} is {_type(phrase)}, not a string")
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
