"""The tagger in arrays gives the tags of NLTK's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.text import perceptron
from kpray.text.perceptron import PerceptronTagger, data_folder
from kpray.text.words import split_words

pytestmark = pytest.mark.usefixtures("nltk_tagger")

WORDS = [
    "the",
    "The",
    "graph",
    "graphs",
    "runs",
    "-",
    "--",
    "well-known",
    "-x",
    "1999",
    "3.5",
    "٣",
    "²",
    "'s",
    "IL-2",
    "!",
]


@pytest.fixture(scope="module")
def tagger() -> PerceptronTagger:
    return PerceptronTagger(data_folder())


@pytest.fixture(scope="module")
def reference() -> Callable[[list[str]], list[str]]:
    from nltk.tag.perceptron import PerceptronTagger as Reference

    original = Reference()
    return lambda words: [tag for _, tag in original.tag(words)]


def test_abstracts(
    tagger: PerceptronTagger, reference: Callable[[list[str]], list[str]], data_file: Callable[[str], Path]
) -> None:
    lines = data_file("samrank/inspec.jsonl").read_text("utf-8").splitlines()[:40]
    sentences = [words for line in lines for words in split_words(json.loads(line)["text"]).by_sentence()]
    assert len(sentences) > 200
    expected = [reference(words) for words in sentences]
    assert tagger.tag(sentences) == expected
    assert [tagger.tag([words])[0] for words in sentences] == expected


@given(st.lists(st.lists(st.sampled_from(WORDS) | st.text(min_size=1, max_size=6), max_size=9), max_size=5))
@settings(max_examples=60)
def test_any_words(
    tagger: PerceptronTagger, reference: Callable[[list[str]], list[str]], sentences: list[list[str]]
) -> None:
    assert tagger.tag(sentences) == [reference(words) for words in sentences]


def test_no_words(tagger: PerceptronTagger) -> None:
    assert tagger.tag([]) == []
    assert tagger.tag([[], []]) == [[], []]


def test_kept_words_are_bounded(tagger: PerceptronTagger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptron, "_MOST_SEEN", 10)
    first = tagger.tag([["The", "graph", "runs"]])
    for number in range(40):
        assert tagger.tag([["The", f"{number}graph", "runs"]])[0][0] == "DT"
        assert tagger.tag([["The", "graph", "runs"]]) == first
    assert len(tagger._seen) < 20


def test_the_data_is_found_where_nltk_finds_it() -> None:
    import nltk

    expected = nltk.data.find(f"taggers/{perceptron.NLTK_TAGGER}/")
    assert data_folder() == Path(str(expected))
    standard = [path for path in nltk.data.path if path not in perceptron._search_path()]
    assert standard == []
