"""Pretraining of a backbone that has no language-model head, before UniKeyphrase is trained (`--pretrain.epochs`).

all-MiniLM-L6-v2 is published as an encoder. Its LM head starts from random numbers, and keyphrases alone teach it too
little. Each document gives two tasks at once: masked language modelling of its body (Devlin et al., 2019), and UniLM's
sequence-to-sequence modelling of its title given the body (Dong et al., 2019). Gold keyphrases are never read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from typing_extensions import override

from kpray.document import Record
from kpray.pretrained import save_model
from kpray.training import TrainingTask, Validation, unwrap
from kpray.unikeyphrase.config import ModelConfig, PretrainConfig
from kpray.unikeyphrase.inputs import NO_LABEL, Encoder, collate, describe_rows, load_encoder, make_row, row_schema
from kpray.unikeyphrase.model import UniKeyphraseModel, from_backbone

if TYPE_CHECKING:
    import pyarrow as pa

_VALIDATION_BATCH = 16


class PretrainTask(TrainingTask):
    """Trains the backbone; what it saves is a backbone to start UniKeyphrase from, not a predictor."""

    kind: ClassVar[str] = "unikeyphrase-pretrain"

    def __init__(self, model: ModelConfig, config: PretrainConfig) -> None:
        self.model = model.model_copy(update={"relation_layers": 0})
        self.config = config

    @property
    def encoder(self) -> Encoder:
        """The backbone's tokenizer; each process loads its own, once."""
        return load_encoder(self.model.backbone)

    @override
    def backbones(self) -> tuple[str, ...]:
        return (self.model.backbone,)

    @override
    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "model": self.model.model_dump(mode="json"), **self.config.model_dump(mode="json")}

    @override
    def describe_tokens(self) -> dict[str, Any]:
        return describe_rows(self.model)  # those of the training that follows

    @override
    def schema(self) -> pa.Schema:
        return row_schema()

    @override
    def tokenize(self, records: Sequence[Record]) -> list[dict[str, Any] | str]:
        return [make_row(record, self.encoder, self.model) for record in records]

    @override
    def build(self) -> torch.nn.Module:
        return from_backbone(self.model)

    @override
    def collate(self, rows: Sequence[Mapping[str, np.ndarray]], seeds: Sequence[int]) -> dict[str, torch.Tensor]:
        """As for UniKeyphrase, with masks in the source too: `body_rows` and `body_ids` are its masked tokens."""
        encoder = self.encoder
        split = [_split_title(row, encoder) for row in rows]
        masked = [self._mask_body(body, seed) for (body, _), seed in zip(split, seeds, strict=True)]
        replaced = [
            {"source": source, "target": title, "labels": np.full(len(source), NO_LABEL)}
            for (source, _), (_, title) in zip(masked, split, strict=True)
        ]
        batch = collate(
            replaced,
            seeds,
            mask_id=encoder.mask_id,
            pad_id=encoder.pad_id,
            mask_probability=self.config.title_mask_probability,
        )
        tokens = batch["input_ids"].shape[1]
        body_rows = np.concatenate([index * tokens + positions for index, (_, positions) in enumerate(masked)])
        body_ids = np.concatenate([body[positions] for (body, _), (_, positions) in zip(split, masked, strict=True)])
        counted = batch.pop("target_masked")
        return {
            "input_ids": batch["input_ids"],
            "source_lengths": batch["source_lengths"],
            "lengths": batch["lengths"],
            "title_rows": batch["target_rows"][counted],
            "title_ids": batch["target_ids"][counted],
            "body_rows": torch.from_numpy(body_rows),
            "body_ids": torch.from_numpy(body_ids.astype(np.int64)),
        }

    def _mask_body(self, source: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """A source with some tokens replaced, and the positions of these; [CLS] and [SEP] are never among them."""
        encoder = self.encoder
        chosen, kinds, others = np.random.default_rng([seed, 1]).random((3, len(source)))
        chosen[[0, -1]] = 1
        positions = np.flatnonzero(chosen < self.config.mask_probability)
        source = source.copy()
        random = (others[positions] * encoder.vocabulary_size).astype(source.dtype)
        changed = np.where(kinds[positions] < 0.8, encoder.mask_id, random)
        source[positions] = np.where(kinds[positions] < 0.9, changed, source[positions])
        return source, positions

    @override
    def losses(
        self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor], progress: float
    ) -> dict[str, torch.Tensor]:
        """Each document's mean cross-entropy over its masked body tokens and over its masked title tokens, added up."""
        output = model(
            input_ids=batch["input_ids"],
            source_lengths=batch["source_lengths"],
            lengths=batch["lengths"],
            target_rows=torch.cat([batch["body_rows"], batch["title_rows"]]),
        )
        documents, tokens = batch["input_ids"].shape
        body, title = output.token_logits.split([len(batch["body_rows"]), len(batch["title_rows"])])
        parts = {
            "body": _document_means(body, batch["body_ids"], batch["body_rows"] // tokens, documents),
            "title": _document_means(title, batch["title_ids"], batch["title_rows"] // tokens, documents),
        }
        # The labels have no part in it; DeepSpeed wants a gradient for every parameter.
        loss = parts["body"] + parts["title"] + 0 * output.label_logits.sum()
        return {"loss": loss, **{name: part.detach() for name, part in parts.items()}}

    @override
    def validate(self, model: torch.nn.Module, records: Sequence[Record]) -> dict[str, float]:
        """Sums of the losses; the masks depend on the number of a document alone, so validations can be compared."""
        bare = unwrap(model, UniKeyphraseModel)
        rows = [row for row in self.tokenize(records) if not isinstance(row, str)]
        sums: dict[str, float] = {"documents": len(rows)}
        with torch.no_grad():
            for start in range(0, len(rows), _VALIDATION_BATCH):
                some = rows[start : start + _VALIDATION_BATCH]
                batch = self.collate(some, range(start, start + len(some)))
                found = self.losses(bare, {name: tensor.to(bare.device) for name, tensor in batch.items()}, 1.0)
                for name, value in found.items():
                    sums[name] = sums.get(name, 0.0) + float(value)
        return sums

    @override
    def conclude(self, sums: Mapping[str, float]) -> Validation:
        means = {name: sums.get(name, 0.0) / max(sums["documents"], 1) for name in ("loss", "body", "title")}
        return Validation(-means["loss"], means, {})

    @override
    def save(self, model: torch.nn.Module, folder: Path, decisions: Mapping[str, Any]) -> None:
        """Write a folder that `ModelConfig.backbone` takes; the untrained extraction head is left out."""
        save_model(unwrap(model, UniKeyphraseModel), folder, leave_out=("extraction.",))
        self.encoder.save(folder)


def _split_title(row: Mapping[str, np.ndarray], encoder: Encoder) -> tuple[np.ndarray, np.ndarray]:
    """A training row as body and title: [CLS] body [SEP] and title [SEP], int32 each."""
    source, title = np.asarray(row["source"]), int(row["title"])
    return np.delete(source, np.s_[1 : 1 + title]), np.append(source[1 : 1 + title], encoder.sep_id).astype(np.int32)


def _document_means(
    logits: torch.Tensor, ids: torch.Tensor, row_documents: torch.Tensor, documents: int
) -> torch.Tensor:
    """Sum over documents of the mean cross-entropy of their rows.

    Args:
        logits: [N, V].
        ids: int64 [N], the right tokens.
        row_documents: int64 [N], the document of each row.
        documents: how many.

    Returns:
        Float32 [].
    """
    losses_N = cross_entropy(logits.float(), ids, reduction="none")
    sums_B = losses_N.new_zeros(documents).index_add(0, row_documents, losses_N)
    return (sums_B / torch.bincount(row_documents, minlength=documents).clamp(min=1)).sum()
