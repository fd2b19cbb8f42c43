"""Taggers for English, and the choice between them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

import pytest

from kpray.errors import UserError
from kpray.text.tagging import Tagger, TaggerName, load_tagger, one_by_one, remembering
from kpray.text.words import split_words, words_from_spans

TEXT = "The large networks are in a structure. They learn quickly."

textblob_installed = pytest.mark.skipif(
    find_spec("textblob") is None, reason="TextBlob is not installed (pip install 'kpray[offline]')"
)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    load_tagger.cache_clear()
    yield
    load_tagger.cache_clear()


def leave_out(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a machine without the data of NLTK's tagger, or without TextBlob."""
    if absent == "data":
        monkeypatch.setattr("nltk.data.path", [])
    else:
        for name in [name for name in sys.modules if name.split(".")[0] == "textblob"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "textblob", None)  # makes the import fail


def check_tags(tagger: Tagger) -> None:
    words = split_words(TEXT)
    tags = dict(zip(words.texts, tagger.tag(words), strict=True))
    expected = {"The": "DT", "large": "JJ", "networks": "NNS", "in": "IN", "structure": "NN", "quickly": "RB", ".": "."}
    assert {word: tags[word] for word in expected} == expected


@pytest.mark.usefixtures("nltk_tagger")
def test_nltk() -> None:
    tagger = load_tagger("nltk")
    assert tagger.name == "nltk"
    check_tags(tagger)


@textblob_installed
def test_textblob() -> None:
    tagger = load_tagger("textblob")
    assert tagger.name == "textblob"
    check_tags(tagger)


@pytest.mark.usefixtures("nltk_tagger")
def test_auto_is_nltk_if_its_data_is_installed(caplog: pytest.LogCaptureFixture) -> None:
    assert load_tagger("auto").name == "nltk"
    assert caplog.messages == []


@pytest.mark.usefixtures("nltk_tagger")
def test_a_tagger_is_loaded_once() -> None:
    assert load_tagger("nltk") is load_tagger("nltk")


def test_sentences_are_tagged_one_by_one() -> None:
    seen: list[list[str]] = []

    def number(words: list[str]) -> list[str]:
        seen.append(words)
        return [f"{len(seen)}.{index}" for index in range(len(words))]

    words = split_words("One two. Three. Four")
    assert Tagger("numbers", one_by_one(number)).tag(words) == ["1.0", "1.1", "1.2", "2.0", "2.1", "3.0"]
    assert seen == [["One", "two", "."], ["Three", "."], ["Four"]]


def test_text_without_words_has_no_tags() -> None:
    def tag(words: list[str]) -> list[str]:
        assert words, "a tagger gets no empty sentence"
        return ["NN"] * len(words)

    assert Tagger("nouns", one_by_one(tag)).tag(words_from_spans("", [])) == []


@textblob_installed
def test_auto_falls_back_to_textblob_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leave_out("data", monkeypatch)
    assert [load_tagger(name).name for name in ("auto", "auto", "textblob")] == ["textblob"] * 3
    [line] = caplog.messages
    assert "averaged_perceptron_tagger_eng was not found: using TextBlob's tagger" in line
    assert "NLTK_DATA" in line


@pytest.mark.parametrize(
    ("absent", "name", "message"),
    [
        (["data"], "nltk", "tagger: NLTK's tagger data averaged_perceptron_tagger_eng was not found (run `kpray"),
        (["data", "textblob"], "auto", "tagger: no tagger for English is installed (run"),
        (["textblob"], "textblob", "tagger: no tagger for English is installed (run"),
    ],
    ids=["nltk", "auto", "textblob"],
)
def test_missing_tagger_is_an_error_of_one_line(
    absent: list[str],
    name: TaggerName,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for each in absent:
        leave_out(each, monkeypatch)
    with pytest.raises(UserError) as caught:
        load_tagger(name)
    [line] = str(caught.value).splitlines()
    assert line.startswith(message)
    assert caplog.messages == []


def test_no_sentence_is_tagged_twice() -> None:
    seen: list[list[str]] = []

    def tag(sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        seen.extend(map(list, sentences))
        return [["NN"] * len(sentence) for sentence in sentences]

    tagger = remembering(Tagger("some", tag), None)
    first = tagger.tag_sentences([["a", "b"], ["c"]])
    first[0][0] = "changed"
    assert tagger.tag_sentences([["c"], ["d", "e"], ["a", "b"]]) == [["NN"], ["NN", "NN"], ["NN", "NN"]]
    assert seen == [["a", "b"], ["c"], ["d", "e"]]
