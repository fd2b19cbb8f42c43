"""The training task of UniKeyphrase: its rows, batches, losses and validation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from typing_extensions import override

from kpray.document import Keyphrase, Record
from kpray.errors import RejectedDocument
from kpray.metrics.bag_of_words import bag_of_words_distance
from kpray.metrics.evaluate import gold_phrases, split_by_presence
from kpray.metrics.f1 import precision_recall_f1
from kpray.metrics.normalization import unique_phrases
from kpray.metrics.protocols import PROTOCOLS
from kpray.predictor_file import write_predictor_file
from kpray.pretrained import save_model
from kpray.text.stems import stemmed_words
from kpray.training import TrainingTask, Validation, check_keyphrases, unwrap
from kpray.unikeyphrase.config import DecodeConfig, TaskConfig, UniKeyphraseConfig
from kpray.unikeyphrase.decode import label_probabilities, read_documents
from kpray.unikeyphrase.inputs import Encoder, collate, describe_rows, load_encoder, make_row, row_schema
from kpray.unikeyphrase.loss import uni_losses
from kpray.unikeyphrase.model import UniKeyphraseModel, from_backbone
from kpray.unikeyphrase.predictor import (
    PreparedDocument,
    UniKeyphrase,
    prepare,
    rank_keyphrases,
    split_phrases,
)
from kpray.unikeyphrase.slots import assign_slots, slot_columns

if TYPE_CHECKING:
    import pyarrow as pa

PROTOCOL = PROTOCOLS["meng"]
# B, I and X have a larger weight than O in Eq. 13, so a model labels too many phrases. The best bias is near the
# logarithm of that weight.
OUTSIDE_BIASES = tuple(quarter / 4 for quarter in range(-4, 13))
_F1 = ("present_f1@M", "present_f1@5", "absent_f1@M", "absent_f1@5", "total_f1@M")
METRICS = (*_F1, "#PK", "#AK", "bag_of_words_distance")


class UniKeyphraseTask(TrainingTask):
    """Trains UniKeyphrase, and chooses the bias of label O on the validation documents."""

    kind: ClassVar[str] = UniKeyphrase.kind

    def __init__(self, config: TaskConfig) -> None:
        self.config = config

    @property
    def encoder(self) -> Encoder:
        """The tokenizer of the backbone. Each process loads it once."""
        return load_encoder(self.config.model.backbone)

    @override
    def backbones(self) -> tuple[str, ...]:
        return (self.config.model.backbone,)

    @override
    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.config.model_dump(mode="json")}

    @override
    def describe_tokens(self) -> dict[str, Any]:
        return describe_rows(self.config.model)

    @override
    def check(self, valid: Sequence[Record]) -> None:
        check_keyphrases(valid, PROTOCOL)

    @override
    def schema(self) -> pa.Schema:
        return row_schema()

    @override
    def tokenize(self, records: Sequence[Record]) -> list[dict[str, Any] | str]:
        return [make_row(record, self.encoder, self.config.model) for record in records]

    @override
    def build(self) -> torch.nn.Module:
        return from_backbone(self.config.model)

    @override
    def collate(self, rows: Sequence[Mapping[str, np.ndarray]], seeds: Sequence[int]) -> dict[str, torch.Tensor]:
        batch = collate(
            rows,
            seeds,
            mask_id=self.encoder.mask_id,
            pad_id=self.encoder.pad_id,
            mask_probability=self.config.loss.mask_probability,
            random_ids=self.encoder.vocabulary_size if self.config.loss.masking == "bert" else 0,
            unmasked_rows=self.config.loss.bow_rows == "all",
        )
        if self.config.model.target == "set":
            batch |= slot_columns(rows, batch, self.config.model.slots, self.encoder.sep_id)
        return batch

    @override
    def losses(
        self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor], progress: float
    ) -> dict[str, torch.Tensor]:
        slots = None
        if self.config.model.target == "set":
            slots = assign_slots(unwrap(model, UniKeyphraseModel), batch, self.encoder.mask_id)
        output = model(
            input_ids=batch["input_ids"],
            source_lengths=batch["source_lengths"],
            lengths=batch["lengths"],
            target_rows=batch["target_rows"],
            slots=slots,
        )
        encoder = self.encoder
        special = [encoder.cls_id, encoder.sep_id, encoder.mask_id, encoder.pad_id, *encoder.delimiter_ids]
        ignored = torch.tensor(special, device=batch["input_ids"].device)
        return uni_losses(output, batch, self.config.loss, progress, ignored, self.config.model.extraction)

    @override
    def validate(self, model: torch.nn.Module, records: Sequence[Record]) -> dict[str, float]:
        """Sum each metric over documents for each bias, with names such as `present_f1@M 1.25`, and count documents.

        The metrics are those of the protocol `meng`, for the keyphrases that a saved predictor would give with this
        bias and `TaskConfig.decode`. Documents without gold are skipped. The model reads each document once for all
        biases, and never reads the gold.
        """
        bare = unwrap(model, UniKeyphraseModel)
        was_training = bare.training
        bare.train(False)
        gold = [phrases for record in records if (phrases := _Gold(record)).all]
        prepared = [self._prepare(phrases.record) for phrases in gold]
        sources = [window for document in prepared if document is not None for window in document.windows]
        with torch.no_grad():
            readings = iter(read_documents(bare, self.encoder, sources, self.config.decode))
        bare.train(was_training)

        sums: defaultdict[str, float] = defaultdict(float)
        for phrases, document in zip(gold, prepared, strict=True):
            sums["total"] += 1
            sums["present"] += bool(phrases.present)
            sums["absent"] += bool(phrases.absent)
            of_windows = [next(readings) for _ in document.windows] if document else []
            generated = [split_phrases(reading, self.encoder) for reading in of_windows]
            for bias in self._biases:
                keyphrases: list[Keyphrase] = []
                if document:
                    probabilities = [label_probabilities(reading.label_logits, bias) for reading in of_windows]
                    keyphrases = rank_keyphrases(
                        document, probabilities, generated, self.config.decode, self.config.model.extraction
                    )
                for metric, value in phrases.score(keyphrases[: PROTOCOL.top]).items():
                    sums[f"{metric} {bias:g}"] += value
        return dict(sums)

    @property
    def _biases(self) -> tuple[float, ...]:
        """The biases that validation chooses from."""
        tuned = self.config.tune_outside_bias and self.config.model.extraction
        return OUTSIDE_BIASES if tuned else (self.config.decode.outside_bias,)

    def _prepare(self, record: Record) -> PreparedDocument | None:
        """Prepare a document; None if the model cannot read it. It then counts as a document without predictions."""
        try:
            return prepare(record.document, self.encoder, self.config.model.source_tokens, self.config.decode.windows)
        except RejectedDocument:
            return None

    @override
    def conclude(self, sums: Mapping[str, float]) -> Validation:
        """Choose the bias with the best present F1@M. The score is the F1@M of all phrases (Table 5), in percent."""

        def mean(metric: str, bias: float) -> float:
            side = metric.partition("_")[0]
            documents = sums.get(side if side in ("present", "absent") else "total", 0)
            return sums.get(f"{metric} {bias:g}", 0) / documents if documents else 0.0

        best = max(self._biases, key=lambda bias: (mean("present_f1@M", bias), -abs(bias)))
        metrics = {metric: (100 if metric in _F1 else 1) * mean(metric, best) for metric in METRICS}
        return Validation(metrics["total_f1@M"], {**metrics, "outside_bias": best}, {"outside_bias": best})

    @override
    def save(self, model: torch.nn.Module, folder: Path, decisions: Mapping[str, Any]) -> None:
        """Write a folder that `open_predictor` opens. The number of beams is the default of `DecodeConfig`."""
        save_model(unwrap(model, UniKeyphraseModel), folder)
        self.encoder.save(folder)
        bias = decisions.get("outside_bias", self.config.decode.outside_bias)
        decode = self.config.decode.model_copy(update={"beams": DecodeConfig().beams, "outside_bias": bias})
        training = {"task": self.config.model_dump(mode="json"), "decisions": dict(decisions)}
        config = UniKeyphraseConfig(model=str(folder), decode=decode)
        write_predictor_file(folder, UniKeyphrase.kind, config.model_dump(mode="json"), training)


class _Gold:
    """The gold keyphrases of a record, normalized as the protocol compares them.

    Attributes:
        all: all phrases.
        present: the phrases that occur in the document.
        absent: the other phrases.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.stems = stemmed_words(record.document.text, record.document.lang)
        phrases = gold_phrases(record, PROTOCOL)
        self.all = set(phrases)
        self.present, self.absent = map(set, split_by_presence(phrases, self.stems, record.document.lang))

    def score(self, keyphrases: Sequence[Keyphrase]) -> dict[str, float]:
        """Values of `METRICS`, F1 as fractions."""
        texts = (keyphrase.text for keyphrase in keyphrases)
        phrases = unique_phrases(texts, self.record.document.lang, PROTOCOL.normalization)
        present, absent = split_by_presence(phrases, self.stems, self.record.document.lang)
        return {
            "present_f1@M": precision_recall_f1(present, self.present, "M").f1,
            "present_f1@5": precision_recall_f1(present, self.present, 5).f1,
            "absent_f1@M": precision_recall_f1(absent, self.absent, "M").f1,
            "absent_f1@5": precision_recall_f1(absent, self.absent, 5).f1,
            "total_f1@M": precision_recall_f1(list(phrases), self.all, "M").f1,
            "#PK": len(present),
            "#AK": len(absent),
            "bag_of_words_distance": bag_of_words_distance(phrases, self.all),
        }
