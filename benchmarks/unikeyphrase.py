"""UniKeyphrase beside its floor: what `python benchmarks/run.py unikeyphrase` measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForMaskedLM

from benchmarks.timing import time_contestants
from kpray.batches import epoch_order, micro_batches
from kpray.document import Record
from kpray.training import OptimConfig, RunConfig
from kpray.unikeyphrase.config import TaskConfig
from kpray.unikeyphrase.decode import BATCH_TOKENS, CachedSteps, beam_search, source_batches
from kpray.unikeyphrase.inputs import Encoder
from kpray.unikeyphrase.model import UniKeyphraseModel
from kpray.unikeyphrase.task import UniKeyphraseTask

DECODED_TOKENS, BEAMS = 24, 5
_DECODED = 32  # documents

Row = dict[str, str | float | None]
Batch = Mapping[str, Tensor]


def benchmark(
    config: TaskConfig, optim: OptimConfig, run: RunConfig, records: Sequence[Record], rounds: int
) -> list[Row]:
    """Time training steps and decoding, each beside what they are held against.

    Args:
        config: the model that is trained.
        optim: its `batch` and `seed` decide the batches.
        run: its `micro_tokens` decide the micro-batches, as those of one worker.
        records: documents with gold keyphrases.
        rounds: how often each contestant is timed; the best round counts.
    """
    torch.set_num_threads(1)
    task = UniKeyphraseTask(config)
    rows = [row for row in task.tokenize(records) if not isinstance(row, str)]
    lengths = np.array([row["length"] for row in rows])
    steps = [
        [[rows[index] for index in micro] for micro in micro_batches(lengths, indices, 1, run.micro_tokens)[0]]
        for indices in epoch_order(lengths, optim.batch, optim.seed, 0)
    ]
    steps_of_batches = [[task.collate(micro, range(len(micro))) for micro in step] for step in steps]
    torch.manual_seed(optim.seed)
    model = task.build()
    assert isinstance(model, UniKeyphraseModel)
    bare = BertForMaskedLM(BertConfig(**_bert_fields(model)))  # it uses PyTorch's fused attention too

    def our_losses(batch: Batch) -> Tensor:
        return task.losses(model, batch, 0.5)["loss"]

    def bare_losses(batch: Batch) -> Tensor:
        hidden = bare.bert(batch["input_ids"], _mask(batch["lengths"], batch["input_ids"])).last_hidden_state
        logits = bare.cls(hidden.flatten(0, 1).index_select(0, batch["target_rows"]))
        return cross_entropy(logits, batch["target_ids"])

    training: dict[str, Callable[[], None]] = {
        "training step of transformers' BERT, logits of the target rows only": _trainer(
            bare, bare_losses, steps_of_batches
        ),
        f"training step of kpray, L = {config.model.relation_layers}": _trainer(model, our_losses, steps_of_batches),
    }
    seconds, _ = time_contestants(training, rounds)
    floor = next(iter(seconds.values()))
    table: list[Row] = [
        {"contestant": name, "documents/s": len(rows) / time_, "of the floor": floor / time_}
        for name, time_ in seconds.items()
    ]
    real = sum(int(batch["lengths"].sum()) for step in steps_of_batches for batch in step)
    padded = sum(batch["input_ids"].numel() for step in steps_of_batches for batch in step)
    table.append({"contestant": "padding share of these batches, percent", "documents/s": 100 * (1 - real / padded)})
    return [*table, *_decoding(model, bare, task.encoder, rows, rounds)]


def _mask(lengths: Tensor, input_ids: Tensor) -> Tensor:
    """The attention mask of transformers, int64 [B, T]: 0 for padding."""
    return (torch.arange(input_ids.shape[1]) < lengths[:, None]).long()


def _bert_fields(model: UniKeyphraseModel) -> dict[str, Any]:
    known = BertConfig().to_dict()
    return {name: value for name, value in model.config.to_dict().items() if name in known and name != "model_type"}


def _trainer(
    model: torch.nn.Module, losses: Callable[[Batch], Tensor], steps: Sequence[Sequence[Batch]]
) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

    def run() -> None:
        model.train()
        for step in steps:
            documents = sum(len(batch["lengths"]) for batch in step)
            for batch in step:
                (losses(batch) / documents).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return run


@torch.inference_mode()
def _decoding(
    model: UniKeyphraseModel, bare: BertForMaskedLM, encoder: Encoder, rows: Sequence[Mapping[str, Any]], rounds: int
) -> list[Row]:
    """Beam search of exactly `DECODED_TOKENS` tokens, beside the same rows in one pass."""
    model.train(False)
    bare.train(False)
    sources = [row["source"] for row in rows[:_DECODED]]
    batches = list(source_batches(sources, encoder.pad_id, BATCH_TOKENS.cpu, model.device))

    @torch.inference_mode()
    def floor() -> None:
        # Each step of a beam has two rows, the last token and [MASK], and logits of the latter.
        for _, ids, lengths in batches:
            bare.bert(ids, _mask(lengths, ids))
            hidden = bare.bert(torch.full((len(ids) * BEAMS, 2 * DECODED_TOKENS), encoder.mask_id)).last_hidden_state
            for step in range(DECODED_TOKENS):
                bare.cls(hidden[:, 2 * step + 1])

    @torch.inference_mode()
    def decode() -> None:
        for _, ids, lengths in batches:
            steps = CachedSteps(model, model.encode_source(ids, lengths)[1], encoder.mask_id)
            beam_search(steps, beams=BEAMS, length_penalty=0.0, target_tokens=DECODED_TOKENS, end_id=-1)

    title = f"{DECODED_TOKENS} target tokens, {BEAMS} beams"
    contestants = {
        f"transformers' BERT, rows of decoding in one pass, {title}": floor,
        f"decoding of kpray, {title}": decode,
    }
    seconds, _ = time_contestants(contestants, rounds)
    shortest = next(iter(seconds.values()))
    return [
        {"contestant": name, "documents/s": len(sources) / time_, "of the floor": shortest / time_}
        for name, time_ in seconds.items()
    ]
