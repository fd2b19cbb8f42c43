"""A small random BERT with a tokenizer of its type, and documents to train and test UniKeyphrase."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel

from kpray.document import Document, Record
from kpray.unikeyphrase.config import ModelConfig, TaskConfig
from kpray.unikeyphrase.model import UniKeyphraseModel
from kpray.unikeyphrase.task import UniKeyphraseTask
from tests.word_pieces import word_pieces

SOURCE_TOKENS, TARGET_TOKENS = 40, 16

RECORDS = [
    Record(
        Document("1", "Sparse graphs describe large networks. A sparse graph has few edges.", title="Graphs"),
        ("sparse graph", "large networks", "graph theory"),
    ),
    Record(
        Document("2", "The algorithm ranks noun phrases by the attention of their tokens.", title="Noun phrases"),
        ("noun phrases", "attention", "keyphrase extraction", "language models"),
    ),
    Record(
        Document("3", "Real-time solvers find convex bounds. Each solver is parallel."),
        ("convex bounds", "real-time solvers"),
    ),
    Record(
        Document("4", "Bilingual corpora help translation of rare words."),
        ("bilingual corpora", "machine translation", "low-resource languages"),
    ),
]


def save_backbone(folder: Path, **config: Any) -> str:
    """Write a BERT of a hundred thousand random weights, and a tokenizer that knows the pieces of `RECORDS`."""
    texts = [text for record in RECORDS for text in (record.document.text, *record.keyphrases)]
    fast = word_pieces([*texts, ";"])
    fast.save_pretrained(folder)
    sizes = {
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": SOURCE_TOKENS + TARGET_TOKENS,
        "initializer_range": 0.2,  # far enough from a uniform distribution for beams to differ
    }
    torch.manual_seed(5)
    BertModel(BertConfig(vocab_size=len(fast), **{**sizes, **config})).save_pretrained(folder)
    return str(folder)


def make_task(backbone: str, **model: Any) -> UniKeyphraseTask:
    limits = {"source_tokens": SOURCE_TOKENS, "target_tokens": TARGET_TOKENS}
    return UniKeyphraseTask(TaskConfig(model=ModelConfig(backbone=backbone, **{**limits, **model})))


def make_model(task: UniKeyphraseTask, seed: int = 3) -> UniKeyphraseModel:
    """An untrained model. All weights are random, so that each part of the model has an effect."""
    torch.manual_seed(seed)
    model = task.build()
    assert isinstance(model, UniKeyphraseModel)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()  # type: ignore[no-any-return, no-untyped-call]


def learn_by_heart(backbone: str, **options: Any) -> tuple[UniKeyphraseTask, UniKeyphraseModel]:
    """A task and its model after training on `RECORDS`, without dropout, until it has memorized them."""
    task = make_task(backbone, relation_dropout=0, dropout=0, attention_dropout=0, **options)
    torch.manual_seed(1)
    model = task.build()
    assert isinstance(model, UniKeyphraseModel)
    model.train()
    rows: list[Any] = task.tokenize(RECORDS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    steps = 200
    for step in range(steps):
        batch = task.collate(rows, [step * len(rows) + index for index in range(len(rows))])
        loss = task.losses(model, batch, step / steps)["loss"]
        optimizer.zero_grad()
        (loss / len(rows)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return task, model


def write_records(path: Path) -> None:
    """Write `RECORDS`, with their gold, as JSON lines."""
    rows = [
        {
            "id": record.document.id,
            "title": record.document.title,
            "abstract": record.document.body,
            "keyphrases": record.keyphrases,
        }
        for record in RECORDS
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
