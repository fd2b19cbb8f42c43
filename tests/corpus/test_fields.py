"""Records from JSON objects: text, id and gold fields, and all reasons to reject a record."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.corpus.fields import FIELDS, parse_fields, parse_json
from kpray.corpus.limits import Limits, Reading
from kpray.document import Document, Record
from kpray.errors import RejectedDocument


def parse(fields: dict[str, Any], lang: str = "en", limits: Limits | None = None) -> Record:
    return parse_fields(fields, source="in/a.jsonl", line=7, reading=Reading(lang=lang, limits=limits or Limits()))


def test_full_record() -> None:
    fields = {
        "id": "C-1",
        "lang": "fr",
        "title": "A title ",
        "abstract": "An abstract.",
        "text": "The text.",
        "keyphrases": ["b phrase", "a phrase"],
        "keyphrases_stem": ["b phrase+phrase b"],
        "english_ids": ["E-2", "E-1"],
        "year": 2001,
    }
    document = Document(id="C-1", title="A title", body="An abstract.\nThe text.", lang="fr")
    stemmed = ("b phrase+phrase b",)
    record = Record(document, ("b phrase", "a phrase"), stemmed, "in/a.jsonl", 7, english_ids=("E-2", "E-1"))
    assert parse(fields) == record


@pytest.mark.parametrize("name", ["text", "document", "body", "content", "contents", "src", "abstract"])
def test_body_fields(name: str) -> None:
    assert parse({name: "The body."}).document == Document(id="in/a.jsonl:7", body="The body.")


@pytest.mark.parametrize(
    ("fields", "title", "body"),
    [
        ({"title": "T"}, "T", ""),
        ({"title": "T", "text": None}, "T", ""),
        ({"title": None, "text": "B"}, "", "B"),
        ({"title": "T", "text": ""}, "T", ""),
        ({"text": ""}, "", ""),  # empty but present: a document without keyphrases
        ({"abstract": " \n"}, "", ""),
        ({"abstract": "", "text": "B"}, "", "B"),
        ({"abstract": "A", "text": ""}, "", "A"),
        ({"abstract": None, "text": "B"}, "", "B"),
        ({"text": "", "body": "B"}, "", "B"),
        ({"text": "B", "body": "C"}, "", "B"),
    ],
)
def test_choice_of_text_fields(fields: dict[str, Any], title: str, body: str) -> None:
    document = parse(fields).document
    assert (document.title, document.body) == (title, body)


@pytest.mark.parametrize(
    ("fields", "id"),
    [
        ({"id": "a"}, "a"),
        ({"id": 12}, "12"),
        ({"_id": "a"}, "a"),
        ({"doc_id": "a"}, "a"),
        ({"paper_id": "a"}, "a"),
        ({"name": "a"}, "a"),
        ({"name": "b", "id": "a"}, "a"),
        ({"id": None, "name": "b"}, "b"),
        ({"id": ""}, "in/a.jsonl:7"),
        ({"id": 0}, "0"),
        ({"id": 1.5}, "1.5"),
        ({"id": True}, "true"),
        ({"id": math.nan, "name": "b"}, "b"),
        ({"id": datetime.date(2024, 5, 1)}, "2024-05-01"),
        ({"id": decimal.Decimal("7.10")}, "7.10"),
    ],
)
def test_id(fields: dict[str, Any], id: str) -> None:
    assert parse({"text": "B", **fields}).document.id == id


@pytest.mark.parametrize(
    ("fields", "lang"),
    [
        ({}, "ko"),
        ({"lang": None}, "ko"),
        ({"lang": ""}, "ko"),
        ({"lang": "zh_CN"}, "zh_CN"),
        ({"language": "de"}, "de"),
    ],
)
def test_lang(fields: dict[str, Any], lang: str) -> None:
    assert parse({"text": "B", **fields}, lang="ko").document.lang == lang


@pytest.mark.parametrize(
    ("fields", "keyphrases", "stemmed"),
    [
        ({}, (), None),
        ({"keyphrases": None}, (), None),
        ({"keyphrases": []}, (), None),
        ({"keywords": ["a b", " c ", "", "a b"]}, ("a b", "c", "a b"), None),
        ({"keyword": "a b;c; ;d"}, ("a b", "c", "d"), None),
        ({"tags": ["a"]}, ("a",), None),
        ({"kps": "a"}, ("a",), None),
        ({"keyphrases": ["a"], "keywords": ["b"], "present": ["c"]}, ("a",), None),
        ({"present": ["b", "a"], "absent": ["c", "a"]}, ("b", "a", "c"), None),
        ({"absent": "c;d"}, ("c", "d"), None),
        ({"keyphrases": [], "present": ["a"]}, (), None),
        ({"keyphrases_stem": "a;b"}, (), ("a", "b")),
        ({"keyphrases_stem": []}, (), ()),
        ({"extractive_keyphrases": ["b"], "abstractive_keyphrases": ["c"]}, ("b", "c"), None),
    ],
)
def test_gold(fields: dict[str, Any], keyphrases: tuple[str, ...], stemmed: tuple[str, ...] | None) -> None:
    record = parse({"text": "B", **fields})
    assert (record.keyphrases, record.stemmed) == (keyphrases, stemmed)


@pytest.mark.parametrize(
    ("fields", "english_ids"),
    [
        ({}, ()),
        ({"english_ids": None}, ()),
        ({"english_ids": ""}, ()),
        ({"english_ids": []}, ()),
        ({"english_ids": "a;b"}, ("a;b",)),  # one id, with any character
        ({"english_ids": 12}, ("12",)),
        ({"english_ids": ["b", 0, " a "]}, ("b", "0", " a ")),  # same as for `id`
    ],
)
def test_english_ids(fields: dict[str, Any], english_ids: tuple[str, ...]) -> None:
    assert parse({"text": "B", **fields}).english_ids == english_ids


NO_TEXT = "no text: one of these fields is needed: title, abstract, text, document, body, content, contents, src"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, f"{NO_TEXT}; there are no fields"),
        ({"id": "a", "keyphrases": ["b"]}, f"{NO_TEXT}; the fields are: id, keyphrases"),
        ({"text": None, "title": None}, f"{NO_TEXT}; the fields are: text, title"),
        ({"title": "  "}, f"{NO_TEXT}; the fields are: title"),
        ({"text": 3}, "field text: expected a string, found an integer"),
        ({"text": True}, "field text: expected a string, found a boolean"),
        ({"document": ["a", 3]}, "field document: item 2 is an integer, not a string"),
        ({"abstract": {}, "text": "B"}, "field abstract: expected a string, found an object"),
        ({"title": 1.5, "text": "B"}, "field title: expected a string, found a decimal number"),
        ({"text": b"bytes"}, "field text: expected a string, found bytes"),
        ({"text": "B", "lang": ["en"]}, "field lang: expected a string, found a list"),
        ({"text": "B", "id": [1]}, "field id: expected a string or another single value, found a list"),
        ({"text": "B", "id": {"a": 1}}, "field id: expected a string or another single value, found an object"),
        ({"text": "B", "keyphrases": 3}, "field keyphrases: expected a list of strings, found an integer"),
        ({"text": "B", "keywords": {"a": 1}}, "field keywords: expected a list of strings, found an object"),
        ({"text": "B", "keyphrases": ["a", None]}, "field keyphrases: item 2 is null, not a string"),
        ({"text": "B", "keyphrases": [["a"]]}, "field keyphrases: item 1 is a list, not a string"),
        ({"text": "B", "keyphrases_stem": [1]}, "field keyphrases_stem: item 1 is an integer, not a string"),
        ({"text": "B", "present": True}, "field present: expected a list of strings, found a boolean"),
        ({"text": "B", "english_ids": 1.5}, "field english_ids: expected strings or integers, found a decimal number"),
        (
            {"text": "B", "english_ids": [True]},
            "field english_ids: expected strings or integers, found a boolean",
        ),
        (
            {"text": "B", "english_ids": ["a", None]},
            "field english_ids: expected strings or integers, found null",
        ),
        (
            {"text": "B", "english_ids": {"a": 1}},
            "field english_ids: expected strings or integers, found an object",
        ),
        ({"text": "B", "english_ids": ["\ud800"]}, "field english_ids: invalid Unicode (a lone surrogate)"),
        ({"text": "a \ud800 b"}, "field text: invalid Unicode (a lone surrogate)"),
        ({"text": "B", "id": "\udfff"}, "field id: invalid Unicode (a lone surrogate)"),
        ({"text": "B", "kps": ["\ud800"]}, "field kps: invalid Unicode (a lone surrogate)"),
    ],
)
def test_rejected_fields(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(RejectedDocument) as raised:
        parse(fields)
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        (["Solar", "panels", "lose", "output", "."], "Solar panels lose output."),
        (["He", "does", "n't", "(", "never", ")", "ask", ",", "why", "?"], "He doesn't (never) ask, why?"),
        (["-LRB-", "U.S.", "-RRB-", "owner", "'s", "``", "pump", "''"], '(U.S.) owner\'s "pump"'),
        (["太阳能", "电池板", "输出", "。"], "太阳能电池板输出。"),
        (["One sentence.", "Another one."], "One sentence.\nAnother one."),
        (["", "word"], "word"),
        ([], ""),
    ],
)
def test_lists_of_tokens_and_of_sentences_are_joined(parts: list[str], body: str) -> None:
    assert parse({"document": parts}).document.body == body


def test_fields_named_by_options() -> None:
    fields = {"Summary": "S", "Notes": "N", "Head": "H", "key": 7, "text": "T", "title": "x", "id": "y", "year": 1999}
    reading = Reading(
        lang="en", text_field=("Summary", "Notes"), title_field="Head", id_field="key", keep=("year", "absent")
    )
    record = parse_fields(fields, source="a.jsonl", line=3, reading=reading)
    assert record == Record(Document("7", "S\nN", "H"), source="a.jsonl", line=3, metadata={"year": 1999})


def test_missing_field_that_an_option_names() -> None:
    with pytest.raises(RejectedDocument) as raised:
        parse_fields({"text": "T", "title": "x"}, source="a", line=1, reading=Reading(text_field=("Summary", "Notes")))
    assert raised.value.reason == "no field Summary or Notes; the fields are: text, title"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        ([1, "a", {"b": [True]}], [1, "a", {"b": [True]}]),
        (math.inf, None),
        (datetime.datetime(2024, 5, 1, 12), "2024-05-01 12:00:00"),
        (decimal.Decimal("1.50"), "1.50"),
        (b"\xff", "\\xff"),
    ],
)
def test_metadata_is_json(value: Any, kept: Any) -> None:
    reading = Reading(lang="en", keep=("value",))
    record = parse_fields({"text": "T", "value": value}, source="a", line=1, reading=reading)
    assert record.metadata == {"value": kept}
    assert json.loads(json.dumps(record.metadata, allow_nan=False)) == {"value": kept}


@pytest.mark.parametrize("gold", [{"tags": [{"name": "a"}]}, {"tags": [2024]}, {"present": True}, {"english_ids": 1.5}])
def test_gold_of_any_type_is_ignored_where_it_is_not_needed(gold: dict[str, Any]) -> None:
    reading = Reading(lang="en", gold=False)
    record = parse_fields({"text": "T", **gold}, source="a", line=1, reading=reading)
    assert record == Record(Document("a:1", "T"), source="a", line=1)


def test_length_counts_title_and_body() -> None:
    fields = {"title": "12345.", "text": "12"}  # joined with a space
    assert len(parse(fields, limits=Limits(max_characters=6 + 1 + 2)).document.text) == 6 + 1 + 2
    with pytest.raises(
        RejectedDocument, match=r"^the text has 9 characters, more than the limit of 8 \(limits\.max_characters\)$"
    ):
        parse(fields, limits=Limits(max_characters=8))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"text": "a"', "not JSON: Expecting ',' delimiter at column 13"),
        (b"plain text", "not JSON: Expecting value at column 1"),
        (b'{"text": "a"} {}', "not JSON: Extra data at column 15"),
        (b'{"text": "a\tb"}', "not JSON: Invalid control character at column 12"),
        (b"[1, 2]", "expected a JSON object, found a list"),
        (b'"text"', "expected a JSON object, found a string"),
        (b"12", "expected a JSON object, found an integer"),
        (b"null", "expected a JSON object, found null"),
        (b'{"text": "caf\xe9"}', "not UTF-8 at byte 14"),
        ('{"text": "a"}'.encode("utf-16"), "not UTF-8 at byte 1"),
        (b'{"a":' * 200_000, "the JSON is nested too deeply"),
        (b'{"id": ' + b"1" * 5000 + b"}", "not JSON: a number has too many digits"),
    ],
)
def test_rejected_json(raw: bytes, reason: str) -> None:
    with pytest.raises(RejectedDocument) as raised:
        parse_json(raw)
    assert raised.value.reason == reason


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(fields=st.dictionaries(st.sampled_from(sorted(FIELDS)), json_values))
def test_any_object_is_a_storable_record_or_a_reject(fields: dict[str, Any]) -> None:
    try:
        record: Record | str = parse(parse_json(json.dumps(fields).encode()))
    except RejectedDocument as error:
        record = error.reason
    if isinstance(record, str):
        assert record
        assert "\n" not in record
    else:
        strings = [record.document.text, record.document.id, record.document.lang, *record.keyphrases]
        strings += record.english_ids
        assert all(string.encode() is not None for string in strings)
        assert record.document.id
        assert record.document.lang
        assert all(phrase == phrase.strip() != "" for phrase in record.keyphrases)


@pytest.mark.parametrize("fields", [{}, {"lang": "und"}, {"language": None}])
def test_language_is_detected(fields: dict[str, Any]) -> None:
    document = parse({"text": "Der Gletscher schmilzt im warmen Sommer.", **fields}, lang="auto").document
    assert (document.lang, document.lang_source) == ("de", "detected")


def test_language_of_a_record_is_not_detected() -> None:
    document = parse({"text": "Der Gletscher schmilzt.", "lang": "fr"}, lang="auto").document
    assert (document.lang, document.lang_source) == ("fr", "named")
