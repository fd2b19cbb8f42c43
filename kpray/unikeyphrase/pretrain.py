"""Pretraining of a backbone that has no language-model head, before UniKeyphrase is trained (`--pretrain.epochs`).

all-MiniLM-L6-v2 was published without its LM head. The new head is random, and training on keyphrases alone is not
enough for it. Pretraining has two objectives for each document: masked language modelling of its body (Devlin et al.,
2019), and UniLM's sequence-to-sequence modelling of its title given the body (Dong et al., 2019). Gold keyphrases are
never read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from typing_extensions import override

from kpray.document import Record
from kpray.pretrained import save_model
from kpray.training import TrainingTask, Validation, check_keyphrases, unwrap
from kpray.unikeyphrase.config import LossConfig, ModelConfig, PretrainConfig
from kpray.unikeyphrase.inputs import (
    NO_LABEL,
    Encoder,
    collate,
    describe_rows,
    load_encoder,
    make_row,
    replace_masked,
    row_schema,
)
from kpray.unikeyphrase.loss import generation_losses, token_log_probabilities
from kpray.unikeyphrase.model import UniKeyphraseModel, from_backbone
from kpray.unikeyphrase.task import PROTOCOL

if TYPE_CHECKING:
    import pyarrow as pa

_VALIDATION_BATCH = 16
_MEANS = LossConfig(reduction="mean")


class PretrainTask(TrainingTask):
    """Trains a backbone for UniKeyphrase. It saves a backbone, not a predictor."""

    kind: ClassVar[str] = "unikeyphrase-pretrain"

    def __init__(self, model: ModelConfig, config: PretrainConfig) -> None:
        self.model = model.model_copy(update={"relation_layers": 0})
        self.config = config

    @property
    def encoder(self) -> Encoder:
        """The backbone's tokenizer, loaded once per process."""
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
    def check(self, valid: Sequence[Record]) -> None:
        check_keyphrases(valid, PROTOCOL)  # the training that follows needs them

    @override
    def schema(self) -> pa.Schema:
        return row_schema()

    @override
    def tokenize(self, records: Sequence[Record]) -> list[dict[str, Any] | str]:
        return [make_row(record, self.encoder, self.model) for record in records]

    @override
    def build(self) -> torch.nn.Module:
        return from_backbone(self.model.model_copy(update={"target": "absent"}))  # a title is a sequence

    @override
    def collate(self, rows: Sequence[Mapping[str, np.ndarray]], seeds: Sequence[int]) -> dict[str, torch.Tensor]:
        """Make a batch in which source and target tokens are masked.

        Returns:
            `input_ids` int64 [B, T]; `source_lengths` and `lengths` int64 [B]; `title_rows` and `body_rows`, indices of
            the masked tokens into the flattened `input_ids`, int64; `title_ids` and `body_ids`, the original tokens,
            int64.
        """
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
            unmasked_rows=False,
        )
        tokens = batch["input_ids"].shape[1]
        body_rows = np.concatenate([index * tokens + positions for index, (_, positions) in enumerate(masked)])
        body_ids = np.concatenate([body[positions] for (body, _), (_, positions) in zip(split, masked, strict=True)])
        return {
            "input_ids": batch["input_ids"],
            "source_lengths": batch["source_lengths"],
            "lengths": batch["lengths"],
            "title_rows": batch["target_rows"],
            "title_ids": batch["target_ids"],
            "body_rows": torch.from_numpy(body_rows),
            "body_ids": torch.from_numpy(body_ids.astype(np.int64)),
        }

    def _mask_body(self, source: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Mask a source, except [CLS] and [SEP]; return the new ids and the positions to predict."""
        encoder = self.encoder
        chosen, kinds, others = np.random.default_rng([seed, 1]).random((3, len(source)))
        chosen[[0, -1]] = 1
        positions = np.flatnonzero(chosen < self.config.mask_probability)
        source = source.copy()
        source[positions] = replace_masked(
            source[positions], kinds[positions], others[positions], encoder.mask_id, encoder.vocabulary_size
        )
        return source, positions

    @override
    def losses(
        self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor], progress: float
    ) -> dict[str, torch.Tensor]:
        """Sum over documents of the mean cross-entropy of masked body tokens plus that of masked title tokens."""
        output = model(
            input_ids=batch["input_ids"],
            source_lengths=batch["source_lengths"],
            lengths=batch["lengths"],
            target_rows=torch.cat([batch["body_rows"], batch["title_rows"]]),
        )
        documents, tokens = batch["input_ids"].shape
        logits = output.token_logits.split([len(batch["body_rows"]), len(batch["title_rows"])])
        parts: dict[str, torch.Tensor] = {}
        for name, of_part in zip(("body", "title"), logits, strict=True):
            ids, row_documents = batch[f"{name}_ids"], batch[f"{name}_rows"] // tokens
            all_rows = torch.ones_like(ids, dtype=torch.bool)
            log_probabilities = token_log_probabilities(of_part)
            parts[name] = generation_losses(log_probabilities, ids, all_rows, row_documents, documents, _MEANS).sum()
        # The label logits do not affect the loss, but DeepSpeed requires a gradient for each parameter.
        loss = parts["body"] + parts["title"] + 0 * output.label_logits.sum()
        return {"loss": loss, **{name: part.detach() for name, part in parts.items()}}

    @override
    def validate(self, model: torch.nn.Module, records: Sequence[Record]) -> dict[str, float]:
        """Sums of the losses. Masks depend only on the index of a document, so that validations are comparable."""
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
        """Write a folder that can be `ModelConfig.backbone`, without the untrained extraction head."""
        save_model(unwrap(model, UniKeyphraseModel), folder, leave_out=("extraction.",))
        self.encoder.save(folder)


def _split_title(row: Mapping[str, np.ndarray], encoder: Encoder) -> tuple[np.ndarray, np.ndarray]:
    """A training row as body and title: [CLS] body [SEP] and title [SEP], int32 each."""
    source, title = np.asarray(row["source"]), int(row["title"])
    return np.delete(source, np.s_[1 : 1 + title]), np.append(source[1 : 1 + title], encoder.sep_id).astype(np.int32)
