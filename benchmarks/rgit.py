"""What Ray Data costs the steps of RGIT and what they gain: what `python benchmarks/run.py rgit` measures."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from kpray.batch.config import BatchConfig
from kpray.batches import batches_by_length
from kpray.cluster.session import ray_session
from kpray.cluster.step_cache import StepCache
from kpray.corpus.store import PassageStore, build_store
from kpray.document import Record
from kpray.pretrained import load_tokenizer
from kpray.ramkg.config import RetrieverConfig
from kpray.ramkg.encoder import BATCH_TOKENS, TextEncoder, load_encoder, open_retriever, pad, save_retriever
from kpray.rgit import retrieval as mine
from kpray.rgit.config import RGITSettings
from kpray.rgit.corpora import write_documents
from kpray.rgit.job import run_rgit

Row = dict[str, str | float | None]


def benchmark(retriever: RetrieverConfig, job: RGITSettings, records: Sequence[Record]) -> list[Row]:
    """Time embedding and two rounds.

    Args:
        retriever: of the encoder that embeds the documents.
        job: of the rounds; its output folder is another one.
        records: English documents; embedding is timed from the first thousand's end on, so that there should be more.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_documents(records, folder / "documents.jsonl")
        with ray_session(None):
            rows = _embedding(retriever, build_store([str(folder / "documents.jsonl")], folder / "store"), folder)
            return [*rows, *_rounds(job, folder)]


def _embedding(config: RetrieverConfig, store: PassageStore, folder: Path) -> list[Row]:
    texts = TextEncoder(load_tokenizer(config.backbone), config)
    encoder = load_encoder(texts)
    save_retriever(encoder, texts, folder / "retriever")
    retriever = (folder / "retriever", open_retriever(str(folder / "retriever")).sha256)
    passages = [store.record(row) for row in range(len(store))]
    started = time.perf_counter()
    ids = texts.encode_passages(passages)
    tokenizing = time.perf_counter() - started

    started = time.perf_counter()
    with torch.inference_mode():
        for start in range(0, len(ids), mine.ROWS):
            part = ids[start : start + mine.ROWS]
            for batch in batches_by_length([len(row) for row in part], BATCH_TOKENS.cpu):
                encoder(*pad([part[index] for index in batch], texts.pad_id))
    embedding = time.perf_counter() - started
    floor = len(ids) / embedding
    rows: list[Row] = [
        {
            "what": "embedding, the bare model on the same batches",
            "documents/s": floor,
            "of the floor": 1.0,
            "seconds": embedding,
        },
        {"what": "tokenizing", "documents/s": len(ids) / tokenizing, "seconds": tokenizing},
    ]
    tokens = mine.tokenize(StepCache(folder / "tokens"), store, config, "benchmark", "passage")
    for actors in (1, 2):
        steps = StepCache(folder / f"actors-{actors}")
        step = mine.embed_passages(steps, tokens, retriever, BatchConfig(actors=actors))
        rate = _steady_rate(step.folder)
        name = f"embedding through Ray Data, {actors} actor{'s' * (actors > 1)} of one thread each"
        rows.append({"what": name, "documents/s": rate, "of the floor": rate / floor})
    return rows


def _steady_rate(folder: Path) -> float:
    """Documents a second by the clock, from the end of the first part to that of the last: actors have started then."""
    ends = sorted(path.stat().st_mtime for path in folder.glob("part-*.parquet"))
    return mine.ROWS * sum(1 for _ in pairwise(ends)) / (ends[-1] - ends[0])


def _rounds(job: RGITSettings, folder: Path) -> list[Row]:
    report = run_rgit(job.model_copy(update={"output": folder / "rgit", "systems": ("rgit",)}))
    names = [line["step"] for line in report["steps"]]
    starts = [place for place, name in enumerate(names) if name == "retriever"][:3]
    seconds = np.array([line["seconds"] for line in report["steps"]])
    first, second = float(seconds[: starts[1]].sum()), float(seconds[starts[1] : starts[2]].sum())
    return [
        {"what": "first round, with the base generator", "seconds": first, "of the floor": 1.0},
        {"what": "second round", "seconds": second, "of the floor": second / first},
    ]
