"""SAMRank under the options of `SelectionOptions`, and the embeddings of its phrases."""

from __future__ import annotations

import pickle
from copy import copy
from functools import cache
from typing import Any

import numpy as np
import pytest

from kpray.document import Document
from kpray.errors import UserError
from kpray.predictor import Predictor
from kpray.samrank import predictor as module
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.predictor import SAMRank
from kpray.selection import options_from
from kpray.text.tagging import Tagger
from tests.samrank.tiny_models import SENTENCES, TinyModel

TEXT = (
    "Deep neural networks learn image features. A neural network with real-time inference matches graphs. "
    "Convolutional neural networks and other neural networks process images. Kernel methods match graphs, too. "
    "The support of kernel methods is a theory of Hilbert spaces."
)
DOCUMENTS = [Document("1", TEXT), Document("2", " ".join(SENTENCES)), Document("3", "It is so.")]
OPTIONS: list[dict[str, Any]] = [
    {"diversity": 0.5},
    {"seeds": ["graph", "mathematics"]},
    {"vocabulary": ["neural network", "graph", "match"]},
    {"stop_words": ["deep", "methods"], "max_words": 2},
    {"nested": "drop", "min_score": 0.1, "min_frequency": 2},
]


@cache
def open_minilm(folder: str) -> SAMRank:
    return SAMRank(SAMRankConfig(model=folder))


@pytest.fixture(scope="module")
def samrank(minilm: TinyModel, tagger: Tagger) -> SAMRank:
    return open_minilm(minilm.folder)


def phrases(predictor: Predictor[Any], document: Document = DOCUMENTS[0], top: int = 100, **options: Any) -> list[str]:
    return [phrase.text for phrase in predictor.predict(document, top=top, **options)]


def test_only_phrases_of_the_vocabulary_in_any_inflection(samrank: SAMRank) -> None:
    # "match" and "inference" are no noun phrases of their own here; "time" is only a part of a word.
    found = samrank.predict(
        DOCUMENTS[0],
        vocabulary=["neural network", "Graph", "match", "inference", "time", "theory of Hilbert space", "tree"],
    )
    texts = {phrase.text: [TEXT[start:end].lower() for start, end in phrase.offsets] for phrase in found}
    assert {text.lower(): offsets for text, offsets in texts.items()} == {
        "neural networks": ["neural networks", "neural network", "neural networks", "neural networks"],
        "graphs": ["graphs", "graphs"],
        "match": ["matches", "match"],
        "inference": ["inference"],
        "theory of hilbert spaces": ["theory of hilbert spaces"],
    }
    assert found[0].score == 1


def test_vocabulary_in_chinese(minilm: TinyModel) -> None:
    document = Document("1", "神经网络学习图像的表示。图像处理使用神经网络。", lang="zh")
    assert set(phrases(open_minilm(minilm.folder), document, vocabulary=["图像", "网络"])) <= {"图像", "网络"}
    assert "图像" in phrases(open_minilm(minilm.folder), document, vocabulary=["图像"])


def test_stop_words_split_phrases_and_the_head_stays(samrank: SAMRank) -> None:
    before, after = phrases(samrank), phrases(samrank, stop_words=["Deep", "convolutional", "methods"])
    assert any("Deep" in phrase for phrase in before)
    assert not {"deep", "convolutional", "methods"} & {word.lower() for phrase in after for word in phrase.split()}
    assert "neural networks" in [phrase.lower() for phrase in after]


@pytest.mark.parametrize("most", [1, 2])
def test_no_phrase_has_more_words(samrank: SAMRank, most: int) -> None:
    found = phrases(samrank, max_words=most)
    assert found
    assert max(len(phrase.split()) for phrase in found) == most
    assert max(len(phrase.split()) for phrase in phrases(samrank)) > most


def test_seeds_raise_similar_phrases(samrank: SAMRank) -> None:
    def rank(phrase: str, **options: Any) -> int:
        return phrases(samrank, **options).index(phrase)

    assert rank("theory", seeds=["graph theory"]) < rank("theory")
    # The seed does not occur in the text and shares no word with the phrase.
    assert rank("image features", seeds=["photographs"]) < rank("image features")
    scores = {phrase.text: phrase.score for phrase in samrank.predict(DOCUMENTS[0], seeds=["Image features"])}
    assert scores["image features"] > 0.5


def test_diversity_keeps_the_best_phrase_and_spreads_the_others(samrank: SAMRank) -> None:
    plain, diverse = phrases(samrank, top=5), phrases(samrank, top=5, diversity=0.7)
    assert diverse[0] == plain[0]

    def repeated(found: list[str]) -> int:
        words = [word.lower().rstrip("s") for phrase in found for word in phrase.split()]
        return len(words) - len(set(words))

    assert repeated(diverse) < repeated(plain)
    assert sorted(phrases(samrank, diversity=0.7)) == sorted(phrases(samrank))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_do_not_depend_on_the_batch(samrank: SAMRank, options: dict[str, Any], monkeypatch: Any) -> None:
    alone = [samrank.predict(document, **options) for document in DOCUMENTS]
    # Ranks and offsets are equal. A score may differ by a step of its rounding (`group_scores`).
    for found, expected in zip(samrank.predict(DOCUMENTS, **options), alone, strict=True):
        assert [(phrase.text, phrase.offsets) for phrase in found] == [
            (phrase.text, phrase.offsets) for phrase in expected
        ]
        assert [phrase.score for phrase in found] == pytest.approx([phrase.score for phrase in expected], rel=1e-4)
    small = copy(samrank)
    small.config = samrank.config.model_copy(update={"batch_tokens": 60})
    monkeypatch.setattr(module, "VECTOR_TOKENS", 50)
    together = small.predict(DOCUMENTS, **options)
    assert [[phrase.text for phrase in found] for found in together] == [
        [phrase.text for phrase in found] for found in alone
    ]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_fewer_phrases_are_the_first_of_more(samrank: SAMRank, options: dict[str, Any]) -> None:
    every = samrank.predict(DOCUMENTS[0], top=100, **options)
    assert samrank.predict(DOCUMENTS[0], top=3, **options) == every[:3]
    assert all(0 <= phrase.score <= 1 for phrase in every)
    if "min_score" in options:
        assert all(phrase.score >= 0.1 and len(phrase.offsets) >= 2 for phrase in every)


def test_embeddings_are_mean_hidden_states_of_all_occurrences(samrank: SAMRank, minilm: TinyModel) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    [explanation] = samrank.predict([DOCUMENTS[0]], top=5, explain=True, embeddings=True)
    model, tokenizer = AutoModel.from_pretrained(minilm.folder).eval(), AutoTokenizer.from_pretrained(minilm.folder)
    encoded = tokenizer(TEXT, return_offsets_mapping=True, return_tensors="pt")
    spans = encoded.pop("offset_mapping")[0].tolist()
    with torch.inference_mode():
        hidden = model(**encoded).last_hidden_state[0].numpy()
    vectors = explanation.embeddings
    assert vectors is not None
    assert (vectors.dtype, vectors.shape) == (np.float32, (5, 384))
    plain = samrank.predict(DOCUMENTS[0], top=5)
    assert explanation.keyphrases == plain
    for phrase, vector in zip(plain, vectors, strict=True):
        # all candidates here are noun phrases wherever they occur, except parts of hyphenated words
        tokens = [
            index
            for index, (start, end) in enumerate(spans)
            for first, last in phrase.offsets
            if first <= start < end <= last
        ]
        np.testing.assert_allclose(vector, hidden[tokens].mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_embeddings_of_causal_models(kind: str, tiny_model: Any, tagger: Tagger) -> None:
    predictor = SAMRank(SAMRankConfig(model=tiny_model(kind).folder, heads=("2-1",)))
    found = predictor.predict([DOCUMENTS[1], DOCUMENTS[2]], top=4, explain=True, embeddings=True)
    assert [len(each.embeddings) for each in found if each.embeddings is not None] == [4]
    assert len(predictor.predict(DOCUMENTS[1], diversity=0.5, seeds=["graph"], top=4)) == 4


def test_a_predictor_with_options_is_another_one(samrank: SAMRank) -> None:
    chosen = samrank.selecting(options_from({"max_words": 1}))
    assert chosen.model is samrank.model
    assert phrases(chosen) == phrases(samrank, max_words=1) != phrases(samrank)
    assert chosen.describe()["selection"] == {"max_words": 1}
    assert "selection" not in samrank.describe()
    assert phrases(pickle.loads(pickle.dumps(chosen))) == phrases(chosen)
    assert samrank.selecting(options_from({})) is samrank
    assert phrases(chosen.selecting(options_from({}))) == phrases(samrank)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"top": -1}, "top is -1"),
        ({"diversity": -0.1}, "diversity is -0.1"),
        ({"diversty": 0.1}, "did you mean diversity"),
        ({"embeddings": True}, "give explain=True, too"),
    ],
    ids=str,
)
def test_wrong_keywords_are_one_line(samrank: SAMRank, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        samrank.predict(TEXT, **keywords)
    assert "\n" not in str(raised.value)


def test_a_method_without_options_refuses_them(samrank: SAMRank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SAMRank, "takes_options", False)
    monkeypatch.setattr(SAMRank, "gives_embeddings", False)
    with pytest.raises(UserError, match=r"^diversity is set, but samrank does not support it"):
        samrank.predict(TEXT, diversity=0.5)
    with pytest.raises(UserError, match=r"^samrank has no embeddings of phrases"):
        samrank.predict(TEXT, explain=True, embeddings=True)
