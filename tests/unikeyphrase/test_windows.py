"""Long documents, which UniKeyphrase reads in windows."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray import cli
from kpray.document import Document, Keyphrase
from kpray.predictor import Predictor
from kpray.registry import open_predictor
from kpray.text.stems import stemmed_words
from kpray.unikeyphrase.config import DecodeConfig
from kpray.unikeyphrase.inputs import Encoder, window_bounds
from kpray.unikeyphrase.predictor import merge_windows, rank_keyphrases
from tests.unikeyphrase.tiny_model import RECORDS, SOURCE_TOKENS

ROOM = SOURCE_TOKENS - 2


def open_with(saved: Path, windows: int, **options: Any) -> Predictor[Any]:
    return open_predictor(str(saved), {"decode": {"windows": windows}, **options})


def by_text(keyphrases: list[Keyphrase]) -> dict[str, Keyphrase]:
    return {keyphrase.text: keyphrase for keyphrase in keyphrases}


@pytest.fixture(scope="module")
def encoder(saved: Path) -> Encoder:
    return Encoder(str(saved))


@pytest.fixture(scope="module")
def first(encoder: Encoder) -> Document:
    """A document that fills one window."""
    text = " ".join(record.document.text for record in RECORDS[:2])
    dots = SOURCE_TOKENS - len(encoder.encode_source(text, 1000).ids)
    return Document("first", text + " ." * dots)


@pytest.fixture(scope="module")
def long(first: Document) -> Document:
    """A document of two windows. The second one is a document that the model has memorized."""
    return Document("long", f"{first.text}\n\n{RECORDS[3].document.text}")


@given(
    st.lists(st.booleans(), max_size=60).map(lambda starts: [True, *starts]),
    st.lists(st.integers(0, 60), max_size=8),
    st.integers(1, 12),
    st.integers(1, 8),
)
def test_windows_are_neighbours_that_end_between_words(
    starts: list[bool], sentences: list[int], room: int, windows: int
) -> None:
    starts_word = np.array(starts)
    cuts = [*np.flatnonzero(starts_word).tolist(), len(starts)]
    bounds = window_bounds(starts_word, np.array(sentences, dtype=np.int64), room, windows)
    assert len(bounds) <= windows
    read = 0
    for start, end in bounds:
        assert 0 < end - start <= room
        assert {start, end} <= set(cuts)
        skipped = [cut for cut in cuts if read <= cut <= start]
        assert all(after - before > room for before, after in pairwise(skipped))
        read = end
    if max(np.diff(cuts)) <= room:
        [*full, last] = bounds
        assert all(end - start > room - max(np.diff(cuts)) - room // 4 - 1 for start, end in full)
        assert last[1] == max(cut for cut in cuts if cut <= last[0] + room) or len(bounds) < windows
        assert bounds == [(0, len(starts))] or len(starts) > room


def test_window_ends_with_a_sentence_in_its_last_quarter() -> None:
    words = np.full(30, True)
    assert window_bounds(words, np.array([3, 7, 9, 19]), 10, 3) == [(0, 9), (9, 19), (19, 29)]
    assert window_bounds(words, np.array([3, 7, 13]), 10, 4) == [(0, 10), (10, 20), (20, 30)]  # 7 is too early
    assert window_bounds(words, np.array([9]), 10, 1) == [(0, 10)]  # nothing comes after the last window
    pieces = np.array([True, False, False, True, False, True, True, False, False, False, True])
    assert window_bounds(pieces, np.zeros(0, dtype=np.int64), 3, 4) == [(0, 3), (3, 6), (10, 11)]  # a long word


def test_windows_of_a_text(encoder: Encoder, first: Document, long: Document) -> None:
    text = long.text
    one, two = encoder.encode_windows(text, SOURCE_TOKENS, 5)
    assert text[: one.spans[-2, 1]] == first.text
    whole = encoder.encode_source(text, 1000)
    for name in ("ids", "spans", "starts_word"):
        joined = np.concatenate([getattr(window, name)[1:-1] for window in (one, two)])
        np.testing.assert_array_equal(joined, getattr(whole, name)[1:-1])
        assert joined.dtype == getattr(one, name).dtype == getattr(whole, name).dtype
    assert [one.ids[0], one.ids[-1], *two.ids[[0, -1]]] == [encoder.cls_id, encoder.sep_id] * 2
    assert [window.ids.tolist() for window in encoder.encode_windows(text, SOURCE_TOKENS, 1)] == [one.ids.tolist()]
    assert encoder.encode_windows(" \n", SOURCE_TOKENS, 5) == []


@pytest.mark.parametrize("text", [RECORDS[1].document.text, RECORDS[1].document.text * 20, "", "\n"])
def test_one_window_reads_what_training_reads(encoder: Encoder, text: str) -> None:
    source = encoder.encode_source(text, SOURCE_TOKENS)
    windows = encoder.encode_windows(text, SOURCE_TOKENS, 1)
    assert [window.ids.tolist() for window in windows] == ([source.ids.tolist()] if len(source.ids) > 2 else [])


def test_phrases_of_the_second_window_are_found(saved: Path, long: Document) -> None:
    cut = by_text(open_with(saved, 1).predict(long))
    assert not cut.keys() & {"Bilingual corpora", "machine translation", "low-resource languages"}
    read = by_text(open_with(saved, 2).predict(long, top=50))
    present, absent = read["Bilingual corpora"], read["machine translation"]
    assert [long.text[start:end] for start, end in present.offsets] == ["Bilingual corpora"]
    assert (present.present, absent.present, absent.offsets) == (True, False, ())
    alone = by_text(open_with(saved, 1).predict(RECORDS[3].document))
    for phrase in (present, absent):
        assert phrase.score == pytest.approx(merge_windows({1: alone[phrase.text].score}), abs=2e-5)


def test_first_window_keeps_its_phrases_and_scores(saved: Path, first: Document, long: Document) -> None:
    alone = open_with(saved, 1).predict(first, top=50)
    assert alone
    read = by_text(open_with(saved, 2).predict(long, top=50))
    for phrase in alone:
        assert read[phrase.text].score >= phrase.score - 2e-5
        assert read[phrase.text].present is phrase.present


@pytest.mark.parametrize("windows", [1, 2, 5])
def test_short_documents_do_not_depend_on_the_number_of_windows(windows: int, saved: Path) -> None:
    documents = [record.document for record in RECORDS]
    assert open_with(saved, windows).predict(documents) == open_with(saved, 8).predict(documents)


def test_number_of_windows_limits_what_is_read(saved: Path) -> None:
    document = Document("long", "Sparse graphs describe large networks. " * 1000)
    for windows in (1, 3, 8):
        predictor = open_with(saved, windows)
        prepared = predictor.prepare(document)
        assert len(prepared.windows) == windows
        assert 0.7 * windows * ROOM < predictor.tokens(prepared) <= windows * SOURCE_TOKENS
    assert open_with(saved, 8).tokens(open_with(saved, 8).prepare(Document("empty", ""))) == 0


@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
def test_results_do_not_depend_on_the_batch(batch_tokens: int, saved: Path, first: Document, long: Document) -> None:
    documents = [long, RECORDS[2].document, Document("empty", ""), Document("longer", long.text * 3), first]
    predictor = open_with(saved, 4)
    alone = [predictor.predict(document, top=50, explain=True) for document in documents]
    together = open_with(saved, 4, batch_tokens=batch_tokens).predict(documents[::-1], top=50, explain=True)
    for one, other in zip(alone, together[::-1], strict=True):
        assert [phrase.text for phrase in one.keyphrases] == [phrase.text for phrase in other.keyphrases]
        assert [phrase.offsets for phrase in one.keyphrases] == [phrase.offsets for phrase in other.keyphrases]
        np.testing.assert_allclose(
            [phrase.score for phrase in one.keyphrases], [phrase.score for phrase in other.keyphrases], atol=2e-5
        )
        np.testing.assert_array_equal(one.spans, other.spans)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


def test_phrase_that_another_window_contains_is_present(saved: Path, first: Document, long: Document) -> None:
    predictor = open_with(saved, 2)
    prepared = predictor.prepare(long)
    assert [" ".join(words) for words in prepared.window_stems] == [
        " ".join(stemmed_words(text)) for text in (first.text, RECORDS[3].document.text)
    ]
    for text in ("rare words", "machine translation"):
        assert rank_generated(predictor, long, [[(text, 0.5)], []]) == [(text, 0.5, text == "rare words")]
    # Extraction decides about the phrases of a window, and a phrase of the part that is not read is dropped.
    assert rank_generated(predictor, long, [[], [("rare words", 0.5)]]) == []
    assert rank_generated(open_with(saved, 1), long, [[("rare words", 0.5)]]) == []


def test_phrase_that_one_late_window_finds_is_dropped(saved: Path, first: Document) -> None:
    predictor = open_with(saved, 6)
    document = Document("long", f"{first.text}\n\n" * 6)
    generated: list[list[tuple[str, float]]] = [[("a tree", 0.1)], [("a bush", 0.5)], [], [("words", 0.9)], [], []]
    generated[4:] = [[("graph theory", 0.9)], [("language models", 0.9), ("words", 0.9)]]
    assert [text for text, *_ in rank_generated(predictor, document, generated)] == ["words", "a bush", "a tree"]


def rank_generated(
    predictor: Predictor[Any], document: Document, generated: list[list[tuple[str, float]]]
) -> list[tuple[str, float, bool]]:
    """Rank generated phrases of each window, without extracted ones."""
    prepared = predictor.prepare(document)
    labels = [np.tile([1.0, 0, 0, 0], (len(window.ids) - 2, 1)) for window in prepared.windows]
    ranked = rank_keyphrases(prepared, labels, generated, DecodeConfig())
    return [(phrase.text, phrase.score, phrase.present) for phrase in ranked]


def test_scores_of_windows_are_merged() -> None:
    assert merge_windows({0: 0.8}) == 0.8
    assert merge_windows({1: 0.8}) == pytest.approx(0.8 / 2)
    assert merge_windows({3: 0.8}) == pytest.approx(0.8 / 4)
    assert merge_windows({0: 0.6, 2: 0.9}) == pytest.approx(1 - 0.4 * 0.7)
    several = [merge_windows({0: 0.6, **dict.fromkeys(range(1, count), 0.9)}) for count in range(1, 30)]
    assert several == sorted(set(several))  # each further window raises the score
    assert several[-1] < 1
    assert merge_windows({0: 1.0, 1: 1.0}) == 1


def test_page_of_word_scores_shades_all_windows(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, long: Document
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("long.txt").write_text(long.text, encoding="utf-8")
    for windows, shaded in ((1, False), (2, True)):
        options = ["--predictor", str(saved), "--unikeyphrase.decode.windows", str(windows), "--explain"]
        monkeypatch.setattr("sys.argv", ["kpray", "extract", "long.txt", *options, "--format", "json"])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 0
        [document] = json.loads(capsys.readouterr().out)["documents"]
        starts = [token["start"] for token in document["tokens"]]
        assert starts == sorted(set(starts))
        assert (long.text.index("corpora") in starts) is shaded
        page = Path("kpray-explain.html").read_text("utf-8")
        assert bool(re.search(r'<span class="s\d"><span class="l0">Bilingual<', page)) is shaded
        assert "help translation of rare words." in re.sub("<[^>]*>", "", page)
