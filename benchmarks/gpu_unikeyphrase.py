"""Rows of `benchmarks/run.py gpu` for UniKeyphrase: training steps beside their floor, a profile, and decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForMaskedLM

from benchmarks.gpu import Bench, Result, encoder_flops
from kpray.batches import micro_batches
from kpray.unikeyphrase.config import DecodeConfig, LossConfig
from kpray.unikeyphrase.decode import read_documents
from kpray.unikeyphrase.inputs import Encoder, Source, collate
from kpray.unikeyphrase.loss import uni_losses
from kpray.unikeyphrase.model import UniKeyphraseModel, UniKeyphraseModelConfig

PAD, MASK, NO_END = 0, 4, -1
DECODED_TOKENS, BEAMS = 24, 5
_PROFILED = 5  # kernels that are named
_NO_WORK = ("ProfilerStep", "Optimizer.")  # ranges of the profile that hold the kernels of others

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Shape:
    """Sizes of a model and of its training data."""

    name: str
    layers: int
    hidden: int
    inner: int
    vocabulary: int
    documents: int = 256
    source: int = 320
    target: int = 64
    micro_tokens: int = 32_768


BASE = Shape("base shape", 12, 768, 3072, 28_996)
MINILM = Shape("MiniLM shape", 6, 384, 1536, 30_522)
TINY = {"hidden": 48, "inner": 96, "layers": 2, "vocabulary": 300, "documents": 8, "source": 40, "target": 12}


def _shape(bench: Bench, shape: Shape) -> Shape:
    return Shape(shape.name, **TINY, micro_tokens=256) if bench.tiny else shape


def _build(bench: Bench, shape: Shape) -> Any:
    config = UniKeyphraseModelConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=12,
        intermediate_size=shape.inner,
        source_tokens=shape.source,
        target_tokens=shape.target,
    )
    with bench.device:
        return UniKeyphraseModel(config)


def _rows(bench: Bench, shape: Shape, *, full: bool) -> list[dict[str, np.ndarray]]:
    """Rows of the full lengths, or of lengths as abstracts and their absent keyphrases have them."""
    random, documents = bench.random, shape.documents
    sources = np.full(documents, shape.source) if full else bench.lengths(documents, 200, shape.source)
    targets = np.full(documents, shape.target) if full else random.integers(1, shape.target // 2, documents)
    rows = []
    for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
        labels = np.where(random.random(source) < 0.1, random.integers(1, 4, source), 0).astype(np.int8)
        labels[[0, -1]] = -100
        ids = {name: random.integers(5, shape.vocabulary, size) for name, size in (("s", source), ("t", target))}
        rows.append({"source": ids["s"].astype(np.int32), "labels": labels, "target": ids["t"].astype(np.int32)})
    return rows


def _step_flops(rows: Sequence[dict[str, np.ndarray]], shape: Shape, *, relations: int, target_rows: int) -> float:
    """Operations of a training step, three times those of its forward pass."""
    lengths = np.array([len(row["source"]) + len(row["target"]) for row in rows])
    tokens, pairs = float(lengths.sum()), float((lengths.astype(np.float64) ** 2).sum())
    relation = 2 * tokens * 2 * shape.hidden**2 + 2 * 4 * pairs * shape.hidden
    head = 2.0 * target_rows * (shape.hidden * shape.vocabulary + shape.hidden**2)
    return 3 * (encoder_flops(lengths, shape.layers, shape.hidden, shape.inner) + relations * relation + head)


def training_base(bench: Bench, seconds: float) -> Iterator[Result]:
    """Steps at base shape: both half precisions, realistic lengths, the floor, and the profile."""
    yield from _training(bench, seconds * 0.9, _shape(bench, BASE), realistic=True)
    yield from _profile(bench, _shape(bench, BASE))


def training_minilm(bench: Bench, seconds: float) -> Iterator[Result]:
    """Steps at the shape of all-MiniLM-L6-v2."""
    yield from _training(bench, seconds, _shape(bench, MINILM), realistic=False)


def _training(bench: Bench, seconds: float, shape: Shape, *, realistic: bool) -> Iterator[Result]:
    rows = _rows(bench, shape, full=True)
    targets = sum(len(row["target"]) for row in rows)
    note = f"{shape.documents} documents of {shape.source} + {shape.target} tokens, loss of Eq. 15"
    wanted = [("bf16", torch.bfloat16, rows, note), ("fp16 with scaler", torch.float16, rows, note)]
    if realistic:
        real = _rows(bench, shape, full=False)
        mean = np.mean([len(row["source"]) + len(row["target"]) for row in real])
        wanted.insert(1, ("bf16, realistic lengths", torch.bfloat16, real, f"{mean:.0f} tokens a document"))
    model = _build(bench, shape)
    ignored = torch.tensor([0, 1, 2, 3, MASK], device=bench.device)

    def losses(batch: Batch) -> Tensor:
        output = model(batch["input_ids"], batch["source_lengths"], batch["lengths"], batch["target_rows"])
        return uni_losses(output, batch, LossConfig(), 0.5, ignored)["loss"]

    share = seconds / (len(wanted) + 1)
    for name, dtype, chosen, about in wanted:
        flops = _step_flops(chosen, shape, relations=2, target_rows=sum(len(row["target"]) for row in chosen))
        step = _stepper(bench, model, losses, chosen, shape.micro_tokens, dtype)
        title = f"UniKeyphrase training step, {shape.name}, {name}"
        yield Result(title, len(chosen), "document", flops, 0, bench.time(step, share), about)
    took = bench.time(lambda: list(_collated(rows, shape.micro_tokens)), share / 8)
    yield Result(f"UniKeyphrase collation on one core, {shape.name}", len(rows), "document", 0, 0, took)
    yield _floor(bench, share, shape, rows, targets)


def _floor(
    bench: Bench, seconds: float, shape: Shape, rows: Sequence[dict[str, np.ndarray]], target_rows: int
) -> Result:
    """The same step of transformers' BERT with LM head: logits and cross-entropy of the target rows only."""
    config = BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=12,
        intermediate_size=shape.inner,
    )
    with bench.device:
        bare = BertForMaskedLM(config)

    def losses(batch: Batch) -> Tensor:
        positions = torch.arange(batch["input_ids"].shape[1], device=bench.device)
        mask = (positions < batch["lengths"][:, None]).long()
        hidden = bare.bert(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        logits = bare.cls(hidden.flatten(0, 1).index_select(0, batch["target_rows"]))
        return cross_entropy(logits.float(), batch["target_ids"], reduction="sum")

    step = _stepper(bench, bare, losses, rows, shape.micro_tokens, torch.bfloat16)
    flops = _step_flops(rows, shape, relations=0, target_rows=target_rows)
    title = f"floor: BERT with LM head over the target rows, {shape.name}, bf16"
    return Result(title, len(rows), "document", flops, 0, bench.time(step, seconds), "transformers' attention, no mask")


def _collated(rows: Sequence[dict[str, np.ndarray]], micro_tokens: int) -> Iterator[Batch]:
    lengths = np.array([len(row["source"]) + len(row["target"]) for row in rows])
    for micro in micro_batches(lengths, np.arange(len(rows)), 1, micro_tokens)[0]:
        yield collate([rows[index] for index in micro], micro.tolist(), mask_id=MASK, pad_id=PAD, mask_probability=0.7)


def _stepper(
    bench: Bench,
    model: Any,
    losses: Callable[[Batch], Tensor],
    rows: Sequence[dict[str, np.ndarray]],
    micro_tokens: int,
    dtype: torch.dtype,
) -> Callable[[], None]:
    """One optimizer step: collation, transfer, forward, backward, clipping, AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    scaler = torch.amp.GradScaler(bench.device.type, init_scale=2.0**10, enabled=dtype == torch.float16)

    def run() -> None:
        model.train()
        for batch in _collated(rows, micro_tokens):
            moved = {name: tensor.to(bench.device) for name, tensor in batch.items()}
            with torch.autocast(bench.device.type, dtype):
                loss = losses(moved)
            scaler.scale(loss / len(rows)).backward()  # type: ignore[no-untyped-call]
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    return run


def _profile(bench: Bench, shape: Shape) -> Iterator[Result]:
    """The kernels, and the operators, that take the most device time of a training step."""
    from torch.profiler import ProfilerActivity, profile

    rows = _rows(bench, shape, full=True)
    model = _build(bench, shape)
    ignored = torch.tensor([0, 1, 2, 3, MASK], device=bench.device)

    def losses(batch: Batch) -> Tensor:
        output = model(batch["input_ids"], batch["source_lengths"], batch["lengths"], batch["target_rows"])
        return uni_losses(output, batch, LossConfig(), 0.5, ignored)["loss"]

    step = _stepper(bench, model, losses, rows, shape.micro_tokens, torch.bfloat16)
    step()
    bench.synchronize()
    on_gpu = bench.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as found:
        step()
        bench.synchronize()
    events = [event for event in found.key_averages() if not event.key.startswith(_NO_WORK)]
    for kind, chosen in (
        ("kernel", [event for event in events if event.device_type.name != "CPU"]),
        ("operator", [event for event in events if event.device_type.name == "CPU"]),
    ):
        micros = {event: event.self_device_time_total if on_gpu else event.self_cpu_time_total for event in chosen}
        total = sum(micros.values()) or 1.0
        for event in sorted(chosen, key=lambda event: -micros[event])[:_PROFILED]:
            note = f"{100 * micros[event] / total:.1f}% of {total / 1000:.1f} ms, {event.count} calls: {event.key[:56]}"
            title = f"profile of the bf16 step, {shape.name}: {kind}"
            yield Result(title, event.count, "call", 0, 0, max(micros[event] / 1e6, 1e-9), note)


def decoding(bench: Bench, seconds: float) -> Iterator[Result]:
    """Labels and beam search of exactly `DECODED_TOKENS` tokens, in float16."""
    shape = _shape(bench, MINILM)
    model = _build(bench, shape).to(bench.dtype).eval()
    model.config.target_tokens = DECODED_TOKENS
    lengths = bench.lengths(4 if bench.tiny else 2048, 200, shape.source)
    sources = [
        Source(
            ids=bench.random.integers(5, shape.vocabulary, length).astype(np.int32),
            spans=np.zeros((length, 2), dtype=np.int32),
            starts_word=np.ones(length, dtype=bool),
        )
        for length in lengths.tolist()
    ]
    special = cast(Encoder, _SpecialIds())
    decode = DecodeConfig(beams=BEAMS)

    @torch.inference_mode()
    def run() -> None:
        read_documents(model, special, sources, decode)

    cached = 2 * 2 * shape.layers * shape.hidden + 2 * 2 * 4 * shape.hidden  # bytes of a token: keys, values, P', A'
    logits = 2 * 2 * BEAMS * shape.vocabulary  # written and read once in float16, of a step
    moved = DECODED_TOKENS * (float(lengths.sum()) * cached + len(lengths) * logits)
    flops = encoder_flops(lengths, shape.layers, shape.hidden, shape.inner)
    per_row = shape.layers * 2 * (4 * shape.hidden**2 + 2 * shape.hidden * shape.inner) + 2 * 2 * 2 * shape.hidden**2
    flops += len(lengths) * BEAMS * DECODED_TOKENS * (2.0 * per_row + 2 * shape.hidden * shape.vocabulary)
    title = f"UniKeyphrase decoding, {shape.name}, {BEAMS} beams, float16"
    note = f"{DECODED_TOKENS} target tokens, {lengths.mean():.0f} source tokens"
    yield Result(title, len(sources), "document", flops, moved, bench.time(run, seconds), note)


class _SpecialIds:
    """The ids that `read_documents` asks a tokenizer for; no token ends a sequence."""

    pad_id, mask_id, sep_id = PAD, MASK, NO_END
