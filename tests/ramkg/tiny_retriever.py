"""A small random BERT for English and an invented language, and documents in both languages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from kpray.corpus.store import PassageStore, build_store
from kpray.document import Document, Record
from kpray.ramkg.config import RetrieverConfig
from kpray.ramkg.retriever_task import RetrieverTask

WORDS = (
    "graph noise kernel spectral sparse corpus lattice schedule sampler filter network solver parallel robust "
    "bilingual adaptive causal discrete market poem river stone garden winter bridge castle harbor island"
).split()
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MARKS = ("[unused1]", "[unused2]")
MOST_TOKENS = 48
CONFIG = {"passage_tokens": 24, "negatives": 2}


def foreign(text: str) -> str:
    """The text in the invented language: each word is reversed."""
    return " ".join(word[::-1] for word in text.split())


def make_pairs(number: int, seed: int) -> tuple[list[Record], list[Record]]:
    """Documents of the other language, and their English passages; the ids of a pair are the same."""
    random = Random(seed)
    english = []
    for index in range(number):
        words = random.sample(WORDS, 6)
        body = " ".join(random.choices(words, k=random.randint(6, 14)))
        english.append(Record(Document(f"d{index}", body, " ".join(words[:2]), "en"), (words[0], words[1])))
    others = [
        Record(Document(r.document.id, foreign(r.document.body), foreign(r.document.title), "xx"), r.keyphrases)
        for r in english
    ]
    return others, english


def write_records(records: Iterable[Record], path: Path) -> str:
    """As JSON lines."""
    rows = [
        {
            "id": record.document.id,
            "lang": record.document.lang,
            "title": record.document.title,
            "abstract": record.document.body,
            "keyphrases": list(record.keyphrases),
            "english_ids": list(record.english_ids),
        }
        for record in records
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def save_backbone(folder: Path, marks: Sequence[str] = MARKS, **config: Any) -> str:
    """Write a BERT of some ten thousand random weights, and a tokenizer of the words of both languages."""
    vocabulary = [*SPECIAL, *marks, ".", ";", *WORDS, *(word[::-1] for word in WORDS)]
    model = models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **dict(zip(names, SPECIAL, strict=True)))
    fast.save_pretrained(folder)
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": MOST_TOKENS,
        "initializer_range": 0.1,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    torch.manual_seed(5)
    BertModel(BertConfig(vocab_size=len(vocabulary), **{**sizes, **config})).save_pretrained(folder)
    return str(folder)


def save_store(records: Sequence[Record], folder: Path) -> PassageStore:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return build_store([write_records(records, folder.with_suffix(".jsonl"))], folder)


def make_config(backbone: str, **config: Any) -> RetrieverConfig:
    return RetrieverConfig(backbone=backbone, **{**CONFIG, **config})


def make_task(backbone: str, store: PassageStore, **config: Any) -> RetrieverTask:
    return RetrieverTask(make_config(backbone, **config), store.folder)
