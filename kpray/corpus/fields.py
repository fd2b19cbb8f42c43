"""The fields of a record, under the names used in public keyphrase datasets."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kpray.corpus.limits import Limits, Reading
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
_PRESENT, _ABSENT = ("present", "extractive_keyphrases"), ("absent", "abstractive_keyphrases")
_ENGLISH = ("english_ids",)

FIELDS = frozenset(
    _TITLE + _ABSTRACT + _TEXT + _LANG + _ID + _KEYPHRASES + _STEMMED + _PRESENT + _ABSENT + _ENGLISH
)  #: all field names that kpray reads
_SHOWN_NAMES = 20
_TYPES = {
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


_CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u3000-\u303f\uff01-\uff5e"
_CJK_SPACE = re.compile(f"(?<=[{_CJK}]) (?=[{_CJK}])")


def text_columns(names: Sequence[str], reading: Reading) -> list[str]:
    """The columns of a table that can be the text or the title of a document."""
    wanted = {*reading.text_field, reading.title_field or ""}
    usual = _TITLE + _ABSTRACT + _TEXT
    return [name for name in names if name.strip() in wanted or name.strip().lower() in usual]


def column_names(names: Sequence[str], reading: Reading) -> list[str | None]:
    """The names of a table's columns as `parse_fields` reads them; None for columns that it does not read.

    Raises:
        RejectedDocument: a column that an option names is missing, or there is no column with a text.
    """
    named = [*reading.text_field, *reading.keep, *filter(None, (reading.title_field, reading.id_field))]
    stripped = [name.strip() for name in names]
    for name in named:
        if name not in stripped:
            raise RejectedDocument(f"no column {name!r}; {_named('columns', stripped)}")
    if not text_columns(names, reading):
        raise RejectedDocument(f"no column of text: {_needed()}, or --text-field; {_named('columns', stripped)}")
    return [name if name in named else name.lower() if name.lower() in FIELDS else None for name in stripped]


def _needed() -> str:
    return f"one of these fields is needed: {', '.join(_TITLE + _ABSTRACT + _TEXT)}"


def _named(kind: str, names: Sequence[str]) -> str:
    shown = ", ".join(name[:40] for name in names[:_SHOWN_NAMES])
    return f"the {kind} are: {shown}{', ...' if len(names) > _SHOWN_NAMES else ''}" if names else f"there are no {kind}"


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


def parse_fields(fields: Mapping[str, Any], *, source: str, line: int, reading: Reading) -> Record:
    """Make a record from a JSON object or a table row; null counts as missing.

    The body is the abstract and the text, joined by a line break if both are present, or the fields of
    `reading.text_field`. A text may be a list of tokens or paragraphs. Gold keyphrases are a list or a string with the
    separator ";". If there are only the fields `present` and `absent`, the keyphrases are their union in that order.

    Args:
        fields: field names and values.
        source: name of the file.
        line: line of the record, counted from 1.
        reading: names of the fields, language of records without one, and maximum sizes.

    Raises:
        RejectedDocument: the record has no text, a field has the wrong type, or the text is too long.
    """
    title = _text(fields, (reading.title_field,) if reading.title_field else _TITLE)
    bodies: list[tuple[str, ...]] = [(name,) for name in reading.text_field] or [_ABSTRACT, _TEXT]
    texts = [_text(fields, names) for names in bodies]
    if all(text is None for text in texts) and (reading.text_field or not title):
        if reading.text_field:
            raise RejectedDocument(f"no field {' or '.join(reading.text_field)}; {_named('fields', list(fields))}")
        raise RejectedDocument(f"no text: {_needed()}; {_named('fields', list(fields))}")
    keyphrases = stemmed = None
    english_ids: tuple[str, ...] = ()
    if reading.gold:
        keyphrases = _phrases(fields, _KEYPHRASES)
        if keyphrases is None:
            present, absent = _phrases(fields, _PRESENT) or (), _phrases(fields, _ABSENT) or ()
            keyphrases = tuple(dict.fromkeys(present + absent))
        stemmed, english_ids = _phrases(fields, _STEMMED), _english_ids(fields)
    document = make_document(
        id=_id(fields, (reading.id_field,) if reading.id_field else _ID) or f"{source}:{line}",
        body="\n".join(text for text in texts if text),
        title=title or "",
        lang=_string(fields, _LANG) or reading.lang,
        limits=reading.limits,
    )
    metadata = {name: _json_value(fields[name]) for name in reading.keep if name in fields}
    return Record(document, keyphrases or (), stemmed, source, line, english_ids, metadata)


def make_document(*, id: str, body: str, title: str, lang: str, limits: Limits) -> Document:
    """Make a document; white space around title and body is removed, and its language is detected if `lang` is `auto`.

    Raises:
        RejectedDocument: the text is too long.
    """
    document = Document(id=id, body=body.strip(), title=title.strip(), lang=lang)
    check_length(document.text, limits)
    return document


def check_length(text: str, limits: Limits) -> None:
    """Check that a text is not too long.

    Raises:
        RejectedDocument: the text is too long.
    """
    if len(text) > limits.max_characters:
        raise RejectedDocument(
            f"the text has {len(text)} characters, more than the limit of {limits.max_characters} "
            "(limits.max_characters)"
        )


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


def _text(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """As `_string`; lists of strings are joined."""
    joined = {name: _joined(fields[name], name) for name in names if isinstance(fields.get(name), list)}
    return _string({**fields, **joined} if joined else fields, names)


def _joined(parts: list[Any], name: str) -> str:
    """Text of a list: of tokens, or of paragraphs or sentences."""
    for number, part in enumerate(parts, start=1):
        if not isinstance(part, str):
            raise RejectedDocument(f"field {name}: item {number} is {_type(part)}, not a string")
    if any(" " in part.strip() for part in parts):
        return "\n".join(parts)
    from nltk.tokenize.treebank import TreebankWordDetokenizer

    text: str = TreebankWordDetokenizer().detokenize([part for part in parts if part], convert_parentheses=True)
    return _CJK_SPACE.sub("", text)


def _id(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = fields.get(name)
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            continue
        if isinstance(value, list | dict | bytes):
            raise RejectedDocument(f"field {name}: expected a string or another single value, found {_type(value)}")
        return _valid(str(value).lower() if isinstance(value, bool) else str(value), name)
    return None


def _json_value(value: Any) -> Any:
    """A value of JSON: dates, decimal numbers and other types of tables become strings."""
    if isinstance(value, dict):
        return {str(key): _json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if value is None or isinstance(value, str | int | float) else str(value)


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
