"""Rows of `benchmarks/run.py gpu` for SAMRank: the model stage, its floor, and a predictor on real texts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertModel

from benchmarks.gpu import Bench, Result, encoder_flops
from kpray.batches import batches_by_length
from kpray.corpus.quickstart import quickstart_records
from kpray.samrank.attention import ATTENTION_NAME, BATCH_TOKENS, head_scores
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.predictor import SAMRank

TOKENS, MOST_TOKENS = 200, 510
JOB_CHUNKS = 5  # of 200 documents, for each core


def extraction_minilm(bench: Bench, seconds: float) -> Iterator[Result]:
    """The model stage with the default heads at the shape of all-MiniLM-L6-v2."""
    shape = (6, 48, 12, 96, 500) if bench.tiny else (6, 384, 12, 1536, 30_522)
    yield from _model_stage(bench, seconds, "MiniLM shape", shape, SAMRankConfig().layer_heads)


def extraction_base(bench: Bench, seconds: float) -> Iterator[Result]:
    """The model stage at BERT-base's shape, with the default's heads in layers of twice their number."""
    shape = (12, 96, 12, 96, 500) if bench.tiny else (12, 768, 12, 3072, 30_522)
    heads = tuple((2 * layer + 1, head) for layer, head in SAMRankConfig().layer_heads)
    yield from _model_stage(bench, seconds, "BERT-base shape", shape, heads)


def _model_stage(
    bench: Bench, seconds: float, name: str, shape: tuple[int, ...], heads: Sequence[tuple[int, int]]
) -> Iterator[Result]:
    layers, hidden, attention_heads, inner, vocabulary = shape
    lengths = bench.lengths(8 if bench.tiny else 8192, TOKENS, MOST_TOKENS)
    sequences = [bench.random.integers(5, vocabulary, length) for length in lengths.tolist()]
    flops = encoder_flops(lengths, layers, hidden, inner, last_layer_keys_only=True)
    mode = (SAMRankConfig().redistribution, SAMRankConfig().weighting)

    def build(attention: str) -> Any:
        config = BertConfig(
            vocab_size=vocabulary,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=attention_heads,
            intermediate_size=inner,
        )
        config._attn_implementation = attention
        with bench.device:
            model: Any = BertModel(config, add_pooling_layer=False)
        return model.to(bench.dtype).eval()

    model = build(ATTENTION_NAME)
    default = BATCH_TOKENS.choose(None, bench.device)
    for batch_tokens in (default, 4 * default):

        def score(batch_tokens: int = batch_tokens) -> None:
            head_scores(model, sequences, heads, muted=-1, batch_tokens=batch_tokens, modes=[mode])

        title = f"SAMRank model stage, {name}, {len(heads)} heads, batches of {batch_tokens:,} tokens"
        took = bench.time(score, seconds / 3)
        yield Result(title, len(sequences), "document", flops, 0, took, f"{lengths.mean():.0f} tokens a document")
    floor = _bare_forward(build("sdpa"), sequences, default)
    yield Result(
        f"floor: bare forward of the same batches, {name}",
        len(sequences),
        "document",
        encoder_flops(lengths, layers, hidden, inner),
        0,
        bench.time(floor, seconds / 3),
        "inputs on the device, nothing copied back",
    )


def _bare_forward(model: Any, sequences: Sequence[np.ndarray], batch_tokens: int) -> Callable[[], None]:
    batches = []
    for batch in batches_by_length([len(sequence) for sequence in sequences], batch_tokens):
        ids = torch.zeros(len(batch), max(len(sequences[index]) for index in batch), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, index in enumerate(batch):
            ids[row, : len(sequences[index])] = torch.from_numpy(sequences[index])
            mask[row, : len(sequences[index])] = 1
        batches.append((ids.to(model.device), None if mask.all() else mask.to(model.device)))

    @torch.inference_mode()
    def run() -> None:
        for ids, mask in batches:
            model(input_ids=ids, attention_mask=mask)

    return run


def extraction_texts(bench: Bench, seconds: float) -> Iterator[Result]:
    """A predictor on real texts: its CPU stage on one core, the rest, and both one after the other."""
    config = SAMRankConfig(device=bench.device.type)
    predictor = SAMRank(config.model_copy(update={"model": bench.model}) if bench.model else config)
    english = [record.document for record in quickstart_records() if record.document.lang == "en"]
    documents = list(islice(cycle(english), 6 if bench.tiny else 300))
    prepared = [predictor.prepare(document) for document in documents]
    tokens = np.mean([predictor.tokens(document) for document in prepared])
    note = f"{tokens:.0f} tokens a document, {predictor.tagger.name} tagger"
    few = documents[: 6 if bench.tiny else 120]
    stages: list[tuple[str, int, Callable[[], object]]] = [
        ("prepare on one core", len(few), lambda: [predictor.prepare(document) for document in few]),
        ("model and ranking", len(prepared), lambda: predictor.predict_prepared(prepared, top=15)),
        ("one thread in all", len(few), lambda: predictor.predict(few, top=15)),
    ]
    for title, units, run in stages:
        yield Result(
            f"SAMRank, real texts: {title}", units, "document", 0, 0, bench.time(run, seconds / len(stages)), note
        )


def extraction_job(bench: Bench, seconds: float) -> Iterator[Result]:
    """`kpray batch` in two stages on this machine: all cores prepare and rank, and the GPU scores. Nothing on a CPU.

    The rate is that between the first and the last part that the job writes, without the start of Ray.
    """
    if bench.device.type != "cuda":
        return
    from kpray.batch.config import BatchConfig
    from kpray.batch.extract import BatchRun, check_manifest, predict_files
    from kpray.cluster.session import ray_session
    from kpray.corpus.limits import Reading
    from kpray.corpus.sources import find_sources

    cores, batch = len(os.sched_getaffinity(0)), BatchConfig()
    english = [record.document for record in quickstart_records() if record.document.lang == "en"]
    lines = [json.dumps({"title": each.title, "abstract": each.body}) for each in english]
    text = "\n".join(islice(cycle(lines), JOB_CHUNKS * batch.chunk_records))
    with TemporaryDirectory() as folder:
        for core in range(cores):  # one task reads one file
            Path(folder, f"{core}.jsonl").write_text(text, encoding="utf-8")
        config = {"model": bench.model} if bench.model else {}
        run = BatchRun.pinned(Path(folder, "output"), "samrank", config, 15, Reading(lang="en"), batch)
        sources = check_manifest(run, find_sources([f"{folder}/{core}.jsonl" for core in range(cores)]))
        with ray_session(None):
            predict_files(run, sources, batch)
        times = [path.stat().st_mtime for path in Path(folder, "output").glob("part-*.parquet")]
    documents, took = (len(times) - 1) * batch.chunk_records, max(times) - min(times)
    yield Result("SAMRank, kpray batch in two stages", documents, "document", 0, 0, took, f"{cores} cores")
