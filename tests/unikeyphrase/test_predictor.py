"""The UniKeyphrase predictor: batches, order, robustness, ranking and saved folders."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kpray.document import Document
from kpray.errors import RejectedDocument, UserError
from kpray.predictor import Explanation, Predictor
from kpray.registry import open_predictor, pin_config
from kpray.text.stems import stemmed_words
from kpray.unikeyphrase.config import DecodeConfig
from kpray.unikeyphrase.decode import read_documents
from kpray.unikeyphrase.inputs import Source
from kpray.unikeyphrase.labels import BEGIN, INSIDE, OUTSIDE
from kpray.unikeyphrase.model import UniKeyphraseModel
from kpray.unikeyphrase.predictor import PreparedDocument, rank_keyphrases, split_phrases
from kpray.unikeyphrase.task import UniKeyphraseTask
from tests.unikeyphrase.tiny_model import RECORDS, SOURCE_TOKENS

DOCUMENTS = [
    *(record.document for record in RECORDS),
    Document("empty", ""),
    Document("spaces", " \n\t "),
    Document("emoji", "\U0001f600\U0001f389 \U0001f680\ufe0f"),
    Document("one", "graphs"),
    Document("long", "Sparse graphs describe large networks. " * 5000),
    Document("word", "a" * 50_000),
    Document("chinese", "稀疏图描述大型网络。", lang="zh"),
    Document("marks", "[CLS] [SEP] ; ; [MASK] graph [PAD]"),
]


@pytest.fixture(scope="module")
def predictor(saved: Path) -> Predictor[Any]:
    return open_predictor(str(saved))


def check_same(one: Explanation, other: Explanation) -> None:
    assert [keyphrase.text for keyphrase in one.keyphrases] == [keyphrase.text for keyphrase in other.keyphrases]
    assert [keyphrase.score for keyphrase in one.keyphrases] == pytest.approx(
        [keyphrase.score for keyphrase in other.keyphrases], abs=2e-5
    )
    np.testing.assert_array_equal(one.spans, other.spans)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
def test_batches_and_order_do_not_matter(batch_tokens: int, saved: Path, predictor: Predictor[Any]) -> None:
    alone = [predictor.predict([document], explain=True)[0] for document in DOCUMENTS]
    batched = open_predictor(str(saved), {"batch_tokens": batch_tokens})
    for order in (range(len(DOCUMENTS)), range(len(DOCUMENTS) - 1, -1, -1)):
        together = batched.predict([DOCUMENTS[index] for index in order], explain=True)
        for index, explanation in zip(order, together, strict=True):
            check_same(explanation, alone[index])


def test_no_documents(predictor: Predictor[Any]) -> None:
    assert predictor.predict([]) == []
    for explanation in predictor.predict(DOCUMENTS[4:6], explain=True):
        assert (explanation.keyphrases, explanation.spans.shape, explanation.scores.shape) == ([], (0, 2), (0,))


def test_invalid_unicode_is_rejected(predictor: Predictor[Any]) -> None:
    with pytest.raises(RejectedDocument, match="surrogate"):
        predictor.prepare(Document("1", "half \ud800"))


def test_tail_of_a_long_document_is_cut(saved: Path) -> None:
    predictor = open_predictor(str(saved), {"decode": {"windows": 1}})
    [cut] = predictor.predict([DOCUMENTS[8]], explain=True)
    sentence = "Sparse graphs describe large networks. "
    assert len(cut.spans) <= SOURCE_TOKENS - 2
    [whole] = predictor.predict([Document("short", DOCUMENTS[8].body[: cut.spans[-1, 1]])], explain=True)
    check_same(cut, whole)
    assert DOCUMENTS[8].body.startswith(sentence)


def test_explanation(predictor: Predictor[Any]) -> None:
    text = RECORDS[3].document.text
    [explanation] = predictor.predict([RECORDS[3].document], explain=True)
    assert [text[start:end] for start, end in explanation.spans[:2].tolist()] == ["Bilingual", "corpora"]
    assert "".join(text[start:end] for start, end in explanation.spans.tolist()) == "".join(text.split())
    assert explanation.scores[:2].min() > 0.9
    assert explanation.scores[2:].max() < 0.1


def test_top(predictor: Predictor[Any]) -> None:
    [everything] = predictor.predict([RECORDS[1].document])
    assert len(everything) == 4
    assert predictor.predict([RECORDS[1].document], top=2) == [everything[:2]]


def test_prepared_documents_can_be_pickled(predictor: Predictor[Any]) -> None:
    prepared = pickle.loads(pickle.dumps([predictor.prepare(document) for document in DOCUMENTS]))
    expected = predictor.predict(DOCUMENTS, explain=True)
    for explanation, other in zip(predictor.predict_prepared(prepared, 10), expected, strict=True):
        check_same(explanation, other)


def test_a_low_bias_labels_everything_and_a_high_bias_nothing(saved: Path) -> None:
    documents = [record.document for record in RECORDS]
    for bias, number in ((-50.0, None), (50.0, 0)):
        predictor = open_predictor(str(saved), {"decode": {"outside_bias": bias}})
        for explanation in predictor.predict(documents, explain=True):
            present = [keyphrase for keyphrase in explanation.keyphrases if keyphrase.present]
            assert len(present) == number if number is not None else present
            assert explanation.scores == pytest.approx(0.0 if bias > 0 else 1.0)


def prepared_document(text: str) -> PreparedDocument:
    """A prepared document, as from a tokenizer that splits at white space."""
    words = text.split()
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    spans = np.stack([ends - [len(word) for word in words], ends], axis=1).astype(np.int32)
    source = Source(
        np.zeros(len(words) + 2, dtype=np.int32), np.pad(spans, ((1, 1), (0, 0))), np.pad(np.full(len(words), True), 1)
    )
    return PreparedDocument(text, "en", stemmed_words(text), [source], [stemmed_words(text)])


def rank(
    text: str, labels: dict[int, tuple[int, float]], generated: list[tuple[str, float]], **decode: Any
) -> list[Any]:
    document = prepared_document(text)
    probabilities = np.zeros((len(text.split()), 4))
    probabilities[:, OUTSIDE] = 0.01
    for word, (label, probability) in labels.items():
        probabilities[word, label] = probability
    keyphrases = rank_keyphrases(document, [probabilities], [generated], DecodeConfig(**decode))
    return [(keyphrase.text, keyphrase.score, keyphrase.present) for keyphrase in keyphrases]


def test_ranking_of_present_and_absent_together() -> None:
    labels = {0: (BEGIN, 0.9), 1: (INSIDE, 0.5), 3: (BEGIN, 0.6), 6: (BEGIN, 0.8), 7: (INSIDE, 0.9)}
    generated = [
        ("graph theory", 0.85),
        ("sparse networks", 0.7),  # absent: its words are not adjacent
        ("large networks", 0.7),  # occurs in the text, but was not extracted
        ("Graph Theories", 0.5),  # duplicate of the first
        ("sparse graph", 0.5),  # was extracted
        ("; -", 0.5),  # no word
        ("edges", 0.4),
    ]
    assert rank("Sparse graphs describe networks and the sparse graph of large networks", labels, generated) == [
        (
            "Sparse graphs",
            pytest.approx((0.8 + 0.9) / 2),
            True,
        ),  # the higher score of its two occurrences, the spelling of the first
        ("graph theory", 0.85, False),
        ("sparse networks", 0.7, False),
        ("networks", 0.6, True),
        ("edges", 0.4, False),
    ]


def test_generation_raises_the_scores_of_present_phrases() -> None:
    text = "Sparse graphs describe large networks of edges"
    labels = {0: (BEGIN, 0.9), 1: (INSIDE, 0.7), 4: (BEGIN, 0.9), 6: (BEGIN, 0.6)}
    generated = [("sparse graph", 0.6), ("describe", 0.9), ("graph theory", 0.3)]
    ranked = [
        ("Sparse graphs", pytest.approx((0.8 + 0.5 * 0.6) / 1.5, abs=1e-5), True),
        ("networks", pytest.approx(0.9 / 1.5, abs=1e-5), True),
        ("edges", pytest.approx(0.6 / 1.5, abs=1e-5), True),
        ("graph theory", 0.3, False),
    ]
    assert rank(text, labels, generated, generation_weight=0.5) == ranked
    assert rank(text, labels, generated, generation_weight=0.5, min_score=0.4) == ranked
    without_edges = [phrase for phrase in ranked if phrase[0] != "edges"]
    assert rank(text, labels, generated, generation_weight=0.5, min_score=0.41) == without_edges
    assert rank(text, labels, generated, generation_weight=0.5, min_score=0.9) == without_edges  # two are kept


def test_phrases_of_several_hypotheses_have_their_share(trained: tuple[UniKeyphraseTask, UniKeyphraseModel]) -> None:
    task, model = trained
    encoder = task.encoder
    source = encoder.encode_source(RECORDS[0].document.text, SOURCE_TOKENS)
    with torch.inference_mode():
        [reading] = read_documents(model, encoder, [source], DecodeConfig(beams=4, alternatives=1e-9))
        [best] = read_documents(model, encoder, [source], DecodeConfig(beams=4))
    (first, _, share), *others = reading.hypotheses
    assert others
    assert first.tolist() == reading.target.tolist() == best.target.tolist()
    assert reading.probabilities == pytest.approx(best.probabilities, abs=1e-6)
    assert share + sum(more for _, _, more in others) == pytest.approx(1)
    phrases = split_phrases(reading, encoder)
    assert [score for _, score in phrases] == sorted((score for _, score in phrases), reverse=True)
    in_best = dict(split_phrases(best, encoder))
    assert in_best
    assert in_best.keys() <= dict(phrases).keys()
    for text, score in phrases:
        least = share * in_best.get(text, 0)
        assert least - 1e-6 <= score <= least + 1 - share + 1e-6


def test_a_model_without_extraction_ranks_what_it_generates() -> None:
    document = prepared_document("Sparse graphs describe networks")
    labels = np.tile([0.0, 1.0, 0.0, 0.0], (4, 1))  # every word B: of a head that was never trained
    generated = [("sparse graph", 0.9), ("graph theory", 0.8), ("Sparse Graphs", 0.7), ("describing networks", 0.6)]
    ranked = rank_keyphrases(document, [labels], [generated], DecodeConfig(), extracts=False)
    assert [(keyphrase.text, keyphrase.score, keyphrase.present) for keyphrase in ranked] == [
        ("sparse graph", 0.9, True),
        ("graph theory", 0.8, False),
        ("describing networks", 0.6, True),
    ]


def test_present_ranks_before_absent_at_equal_scores() -> None:
    assert rank("many graphs", {1: (BEGIN, 0.500001)}, [("theory", 0.500004), ("tree", 0.5)]) == [
        ("graphs", 0.5, True),
        ("theory", 0.5, False),
        ("tree", 0.5, False),
    ]


def test_phrases_have_no_punctuation_at_their_edges() -> None:
    labels = {0: (BEGIN, 0.9), 2: (BEGIN, 0.8), 3: (INSIDE, 0.8), 5: (BEGIN, 0.7), 7: (BEGIN, 0.6)}
    assert rank("Karnik- and (fuzzy logic), in C++; the U.S.", labels, [('"graph theory",', 0.5)]) == [
        ("Karnik", 0.9, True),
        ("fuzzy logic", 0.8, True),
        ("C++", 0.7, True),
        ("U.S.", 0.6, True),
        ("graph theory", 0.5, False),
    ]


def test_white_space_within_a_phrase_is_collapsed(predictor: Predictor[Any]) -> None:
    [keyphrases] = predictor.predict([Document("1", RECORDS[3].document.text.replace("l c", "l \n\t c"))])
    assert keyphrases[0].text == "Bilingual corpora"


def test_a_saved_copy_predicts_the_same(saved: Path, predictor: Predictor[Any], tmp_path: Path) -> None:
    changed = open_predictor(str(saved), {"decode": {"beams": 2}, "batch_tokens": 100})
    changed.save(tmp_path / "new" / "folder")
    moved = tmp_path / "moved"
    (tmp_path / "new" / "folder").rename(moved)
    again = open_predictor(str(moved))
    assert again.predict(DOCUMENTS) == changed.predict(DOCUMENTS)
    config = again.describe()["config"]
    assert config == {**changed.describe()["config"], "model": str(moved)}
    assert (config["decode"]["beams"], config["decode"]["outside_bias"], config["batch_tokens"]) == (2, 0.25, 100)
    assert again.describe()["training"] == predictor.describe()["training"]
    again.save(moved)  # into its own folder
    assert open_predictor(str(moved)).describe() == again.describe()


def test_description(predictor: Predictor[Any], saved: Path) -> None:
    described = json.loads(json.dumps(predictor.describe()))
    assert described["predictor"] == "unikeyphrase"
    assert len(described["config"]["weights"]) == 16
    assert described["config"]["weights"] == pin_config(str(saved), {})["weights"]
    assert described["training"]["decisions"] == {"outside_bias": 0.25}


def copy_of(saved: Path, to: Path) -> Path:
    return Path(shutil.copytree(saved, to / "copy"))


def message(name: Path, config: dict[str, Any] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        open_predictor(str(name), config)
    line = str(caught.value)
    assert line.splitlines() == [line]
    return line


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5, None])
def test_incomplete_file(file: str, share: float | None, saved: Path, tmp_path: Path) -> None:
    folder = copy_of(saved, tmp_path)
    whole = (folder / file).read_bytes()
    (folder / file).unlink()
    if share is not None:
        (folder / file).write_bytes(whole[: int(share * len(whole))])
    assert str(folder) in message(folder)


def test_weights_of_another_model(saved: Path, tmp_path: Path) -> None:
    folder = copy_of(saved, tmp_path)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "relation_layers": 3}))
    assert "not the weights of a UniKeyphrase: 12 tensors are missing, 0 are unknown" in message(folder)
    (folder / "config.json").write_text(json.dumps({**config, "relation_layers": 1}))
    assert "0 tensors are missing, 12 are unknown" in message(folder)


def test_weights_that_are_a_pickle(saved: Path, tmp_path: Path) -> None:
    folder = copy_of(saved, tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "model.safetensors: the weights cannot be read" in message(folder)


def test_weights_that_changed_after_the_start_of_the_job(saved: Path, tmp_path: Path) -> None:
    folder = copy_of(saved, tmp_path)
    pinned = pin_config(str(folder), {})
    open_predictor(str(folder), pinned)
    raw = bytearray((folder / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder / "model.safetensors").write_bytes(raw)
    assert f"expected {pinned['weights']} (the model was trained again" in message(folder, pinned)


def test_options_filter_and_order_the_phrases(predictor: Predictor[Any]) -> None:
    document = RECORDS[1].document
    every = predictor.predict(document)
    present = [phrase for phrase in every if phrase.present]
    assert present
    assert present != every
    assert predictor.predict(document, min_frequency=1) == present
    for phrase in every:
        offsets = [document.text[start:end] for start, end in phrase.offsets]
        assert bool(offsets) is phrase.present
        assert [stemmed_words(text) for text in offsets] == [stemmed_words(phrase.text)] * len(offsets)
    chosen = every[-1]
    assert predictor.predict(document, vocabulary=[chosen.text.upper(), "another phrase"]) == [chosen]
    assert predictor.predict(document, seeds=[chosen.text])[0].text == chosen.text
    assert predictor.predict(document, stop_words=chosen.text.split()[:1]) == [
        phrase for phrase in every if chosen.text.split()[0].lower() not in phrase.text.lower().split()
    ]
    assert sorted(phrase.text for phrase in predictor.predict(document, diversity=0.8)) == sorted(
        phrase.text for phrase in every
    )
    with pytest.raises(UserError, match="unikeyphrase has no embeddings of phrases"):
        predictor.predict(document, explain=True, embeddings=True)
