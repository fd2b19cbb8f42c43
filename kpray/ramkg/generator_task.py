"""The training task of the generator: rows, batches, losses and validation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel
from typing_extensions import override

from kpray.corpus.store import PassageStore
from kpray.document import Record
from kpray.errors import UserError
from kpray.metrics.evaluate import gold_phrases
from kpray.metrics.f1 import precision_recall_f1
from kpray.metrics.normalization import unique_phrases
from kpray.predictor_file import write_predictor_file
from kpray.ramkg.codemix import PROTOCOL, CodeMixer, load_mixer
from kpray.ramkg.config import GenerateConfig, GeneratorConfig, RAMKGConfig
from kpray.ramkg.generator import (
    collate_targets,
    generate_sequences,
    load_model,
    save_generator,
    target_logits,
)
from kpray.ramkg.predictor import RAMKG
from kpray.text.languages import primary_language
from kpray.training import TrainingTask, Validation, check_keyphrases, unwrap, valid_files

if TYPE_CHECKING:
    import pyarrow as pa

METRICS = ("f1@M", "precision@M", "recall@M")
_CHECKED_PASSAGES = 1000  # number of English passages of which at least one must have keyphrases


class GeneratorTask(TrainingTask):
    """Trains the generator on documents in several languages, with the English keyphrases retrieved for them.

    Gao et al., "Retrieval-Augmented Multilingual Keyphrase Generation with Retriever-Generator Iterative Training",
    Findings of NAACL 2022.
    """

    kind: ClassVar[str] = "generator"

    def __init__(
        self,
        config: GeneratorConfig,
        search: GenerateConfig,
        english: Path | None = None,
        *,
        langs: Sequence[str] | None = None,
    ) -> None:
        """Store the arguments; nothing is loaded yet.

        Args:
            config: configuration of the generator.
            search: beam search in validation; one beam is fastest.
            english: folder of the `PassageStore` with the English passages; required unless `config.passages` is 0.
            langs: train and validate only on documents in these languages; None: all languages.
        """
        self.config, self.search, self.english = config, search, english
        self.langs = None if langs is None else tuple(sorted({primary_language(lang) for lang in langs}))

    @property
    def mixer(self) -> CodeMixer:
        """The backbone's `CodeMixer`, loaded once per process."""
        return load_mixer(self.config)

    @property
    def passages(self) -> PassageStore | None:
        """The English passages; None if the generator does not use them."""
        if not self.config.passages:
            return None
        if self.english is None:
            raise UserError(
                "there are no English passages", where="--english", fix="give files of them, or set task.passages to 0"
            )
        return _open_store(self.english)

    @override
    def backbones(self) -> tuple[str, ...]:
        return (self.config.backbone,)

    @override
    def describe(self) -> dict[str, Any]:
        passages = self.passages
        return {
            "kind": self.kind,
            **self.config.model_dump(mode="json"),
            "search": self.search.model_dump(mode="json"),
            "english": passages and passages.sha256,
            "langs": self.langs and list(self.langs),
        }

    @override
    def describe_tokens(self) -> dict[str, Any]:
        return {name: value for name, value in self.describe().items() if name not in ("search", "label_smoothing")}

    @override
    def schema(self) -> pa.Schema:
        """Columns of a training row.

        `language` is the id of the language token, or -1. `source` and `target` include their special tokens.
        """
        import pyarrow as pa

        return pa.schema(
            [
                ("id", pa.string()),
                ("lang", pa.string()),
                ("language", pa.int32()),
                ("source", pa.list_(pa.int32())),
                ("target", pa.list_(pa.int32())),
                ("length", pa.int32()),
            ]
        )

    @override
    def check(self, valid: Sequence[Record]) -> None:
        if (passages := self.passages) is not None:
            rows = range(0, len(passages), -(-len(passages) // _CHECKED_PASSAGES))
            if not any(passages.record(row).keyphrases for row in rows):
                raise UserError(
                    f"none of the {len(rows):,} checked English passages has keyphrases",
                    where="--english",
                    fix="give files with a field `keyphrases`, or set task.passages to 0",
                )
        taken = [record for record in valid if self._takes(record)]
        if not taken:
            what = f"none of the {len(valid):,} validation documents is in a language of --langs"
            raise UserError(what, where=valid_files(valid), fix="give other --langs, or other files")
        check_keyphrases(taken, PROTOCOL)
        used = [record for record in taken if gold_phrases(record, PROTOCOL)]
        for record, english in zip(used, self._english(used), strict=True):
            where = f"{record.source}:{record.line}"
            self.mixer.language(record.document.lang, where=where)
            if isinstance(english, str):
                raise UserError(english, where=where, fix="add the file with this passage to --english")

    @override
    def tokenize(self, records: Sequence[Record]) -> list[dict[str, Any] | str]:
        rows: list[dict[str, Any] | str] = []
        sources = self._sources(records)
        targets = self.mixer.targets([record.keyphrases for record in records])
        for record, source, target in zip(records, sources, targets, strict=True):
            if isinstance(source, str) or isinstance(target, str):
                rows.append(source if isinstance(source, str) else str(target))
                continue
            rows.append(
                {
                    "id": record.document.id,
                    "lang": record.document.lang,
                    "language": source[1],
                    "source": source[0],
                    "target": target,
                    "length": len(source[0]) + len(target),
                }
            )
        return rows

    def _takes(self, record: Record) -> bool:
        return self.langs is None or primary_language(record.document.lang) in self.langs

    def _english(self, records: Sequence[Record]) -> list[list[str] | str]:
        """Keyphrases of each record's English passages, best passage first, or the reason why a passage is missing.

        A record without `english_ids`, such as an English one, gets an empty list and never its gold keyphrases.
        """
        passages, first = self.passages, self.config.passages
        if passages is None:
            return [[] for _ in records]
        ids = [record.english_ids[:first] for record in records]
        rows = iter(passages.rows("en", list(chain.from_iterable(ids))).tolist())
        english: list[list[str] | str] = []
        for of_record in ids:
            found = {id: next(rows) for id in of_record}
            missing = [id for id, row in found.items() if row < 0]
            if missing:
                english.append(f"english_ids: there is no English passage {missing[0]!r}")
            else:
                english.append([phrase for row in found.values() for phrase in passages.record(row).keyphrases])
        return english

    def _sources(self, records: Sequence[Record]) -> list[tuple[np.ndarray, int] | str]:
        """Input and language id of each record, or the reason why it has no input. Gold keyphrases are not used."""
        refused: dict[int, str] = {}
        languages: dict[int, int] = {}
        hints: list[list[str]] = []
        for index, (record, english) in enumerate(zip(records, self._english(records), strict=True)):
            if not self._takes(record):
                refused[index] = f"the language {record.document.lang!r} is not in --langs"
            elif isinstance(english, str):
                refused[index] = english
            else:
                where = f"{record.source}:{record.line}"
                languages[index] = self.mixer.language(record.document.lang, where=where)
                hints.append(english)
        texts = [records[index].document.text for index in languages]
        sources = iter(self.mixer.sources(texts, list(languages.values()), hints))
        found: list[tuple[np.ndarray, int] | str] = []
        for index in range(len(records)):
            source = refused[index] if index in refused else next(sources)
            found.append(source if isinstance(source, str) else (source, languages[index]))
        return found

    @override
    def build(self) -> torch.nn.Module:
        model: torch.nn.Module = load_model(self.mixer)
        return model

    @override
    def collate(self, rows: Sequence[Mapping[str, np.ndarray]], seeds: Sequence[int]) -> dict[str, torch.Tensor]:
        """Make a batch; `seeds` are not used.

        Returns:
            `input_ids` int64 [B, S], `attention_mask` bool [B, S], and the result of `collate_targets`.
        """
        ids = [torch.from_numpy(row["source"].astype(np.int64)) for row in rows]
        input_ids = pad_sequence(ids, batch_first=True, padding_value=self.mixer.pad_id)
        lengths = torch.tensor([len(row["source"]) for row in rows])
        starts = [self.mixer.frame(int(row["language"])).start for row in rows]
        return {
            "input_ids": input_ids,
            "attention_mask": torch.arange(input_ids.shape[1]) < lengths[:, None],
            **collate_targets([row["target"] for row in rows], starts, self.mixer.pad_id),
        }

    @override
    def losses(
        self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor], progress: float
    ) -> dict[str, torch.Tensor]:
        """Negative log-likelihood of the targets, end tokens included (Sec. 4.2), and number of target tokens.

        With label smoothing, the loss is the cross-entropy with the smoothed targets.
        """
        logits_NV = target_logits(
            model,
            batch["target_rows"],
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            decoder_input_ids=batch["decoder_input_ids"],
        )
        tokens = torch.tensor(float(len(batch["target_ids"])), device=logits_NV.device)
        smoothing = self.config.label_smoothing
        loss = cross_entropy(logits_NV, batch["target_ids"], reduction="sum", label_smoothing=smoothing)
        return {"loss": loss, "target_tokens": tokens}

    @override
    def validate(self, model: torch.nn.Module, records: Sequence[Record]) -> dict[str, float]:
        """Sums of `METRICS` over documents, for all languages and for each (`f1@M fr`), and numbers of `documents`.

        The metrics are those of the protocol `ramkg`. Documents without gold are skipped. A document that the model
        cannot read counts as an empty prediction.
        """
        bare = unwrap(model, PreTrainedModel)
        was_training = bare.training
        bare.train(False)
        gold = [
            (record, set(phrases))
            for record in records
            if self._takes(record) and (phrases := gold_phrases(record, PROTOCOL))
        ]
        sources = self._sources([record for record, _ in gold])
        readable = [source for source in sources if not isinstance(source, str)]
        generated = iter(
            generate_sequences(
                bare,
                self.mixer,
                [source for source, _ in readable],
                [language for _, language in readable],
                self.search,
            )
        )
        bare.train(was_training)

        sums: defaultdict[str, float] = defaultdict(float)
        for (record, wanted), source in zip(gold, sources, strict=True):
            lang = record.document.lang
            texts = [] if isinstance(source, str) else [phrase.text for phrase in next(generated).phrases]
            predicted = list(unique_phrases(texts, lang, PROTOCOL.normalization))
            scores = precision_recall_f1(predicted, wanted, "M")
            values = {"f1@M": scores.f1, "precision@M": scores.precision, "recall@M": scores.recall, "documents": 1}
            for name, value in values.items():
                sums[name] += value
                sums[f"{name} {lang}"] += value
        return dict(sums)

    @override
    def conclude(self, sums: Mapping[str, float]) -> Validation:
        """Means over documents, in percent; the score is F1@M over all languages."""
        metrics: dict[str, float] = {}
        groups = [name.removeprefix("documents") for name in sums if name.startswith("documents")]
        for group in sorted({"", *groups}):
            documents = sums.get(f"documents{group}", 0)
            for metric in METRICS:
                metrics[f"{metric}{group}"] = 100 * sums[f"{metric}{group}"] / documents if documents else 0.0
        return Validation(metrics["f1@M"], metrics, {})

    @override
    def save(self, model: torch.nn.Module, folder: Path, decisions: Mapping[str, Any]) -> None:
        """Write a folder for `open_generator`, which can also be the `backbone` of another training.

        `open_predictor` opens it if the generator works without retrieval, and otherwise says what is missing.
        """
        save_generator(unwrap(model, PreTrainedModel), self.mixer, folder)
        write_predictor_file(folder, RAMKG.kind, RAMKGConfig(model="").model_dump(mode="json"), self.describe())


@cache
def _open_store(folder: Path) -> PassageStore:
    return PassageStore(folder)
