"""A small real training task: decide from the words of a text which of two words is more frequent."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from torch.nn import functional

from kpray.document import Document, Record
from kpray.settings import Settings
from kpray.training import TrainingTask, Validation

WORDS = ("graph", "noise", "kernel", "spectral", "sparse", "corpus", "lattice", "schedule")
VOCABULARY = 50

if TYPE_CHECKING:
    from torch import Tensor


class TinyModel(nn.Module):
    """Mean of word embeddings and two linear layers."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, hidden)
        self.normalization = nn.LayerNorm(hidden)
        self.inner, self.outer = nn.Linear(hidden, hidden), nn.Linear(hidden, 2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        weights = mask.to(self.inner.weight.dtype)[:, :, None]
        mean = (self.embedding(ids) * weights).sum(1) / weights.sum(1)
        logits: Tensor = self.outer(self.dropout(functional.gelu(self.inner(self.normalization(mean)))))
        return logits


class TinyConfig(Settings):
    """Settings of the model, and of simulated failures."""

    hidden: int = 16
    dropout: float = 0.0
    masked: float = 0.0
    nan_at: float | None = None
    """Share of the steps after which the loss is NaN."""
    seconds: float = 0.0
    """Additional time of each batch."""


class TinyTask(TrainingTask):
    """Cross-entropy of the label, with randomly masked words."""

    kind: ClassVar[str] = "tiny"

    def __init__(self, config: TinyConfig) -> None:
        self.config = config

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.config.model_dump(mode="json", exclude={"nan_at", "seconds"})}

    def describe_tokens(self) -> dict[str, Any]:
        return {"kind": self.kind}

    def schema(self) -> pa.Schema:
        return pa.schema(
            [("id", pa.string()), ("ids", pa.list_(pa.int32())), ("label", pa.int8()), ("length", pa.int32())]
        )

    def tokenize(self, records: Sequence[Record]) -> list[dict[str, Any] | str]:
        rows: list[dict[str, Any] | str] = []
        for record in records:
            ids = _ids(record)
            if not record.keyphrases:
                rows.append("no keyphrases")
            else:
                rows.append({"id": record.document.id, "ids": ids, "label": _label(record), "length": len(ids)})
        return rows

    def build(self) -> nn.Module:
        return TinyModel(self.config.hidden, self.config.dropout).eval()  # like a model that transformers has loaded

    def collate(self, rows: Sequence[Mapping[str, np.ndarray]], seeds: Sequence[int]) -> dict[str, torch.Tensor]:
        longest = max(len(row["ids"]) for row in rows)
        ids, mask = np.zeros((len(rows), longest), np.int64), np.zeros((len(rows), longest), bool)
        for index, (row, seed) in enumerate(zip(rows, seeds, strict=True)):
            kept = np.random.default_rng(seed).random(len(row["ids"])) >= self.config.masked
            ids[index, : len(kept)] = np.where(kept, row["ids"], VOCABULARY - 1)
            mask[index, : len(kept)] = True
        labels = np.array([row["label"] for row in rows], np.int64)
        return {"ids": torch.from_numpy(ids), "mask": torch.from_numpy(mask), "labels": torch.from_numpy(labels)}

    def losses(
        self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor], progress: float
    ) -> dict[str, torch.Tensor]:
        if self.config.seconds:
            import time

            time.sleep(self.config.seconds)
        logits = model(batch["ids"], batch["mask"]).float()
        loss = functional.cross_entropy(logits, batch["labels"], reduction="sum")
        if self.config.nan_at is not None and progress >= self.config.nan_at:
            loss = loss * torch.nan
        right = (logits.argmax(1) == batch["labels"]).float().sum()
        return {"loss": loss, "right": right.detach()}

    def validate(self, model: torch.nn.Module, records: Sequence[Record]) -> dict[str, float]:
        assert not model.training
        rows = [{"ids": np.array(_ids(record)), "label": np.array(_label(record))} for record in records]
        if not rows:
            return {}
        batch = self.collate(rows, [0] * len(rows))
        with torch.inference_mode():
            losses = self.losses(model, batch, 0.0)
        return {"loss": float(losses["loss"]), "right": float(losses["right"]), "documents": len(rows)}

    def conclude(self, sums: Mapping[str, float]) -> Validation:
        loss = sums["loss"] / sums["documents"]
        return Validation(-loss, {"loss": loss, "accuracy": sums["right"] / sums["documents"]}, {"threshold": 0.5})

    def save(self, model: torch.nn.Module, folder: Path, decisions: Mapping[str, Any]) -> None:
        torch.save(model.state_dict(), folder / "weights.pt")
        (folder / "decisions.json").write_text(json.dumps(dict(decisions)), encoding="utf-8")


class NewHeadTask(TinyTask):
    """The same task, with two layers that are not part of the backbone.

    Two layers are needed: DeepSpeed cannot load a checkpoint for another number of workers if a parameter group is so
    small that a worker has no share of it.
    """

    def build(self) -> nn.Module:
        model = super().build()
        names = [name for name, _ in model.named_parameters() if name.startswith(("inner", "outer"))]
        model.new_parameters = frozenset(names)  # type: ignore[assignment]
        return model


class WholeStepsTask(TinyTask):
    """The same task, with a worker's share of a step in one batch. The loss `batches` counts the batches."""

    whole_steps: ClassVar[bool] = True

    def losses(
        self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor], progress: float
    ) -> dict[str, torch.Tensor]:
        return {**super().losses(model, batch, progress), "batches": torch.ones(())}


def _ids(record: Record) -> list[int]:
    return [zlib.crc32(word.encode()) % (VOCABULARY - 1) for word in record.document.text.split()]


def _label(record: Record) -> int:
    words = record.document.text.split()
    return int(words.count(WORDS[0]) > words.count(WORDS[1]))


def make_records(number: int, seed: int) -> list[Record]:
    """Random texts of 3 to 40 words."""
    random = Random(seed)
    texts = [" ".join(random.choices(WORDS, k=random.randint(3, 40))) for _ in range(number)]
    return [Record(Document(str(index), text), ("graph",)) for index, text in enumerate(texts)]


def write_records(records: Sequence[Record], path: Path) -> None:
    """Write records as JSON lines."""
    rows = [{"id": r.document.id, "abstract": r.document.body, "keywords": list(r.keyphrases)} for r in records]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
