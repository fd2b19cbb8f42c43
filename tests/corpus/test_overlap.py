"""Documents that two collections share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kpray.corpus.limits import Reading
from kpray.corpus.overlap import fingerprints, read_fingerprints
from kpray.document import Document

BODY = " ".join(f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyzabcdefgh")
ONE = Document("1", BODY, "Sparse graphs of large networks")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Document("2", "Another text.", "Sparse Graphs of Large Networks!"), True),
        (Document("2", BODY.upper() + " and more", "Another title"), True),
        (Document("2", f"<digit> 17 {BODY}".replace("<digit>", "3"), "Another title"), True),
        (Document("2", "Another text.", "Sparse graphs of small networks"), False),
        (Document("2", BODY[:50], "Another title"), False),
        (Document("2", "", "Sparse graphs"), False),
    ],
)
def test_same_document(other: Document, same: bool) -> None:
    assert bool(fingerprints(ONE) & fingerprints(other)) == same


def test_short_titles_tell_nothing() -> None:
    assert not fingerprints(Document("1", "A body of its own.", "Editorial"))


def test_read_fingerprints(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps({"title": ONE.title, "abstract": BODY}) + "\n{broken\n", encoding="utf-8")
    assert read_fingerprints([str(path)], Reading(lang="en")) == fingerprints(ONE)
