"""The training task of the retriever: pairs, batches, loss and validation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from typing_extensions import override

from kpray.corpus.store import PassageStore
from kpray.document import Record
from kpray.errors import RejectedDocument, UserError
from kpray.metrics.retrieval import CUTOFFS, count_hits, sum_reciprocal_ranks
from kpray.pretrained import load_tokenizer
from kpray.ramkg.config import RetrieverConfig
from kpray.ramkg.contrastive import contrastive_loss
from kpray.ramkg.encoder import PassageEncoder, TextEncoder, embed, load_encoder, pad, save_retriever
from kpray.training import TrainingTask, Validation, unwrap, valid_files

if TYPE_CHECKING:
    import pyarrow as pa

_TIE_BREAKER = 1e-3  # weight of the mean reciprocal rank in the score: less than one query of 100,000


class RetrieverTask(TrainingTask):
    """Trains the encoder on pairs of a document and its English passage (Sec. 4.1).

    The English passage of a record is the first of its `english_ids`, or the passage with the record's id if it has no
    `english_ids`. All positives and sampled negatives of a step are negatives for its other pairs, over all workers.
    """

    kind: ClassVar[str] = "retriever"
    whole_steps: ClassVar[bool] = True

    def __init__(self, config: RetrieverConfig, english: Path, batch: int = 1) -> None:
        """Store the arguments; nothing is loaded yet.

        Args:
            config: configuration of the retriever.
            english: folder of the `PassageStore` with the English documents.
            batch: number of pairs in a step, which share the sampled negatives.
        """
        self.config, self.english, self.batch = config, english, batch

    @property
    def texts(self) -> TextEncoder:
        """The backbone's tokenizer, loaded once per process."""
        return _texts(self.config)

    @property
    def store(self) -> PassageStore:
        """The English documents, opened once per process."""
        return _store(self.english)

    @override
    def backbones(self) -> tuple[str, ...]:
        return (self.config.backbone,)

    @override
    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.config.model_dump(mode="json"), "english": self.store.sha256}

    @override
    def describe_tokens(self) -> dict[str, Any]:
        names = {"backbone", "marks", "passage_tokens", "target", "seed"}
        return {
            "kind": self.kind,
            **self.config.model_dump(mode="json", include=names),
            "negatives": negatives_of_pair(self.config, self.batch),
            "english": self.store.sha256,
        }

    @override
    def check(self, valid: Sequence[Record]) -> None:
        if not any(row >= 0 for row in self._english_rows(valid)):
            raise UserError(
                f"none of the {len(valid):,} validation documents has an English passage: there is no English document "
                f"with the id {_english_id(valid[0])!r}",
                where=valid_files(valid),
                fix="give documents whose field `english_ids`, or `id`, has the id of an English document",
            )

    @override
    def schema(self) -> pa.Schema:
        """Columns of a training pair.

        `query`: token ids of the query. `passages`: token ids of the positive and the negatives, concatenated.
        `passage_lengths`: number of tokens of each passage. `passage_rows`: row of each passage in the store. `length`:
        number of all tokens.
        """
        import pyarrow as pa

        return pa.schema(
            [
                ("id", pa.string()),
                ("lang", pa.string()),
                ("query", pa.list_(pa.int32())),
                ("passages", pa.list_(pa.int32())),
                ("passage_lengths", pa.list_(pa.int32())),
                ("passage_rows", pa.list_(pa.int64())),
                ("length", pa.int32()),
            ]
        )

    @override
    def tokenize(self, records: Sequence[Record]) -> list[dict[str, Any] | str]:
        texts, config = self.texts, self.config
        positives = self._english_rows(records)
        queries = _encode_each(texts, records)
        rows = [
            np.array([positive, *draw_negatives(config, record, positive, len(self.store), self.batch)])
            for record, positive in zip(records, positives, strict=True)
            if positive >= 0
        ]
        distinct = np.unique(np.concatenate(rows)).tolist() if rows else []
        passages = dict(zip(distinct, self._encode_rows(distinct), strict=True))

        pairs: list[dict[str, Any] | str] = []
        drawn = iter(rows)
        for record, query, positive in zip(records, queries, positives, strict=True):
            if positive < 0:
                pairs.append(f"there is no English passage with the id {_english_id(record)!r}")
                continue
            passage_rows = next(drawn)
            ids = [passages[row] for row in passage_rows.tolist()]
            if isinstance(query, str):
                pairs.append(query)
            elif texts.is_empty(ids[0]):
                what = "keyphrases" if config.target == "P2K" else "text"
                pairs.append(f"the English passage with the id {_english_id(record)!r} has no {what}")
            else:
                pairs.append(
                    {
                        "id": record.document.id,
                        "lang": record.document.lang,
                        "query": query,
                        "passages": np.concatenate(ids),
                        "passage_lengths": np.array([len(passage) for passage in ids], dtype=np.int32),
                        "passage_rows": passage_rows,
                        "length": len(query) + sum(map(len, ids)),
                    }
                )
        return pairs

    @override
    def build(self) -> torch.nn.Module:
        return load_encoder(self.texts)

    @override
    def collate(self, rows: Sequence[Mapping[str, np.ndarray]], seeds: Sequence[int]) -> dict[str, torch.Tensor]:
        """Make a batch; `seeds` are not used.

        Returns:
            `query_ids` and `query_mask`, int64 [Q, T]; `passage_ids` and `passage_mask` of the distinct passages,
            int64 [P, T]; their rows in the store, `passage_rows` int64 [P]; and `positive_rows` int64 [Q].
        """
        passage_rows, firsts = np.unique(np.concatenate([row["passage_rows"] for row in rows]), return_index=True)
        passages = [
            ids for row in rows for ids in np.split(row["passages"], np.cumsum(row["passage_lengths"])[:-1].tolist())
        ]
        pad_id = self.texts.pad_id
        query_ids, query_mask = pad([row["query"] for row in rows], pad_id)
        passage_ids, passage_mask = pad([passages[first] for first in firsts.tolist()], pad_id)
        return {
            "query_ids": query_ids,
            "query_mask": query_mask,
            "passage_ids": passage_ids,
            "passage_mask": passage_mask,
            "passage_rows": torch.from_numpy(passage_rows.astype(np.int64)),
            "positive_rows": torch.tensor([int(row["passage_rows"][0]) for row in rows]),
        }

    @override
    def losses(
        self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor], progress: float
    ) -> dict[str, torch.Tensor]:
        """`loss`, and `right`: number of queries whose English passage ranks first among the step's candidates."""
        queries = model(batch["query_ids"], batch["query_mask"])
        passages = model(batch["passage_ids"], batch["passage_mask"])
        loss, right = contrastive_loss(queries, passages, batch["passage_rows"], batch["positive_rows"])
        return {"loss": loss, "right": right.float()}

    @override
    def validate(self, model: torch.nn.Module, records: Sequence[Record]) -> dict[str, float]:
        """Sums of recall@k and reciprocal rank over the documents with an English passage.

        A document's English passage is ranked among `RetrieverConfig.valid_passages` others, evenly spaced over the
        store. At equal scores the others rank first, so that an encoder with constant output has no recall.
        """
        queries = _encode_each(self.texts, records)
        pairs = [
            (query, row)
            for query, row in zip(queries, self._english_rows(records), strict=True)
            if row >= 0 and not isinstance(query, str)
        ]
        if not pairs:
            return {}
        encoder = unwrap(model, PassageEncoder)
        gold = np.array([row for _, row in pairs])
        pool_rows, pool_ids = _pool_tokens(self.config, self.english)
        pool = embed(encoder, pool_ids)
        queries_QD = embed(encoder, [query for query, _ in pairs])
        positives_QD = embed(encoder, self._encode_rows(gold.tolist()))
        gold_Q = (queries_QD * positives_QD).sum(1)
        ahead_QP = (queries_QD @ pool.T >= gold_Q[:, None]) & (pool_rows != gold[:, None])
        ranks = (1 + ahead_QP.sum(1)).tolist()
        hits = {f"recall@{k}": float(number) for k, number in count_hits(ranks).items()}
        return {"queries": len(ranks), "mrr": sum_reciprocal_ranks(ranks), **hits}

    @override
    def conclude(self, sums: Mapping[str, float]) -> Validation:
        """Recall@k and mean reciprocal rank, in percent. The score is recall@1.

        A thousandth of the mean reciprocal rank breaks ties; this is less than one query of 100,000.
        """
        queries = sums.get("queries", 0)
        names = [*(f"recall@{k}" for k in CUTOFFS), "mrr"]
        metrics = {name: 100 * sums[name] / queries if queries else 0.0 for name in names}
        score = metrics["recall@1"] + _TIE_BREAKER * metrics["mrr"] / 100
        return Validation(score, {**metrics, "queries": queries}, {})

    @override
    def save(self, model: torch.nn.Module, folder: Path, decisions: Mapping[str, Any]) -> None:
        """Write a folder for `open_retriever`."""
        save_retriever(unwrap(model, PassageEncoder), self.texts, folder)

    def _english_rows(self, records: Sequence[Record]) -> list[int]:
        """Rows of the records' English passages in the store; -1 for missing passages."""
        rows: list[int] = self.store.rows("en", [_english_id(record) for record in records]).tolist()
        return rows

    def _encode_rows(self, rows: Sequence[int]) -> list[np.ndarray]:
        return self.texts.encode_passages([self.store.record(row) for row in rows])


def negatives_of_pair(config: RetrieverConfig, batch: int) -> int:
    """Number of negatives that each pair adds to a step of `batch` pairs."""
    return -(-config.negatives // batch)


def draw_negatives(config: RetrieverConfig, record: Record, positive: int, passages: int, batch: int = 1) -> list[int]:
    """Sample the negatives of a pair. They do not depend on the machine or on the other pairs.

    Args:
        config: number of negatives in a step, and random seed.
        record: record of the query.
        positive: row of its English passage, which is never drawn.
        passages: number of rows in the store.
        batch: number of pairs in a step.

    Returns:
        Distinct rows of the store; fewer than `negatives_of_pair` if the store is too small.
    """
    others = range(passages - 1)
    name = repr((config.seed, record.document.lang, record.document.id)).encode()
    random = Random(hashlib.blake2b(name, digest_size=16).digest())
    drawn = random.sample(others, min(negatives_of_pair(config, batch), len(others)))
    return [row + (row >= positive) for row in drawn]


def _english_id(record: Record) -> str:
    """Id of a record's English passage."""
    return record.english_ids[0] if record.english_ids else record.document.id


def _encode_each(texts: TextEncoder, records: Sequence[Record]) -> list[np.ndarray | str]:
    """Token ids of each record's text, or the reason why it has none."""
    try:
        rows = texts.encode_queries([record.document for record in records])
    except RejectedDocument as error:
        if len(records) == 1:
            return [error.reason]
        return [row for record in records for row in _encode_each(texts, [record])]
    return ["the text has no token" if texts.is_empty(row) else row for row in rows]


@cache
def _texts(config: RetrieverConfig) -> TextEncoder:
    return TextEncoder(load_tokenizer(config.backbone), config)


@cache
def _store(folder: Path) -> PassageStore:
    return PassageStore(folder)


@cache
def _pool_tokens(config: RetrieverConfig, english: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Rows and token ids of the passages that validation searches."""
    store, number = _store(english), config.valid_passages
    rows = np.unique(np.arange(number) * len(store) // number)
    return rows, _texts(config).encode_passages([store.record(row) for row in rows.tolist()])
