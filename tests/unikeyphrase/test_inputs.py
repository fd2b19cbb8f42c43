"""Tokens of sources and targets, training rows and batches."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kpray.corpus.records import read_records
from kpray.document import Document, Record
from kpray.errors import RejectedDocument, UserError
from kpray.pretrained import MINILM
from kpray.text.stems import contains_phrase, stem_phrase, stemmed_words
from kpray.unikeyphrase.config import ModelConfig
from kpray.unikeyphrase.inputs import Encoder, collate, make_row, row_schema
from kpray.unikeyphrase.labels import LABELS, find_gold_spans, read_phrases, split_present_absent

MASK, PAD = 103, 0  # of MiniLM


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(MINILM)


def pieces(encoder: Encoder, ids: Any) -> str:
    return " ".join(encoder._tokenizer.convert_ids_to_tokens(list(map(int, ids))))


def save_tokenizer(folder: Path, words: list[str], lowercase: bool) -> str:
    """A BERT tokenizer of whole words, in a folder."""
    from transformers import BertTokenizer

    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    BertTokenizer(vocab=vocabulary, do_lower_case=lowercase).save_pretrained(folder)
    return str(folder)


def test_special_ids(encoder: Encoder) -> None:
    ids = [encoder.cls_id, encoder.sep_id, encoder.mask_id, encoder.pad_id, *encoder.delimiter_ids]
    assert pieces(encoder, ids) == "[CLS] [SEP] [MASK] [PAD] ;"
    assert (encoder.mask_id, encoder.pad_id) == (MASK, PAD)
    assert encoder.vocabulary_size == 30522


def test_source_has_spans_in_the_text_and_word_starts(encoder: Encoder) -> None:
    text = "Peer-to-peer  Café conferencing"
    source = encoder.encode_source(text, 320)
    assert pieces(encoder, source.ids) == "[CLS] peer - to - peer cafe con ##fer ##en ##cing [SEP]"
    parts = ["", "Peer", "-", "to", "-", "peer", "Café", "con", "fer", "en", "cing", ""]
    assert [text[start:end] for start, end in source.spans.tolist()] == parts
    assert source.spans[0].tolist() == source.spans[-1].tolist() == [0, 0]
    starts = [False, True, True, True, True, True, True, True, False, False, False, False]
    assert source.starts_word.tolist() == starts
    assert [str(part.dtype) for part in (source.ids, source.spans, source.starts_word)] == ["int32", "int32", "bool"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (12, "[CLS] con ##fer ##en ##cing , con ##fer ##en ##cing end [SEP]"),
        (11, "[CLS] con ##fer ##en ##cing , con ##fer ##en ##cing [SEP]"),
        (10, "[CLS] con ##fer ##en ##cing , [SEP]"),  # not within a word
        (8, "[CLS] con ##fer ##en ##cing , [SEP]"),
        (7, "[CLS] con ##fer ##en ##cing , [SEP]"),
        (6, "[CLS] con ##fer ##en ##cing [SEP]"),
        (5, "[CLS] [SEP]"),
    ],
)
def test_source_is_cut_between_words(encoder: Encoder, limit: int, expected: str) -> None:
    source = encoder.encode_source("conferencing, conferencing end", limit)
    assert pieces(encoder, source.ids) == expected
    assert len(source.spans) == len(source.starts_word) == len(source.ids) <= limit


def test_special_tokens_written_in_a_text_are_plain_text(encoder: Encoder) -> None:
    source = encoder.encode_source("a [SEP] [MASK] b", 320)
    assert pieces(encoder, source.ids) == "[CLS] a [ sep ] [ mask ] b [SEP]"
    assert pieces(encoder, encoder.encode_target(["[SEP]"], 64)) == "[ sep ] [SEP]"


def test_half_a_character_is_rejected(encoder: Encoder) -> None:
    with pytest.raises(RejectedDocument, match="lone surrogate"):
        encoder.encode_source("a \ud800", 320)
    record = Record(Document("1", "a \ud800"), ("a",))
    assert make_row(record, encoder, ModelConfig()) == "invalid Unicode (a lone surrogate)"


@pytest.mark.parametrize(
    ("phrases", "limit", "expected"),
    [
        (["Peer to Peer", "content delivery"], 64, "peer to peer ; content delivery [SEP]"),  # App. C
        ([], 64, "[SEP]"),
        (["peer to peer", "content delivery"], 7, "peer to peer ; content delivery [SEP]"),
        (["peer to peer", "content delivery"], 6, "peer to peer [SEP]"),  # a whole phrase is left out
        (["peer to peer", "content delivery", "web"], 6, "peer to peer ; web [SEP]"),
        (["peer to peer"], 3, "[SEP]"),
        (["peer to peer", "content delivery"], 3, "content delivery [SEP]"),
        (["", " ", "\u200b", "web"], 64, "web [SEP]"),  # what the tokenizer makes nothing of
    ],
)
def test_encode_target(encoder: Encoder, phrases: list[str], limit: int, expected: str) -> None:
    target = encoder.encode_target(phrases, limit)
    assert target.dtype == np.int32
    assert pieces(encoder, target) == expected


def test_target_is_what_the_tokenizer_writes_for_the_joined_phrases(encoder: Encoder) -> None:
    phrases = ["voip", "peer-to-peer", "C++", "latent Dirichlet allocation (LDA)"]
    whole = encoder.encode_source(" ; ".join(phrases), 320).ids[1:]
    assert encoder.encode_target(phrases, 64).tolist() == whole.tolist()


@pytest.mark.parametrize(
    "phrase",
    [
        "peer-to-peer",
        "c++ programming",
        "c#",
        "latent dirichlet allocation (lda)",
        "fitts' law",
        "moore's law",
        "tcp/ip",
        "web 2.0",
        "中国",
    ],
)
def test_decoded_phrases_are_spaced_as_authors_do(encoder: Encoder, phrase: str) -> None:
    assert encoder.decode_target(encoder.encode_target([phrase, phrase], 64)) == [phrase, phrase]


def test_decoding_ends_at_the_first_sep_and_drops_the_empty(encoder: Encoder) -> None:
    web, (delimiter,), sep = 4773, encoder.delimiter_ids, encoder.sep_id
    assert encoder.decode_target([web, delimiter, web, web, sep, web]) == ["web", "web web"]
    assert encoder.decode_target(np.array([web, delimiter, web], dtype=np.int64)) == ["web", "web"]  # without an end
    assert encoder.decode_target([delimiter, delimiter, web, delimiter, MASK, PAD, sep]) == ["web"]
    assert encoder.decode_target([sep, web]) == []
    assert encoder.decode_target([]) == []


def test_gold_phrases_come_back_from_their_tokens(data_file: Callable[[str], Path], encoder: Encoder) -> None:
    records = islice(read_records([str(data_file("acm_cr/train.jsonl.gz"))]), 500)
    phrases = [phrase for record in records if isinstance(record, Record) for phrase in record.keyphrases]
    phrases = [" ".join(phrase.lower().split()) for phrase in phrases if phrase.isascii()]
    back = [encoder.decode_target(encoder.encode_target([phrase], 64)) for phrase in phrases]
    same = sum([phrase] == found for phrase, found in zip(phrases, back, strict=True))
    assert len(phrases) > 1000
    assert same / len(phrases) > 0.99


def test_saved_tokenizer_is_the_same(tmp_path: Path, encoder: Encoder) -> None:
    encoder.save(tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    again = Encoder(str(tmp_path))
    text = "Peer-to-peer Café [SEP] " * 100
    assert again.encode_source(text, 320).ids.tolist() == encoder.encode_source(text, 320).ids.tolist()
    assert (again.delimiter_ids, again.vocabulary_size) == (encoder.delimiter_ids, encoder.vocabulary_size)


def test_the_tokenizer_decides_about_case(tmp_path: Path) -> None:
    words = ["Web", "web", ";", ","]
    cased = Encoder(save_tokenizer(tmp_path / "cased", words, lowercase=False))
    uncased = Encoder(save_tokenizer(tmp_path / "uncased", words, lowercase=True))
    assert pieces(cased, cased.encode_target(["Web", "WEB"], 64)) == "Web ; [UNK] [SEP]"
    assert pieces(uncased, uncased.encode_target(["Web", "WEB"], 64)) == "web ; web [SEP]"


def test_unfit_tokenizers_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='does not know ";"'):
        Encoder(save_tokenizer(tmp_path / "no-delimiter", ["web"], lowercase=True))
    with pytest.raises(UserError, match="cannot load model"):
        Encoder(str(tmp_path / "nowhere"))


def test_tokenizer_without_mask_is_none_of_bert_type(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"a": 0, ";": 1, "<unk>": 2}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>").save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"has no \[CLS\]"):
        Encoder(str(tmp_path))


def test_row_by_hand(encoder: Encoder) -> None:
    document = Document("7", "VoIP conferencing systems use peers.", "Conferencing", "en")
    keyphrases = ("content delivery", "voip conferencing system", "Peer", "peer to peer", "conferencing")
    row = make_row(Record(document, keyphrases), encoder, ModelConfig())
    assert isinstance(row, dict)
    assert (row["id"], row["lang"]) == ("7", "en")
    assert pieces(encoder, row["source"]) == (
        "[CLS] con ##fer ##en ##cing . vo ##ip con ##fer ##en ##cing systems use peers . [SEP]"
    )
    assert row["labels"][[0, -1]].tolist() == [-100, -100]
    labels = [LABELS[label] for label in row["labels"][1:-1]]
    assert labels == ["B", "X", "X", "X", "O", "B", "X", "I", "X", "X", "X", "I", "O", "B", "O"]
    assert pieces(encoder, row["target"]) == "content delivery ; peer to peer [SEP]"
    assert row["length"] == 17 + 7

    table = pa.Table.from_pylist([row], schema=row_schema())
    stored = table.to_pylist()[0]
    for name in ("source", "labels", "target"):
        assert stored[name] == row[name].tolist()


def test_exact_match_labels_only_what_is_written_so(encoder: Encoder) -> None:
    record = Record(Document("1", "networks and network"), ("Network",))
    found: dict[str, str] = {}
    for match in ("stemmed", "exact"):
        row = make_row(record, encoder, ModelConfig.model_validate({"label_match": match}))
        assert isinstance(row, dict)
        found[match] = " ".join(LABELS[label] for label in row["labels"][1:-1])
        assert pieces(encoder, row["target"]) == "[SEP]"
    assert found == {"stemmed": "B O B", "exact": "O O B"}


def test_each_phrase_is_labelled_or_generated(encoder: Encoder) -> None:
    """What matches only after stemming is present with `stemmed` and absent with `exact`, never neither."""
    record = Record(Document("1", "neural networks in the web"), ("neural network", "web", "delivery"))
    found = {}
    for match in ("stemmed", "exact"):
        row = make_row(record, encoder, ModelConfig.model_validate({"label_match": match}))
        assert isinstance(row, dict)
        found[match] = " ".join(LABELS[label] for label in row["labels"][1:-1]), pieces(encoder, row["target"])
    assert found == {
        "stemmed": ("B I O O B", "delivery [SEP]"),
        "exact": ("O O O O B", "neural network ; delivery [SEP]"),
    }


def test_a_phrase_that_the_cut_parts_is_not_labelled(encoder: Encoder) -> None:
    record = Record(Document("1", "web of a b c neural network"), ("web", "neural network", "delivery"))
    for limit, labels in ((8, "B O O O O O"), (9, "B O O O O B I")):
        row = make_row(record, encoder, ModelConfig(source_tokens=limit))
        assert isinstance(row, dict)
        assert " ".join(LABELS[label] for label in row["labels"][1:-1]) == labels
        assert pieces(encoder, row["target"]) == "delivery [SEP]"  # what is cut off is not absent


@pytest.mark.parametrize(
    ("body", "keyphrases", "reason"),
    [
        ("a text", (), "no gold keyphrase"),
        ("a text", ("-", "?!"), "no gold keyphrase"),
        ("\u200b", ("web",), "the text has no token"),
    ],
)
def test_record_that_cannot_be_trained_on(
    encoder: Encoder, body: str, keyphrases: tuple[str, ...], reason: str
) -> None:
    assert make_row(Record(Document("1", body), keyphrases), encoder, ModelConfig()) == reason


def test_rows_of_real_documents(data_file: Callable[[str], Path], encoder: Encoder) -> None:
    config = ModelConfig()
    records = list(islice(read_records([str(data_file("kp20k_small/valid.jsonl"))]), 100))
    labelled = 0
    for record in records:
        assert isinstance(record, Record)
        row = make_row(record, encoder, config)
        assert isinstance(row, dict)
        assert row["length"] == len(row["source"]) + len(row["target"])
        assert len(row["source"]) == len(row["labels"]) <= config.source_tokens
        assert len(row["target"]) <= config.target_tokens

        text = record.document.text
        source = encoder.encode_source(text, config.source_tokens)
        spans, starts_word, labels = source.spans[1:-1], source.starts_word[1:-1], row["labels"][1:-1]
        fitting = text[: spans[-1, 1]]
        gold = [span for span in find_gold_spans(text, record.keyphrases, "en", "stemmed") if span[1] <= len(fitting)]
        read = read_phrases(labels, np.ones(len(labels)), starts_word)
        assert [(spans[first, 0], spans[end - 1, 1]) for first, end, _ in read] == gold
        # A present phrase that fits is labelled, alone or within a longer one or another it overlaps.
        covered = np.zeros(len(text), dtype=bool)
        for start, end in gold:
            covered[start:end] = True
        for phrase in record.keyphrases:
            for start, end in find_gold_spans(fitting, [phrase], "en", "stemmed"):
                assert covered[start:end].any()
                labelled += 1
        # The target has the absent phrases in their order.
        stems = stemmed_words(text)
        absent = [phrase for phrase in record.keyphrases if not contains_phrase(stems, stemmed_words(phrase))]
        assert split_present_absent(text, record.keyphrases, "en", "stemmed")[1] == absent
        decoded = encoder.decode_target(row["target"])
        assert [stem_phrase(phrase) for phrase in decoded] == [stem_phrase(phrase) for phrase in absent][: len(decoded)]
    assert labelled > 300


def row(source: list[int], labels: list[int], target: list[int]) -> dict[str, np.ndarray]:
    return {
        "source": np.array(source, dtype=np.int32),
        "labels": np.array(labels, dtype=np.int8),
        "target": np.array(target, dtype=np.int32),
    }


def test_batch_by_hand() -> None:
    rows = [row([101, 7, 8, 102], [-100, 1, 2, -100], [9, 102]), row([101, 5, 102], [-100, 0, -100], [102])]
    batch = collate(rows, [0, 1], mask_id=MASK, pad_id=PAD, mask_probability=1.0)
    assert {name: values.tolist() for name, values in batch.items()} == {
        "input_ids": [[101, 7, 8, 102, MASK, MASK], [101, 5, 102, MASK, PAD, PAD]],
        "source_lengths": [4, 3],
        "lengths": [6, 4],
        "labels": [[-100, 1, 2, -100], [-100, 0, -100, -100]],
        "target_rows": [4, 5, 6 + 3],
        "target_ids": [9, 102, 102],
        "target_masked": [True, True, True],
    }
    assert {str(values.dtype) for name, values in batch.items() if name != "target_masked"} == {"torch.int64"}
    assert str(batch["target_masked"].dtype) == "torch.bool"


ROWS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**63 - 1)), min_size=1, max_size=5
)  # words of the source, tokens of the target, seed


@given(ROWS, st.sampled_from([0.3, 0.7]))
def test_a_row_does_not_depend_on_those_beside_it(sizes: list[tuple[int, int, int]], probability: float) -> None:
    rows = [
        row([101, *range(200, 200 + words), 102], [-100, *[1] * words, -100], [*range(300, 299 + target), 102])
        for words, target, _ in sizes
    ]
    seeds = [seed for _, _, seed in sizes]
    batch = collate(rows, seeds, mask_id=MASK, pad_id=PAD, mask_probability=probability)
    width = batch["input_ids"].shape[1]
    before = 0
    for index, (one, seed) in enumerate(zip(rows, seeds, strict=True)):
        alone = collate([one], [seed], mask_id=MASK, pad_id=PAD, mask_probability=probability)
        length, source = int(alone["lengths"][0]), int(alone["source_lengths"][0])
        assert [int(batch[name][index]) for name in ("lengths", "source_lengths")] == [length, source]
        assert batch["input_ids"][index, :length].tolist() == alone["input_ids"][0].tolist()
        assert (batch["input_ids"][index, length:] == PAD).all()
        assert batch["labels"][index, :source].tolist() == one["labels"].tolist()
        assert (batch["labels"][index, source:] == -100).all()
        own = slice(before, before + len(one["target"]))
        before = own.stop
        assert (batch["target_rows"][own] - index * width).tolist() == list(range(source, length))
        masked = np.random.default_rng(seed).random(len(one["target"])) < probability
        assert batch["target_masked"][own].tolist() == masked.tolist()
        assert batch["target_ids"][own].tolist() == one["target"].tolist()
        seen = batch["input_ids"].flatten()[batch["target_rows"][own]]
        assert seen.tolist() == np.where(masked, MASK, one["target"]).tolist()
    assert before == len(batch["target_ids"])


def test_masks_of_bert() -> None:
    """80% of the masked tokens become [MASK], 10% another token, 10% stay; the same tokens are masked as without it."""
    rows = [row([101, 5, 102], [-100, 0, -100], [7] * 10)] * 1000
    options: dict[str, Any] = {"mask_id": MASK, "pad_id": PAD, "mask_probability": 0.7}
    plain, mixed = collate(rows, range(1000), **options), collate(rows, range(1000), **options, random_ids=30_000)
    masked = mixed["target_masked"]
    assert torch.equal(masked, plain["target_masked"])
    seen = mixed["input_ids"].flatten()[mixed["target_rows"]]
    assert bool((seen[~masked] == 7).all())
    shares = [float((seen[masked] == MASK).double().mean()), float((seen[masked] == 7).double().mean())]
    deviation = (0.8 * 0.2 / int(masked.sum())) ** 0.5
    assert abs(shares[0] - 0.8) < 4 * deviation
    assert abs(shares[1] - 0.1) < 4 * deviation
    others = seen[masked & (seen != MASK) & (seen != 7)]
    assert len(set(others.tolist())) > 0.9 * len(others)  # drawn from the whole vocabulary
    assert others.max() < 30_000


def test_without_the_unmasked_rows() -> None:
    rows = [row([101, 5, 102], [-100, 0, -100], [*range(300, 309), 102])] * 3
    options: dict[str, Any] = {"mask_id": MASK, "pad_id": PAD, "mask_probability": 0.5}
    everything = collate(rows, range(3), **options)
    masked = collate(rows, range(3), **options, unmasked_rows=False)
    kept = everything["target_masked"]
    assert 0 < kept.sum() < len(kept)
    for name, values in masked.items():
        expected = everything[name][kept] if name.startswith("target_") else everything[name]
        assert values.tolist() == expected.tolist(), name


def test_share_of_masks_is_the_probability() -> None:
    rows = [row([101, 5, 102], [-100, 0, -100], [7] * 10)] * 1000
    masked = collate(rows, range(1000), mask_id=MASK, pad_id=PAD, mask_probability=0.7)["target_masked"].numpy()
    deviation = (0.7 * 0.3 / len(masked)) ** 0.5
    assert abs(masked.mean() - 0.7) < 4 * deviation
    assert abs(masked.reshape(1000, 10)[:, -1].mean() - 0.7) < 4 * (0.7 * 0.3 / 1000) ** 0.5  # the last, [SEP], too
