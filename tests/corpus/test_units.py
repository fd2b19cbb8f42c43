"""Documents split into sentences and sections."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.corpus.units import Split, split_document, split_record
from kpray.document import Document, Record
from kpray.text.words import sentence_spans

BODY = """Graphs are everywhere. We count them.

# Related work ##
Others count trees.

More on trees, e.g. forests.

2 Method

We count edges."""


def units(split: Split, body: str, title: str = "") -> list[tuple[str, str, str]]:
    return [(each.id, each.title, each.body) for each in split_document(Document("d", body, title=title), split)]


def test_sections_begin_at_headings() -> None:
    assert units("sections", BODY, "Counting") == [
        ("d#1", "Counting", "Graphs are everywhere. We count them."),
        ("d#2", "Related work", "Others count trees.\n\nMore on trees, e.g. forests."),
        ("d#3", "2 Method", "We count edges."),
    ]


@pytest.mark.parametrize(
    ("body", "title", "expected"),
    [
        ("One.\n \nTwo.", "T", [("d#1", "T", "One."), ("d#2", "", "Two.")]),
        ("One.", "", [("d#1", "", "One.")]),
        ("", "T", [("d#1", "T", "")]),
        ("", "", []),
        ("\n\n", "", []),
        ("# A\n\n# B", "", [("d#1", "A", ""), ("d#2", "B", "")]),
    ],
)
def test_texts_without_headings_are_split_at_blank_lines(body: str, title: str, expected: Any) -> None:
    assert units("sections", body, title) == expected


def test_sentences() -> None:
    assert units("sentences", "It works. Does it? Yes", "Counting") == [
        ("d#1", "", "Counting."),
        ("d#2", "", "It works."),
        ("d#3", "", "Does it?"),
        ("d#4", "", "Yes"),
    ]
    assert units("sentences", " ") == []


@given(text=st.text(alphabet="aB.!? \n。", max_size=60))
def test_sentences_hold_all_that_is_no_white_space(text: str) -> None:
    spans = sentence_spans(text)
    assert "".join("".join(text[start:end].split()) for start, end in spans) == "".join(text.split())
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans)
    assert [offset for span in spans for offset in span] == sorted(offset for span in spans for offset in span)


def test_units_keep_the_language_and_the_origin_of_their_record() -> None:
    record = Record(Document("7", "Un graphe. Des arbres.", lang="fr"), source="a.jsonl", line=3)
    found = split_record(record, "sentences")
    assert [(each.document.id, each.document.lang, each.source, each.line) for each in found] == [
        ("7#1", "fr", "a.jsonl", 3),
        ("7#2", "fr", "a.jsonl", 3),
    ]
    assert split_record(record, None) == [record]
