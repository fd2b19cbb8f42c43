"""Retrieval and generation for any number of documents on Ray Data. The rounds of RGIT consist of these steps.

Each function is a step (`kpray.cluster.step_cache`). Its work is divided into parts, and each part is a Parquet file
that appears when it is complete. Documents are rows of a `PassageStore`. Models and indexes are passed by path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kpray.batch.actors import ChunkActor
from kpray.batch.chunks import process_parts
from kpray.batch.config import BatchConfig
from kpray.batch.extract import placement
from kpray.cluster.step_cache import Step, StepCache
from kpray.corpus.store import PassageStore
from kpray.ramkg.config import BitextConfig, GenerateConfig, IndexConfig, RetrieverConfig
from kpray.rgit.retrieval_workers import (
    GENERATED,
    Embed,
    EmbedBitext,
    Generate,
    RetrievalRun,
    Search,
    Side,
    Tokenize,
)

ROWS = 1000  # documents per part of tokens, vectors and neighbours
_POOL = 20  # number of parts whose documents are sorted by length together


def tokenize(steps: StepCache, store: PassageStore, config: RetrieverConfig, tokenizer: str, side: Side) -> Step:
    """Tokenize every document of a store for a retriever.

    Args:
        steps: cache of the steps.
        store: the documents.
        config: configuration of the retriever. `config.backbone` has the tokenizer.
        tokenizer: checksum of the tokenizer.
        side: `query`: text without keyphrases; `passage`: the text that `config.target` names.

    Returns:
        A step with one list of token ids (int32) per document.
    """
    about = config.model_dump(mode="json", include={"marks", "passage_tokens", "target"})
    inputs = {"store": store.sha256, "tokenizer": tokenizer, "side": side, "config": about}

    def work(folder: Path) -> dict[str, Any]:
        run = RetrievalRun(folder, store.folder, config.backbone, config, side)
        _process(run, _row_ranges(len(store)), Tokenize, BatchConfig(), num_cpus=1, num_gpus=0)
        return {"documents": len(store)}

    return steps.do("tokenize", inputs, work)


def embed_passages(steps: StepCache, tokens: Step, retriever: tuple[Path, str], batch: BatchConfig) -> Step:
    """Embed tokenized passages.

    Args:
        steps: cache of the steps.
        tokens: from `tokenize`.
        retriever: folder of the trained retriever, and its checksum.
        batch: how the work is distributed over the cluster.

    Returns:
        A step with vectors, float16 [documents, D].
    """

    def work(folder: Path) -> dict[str, Any]:
        run = RetrievalRun(folder, tokens.folder, str(retriever[0]))
        _process(run, _parts(tokens.folder), Embed, batch)
        return dict(tokens.outcome)

    return steps.do("embed", {"tokens": tokens.key, "retriever": retriever[1]}, work)


def index_passages(steps: StepCache, vectors: Step, config: IndexConfig, sha256: str) -> Step:
    """Build the index of embedded passages. The outcome has the recall of an approximate index.

    Args:
        steps: cache of the steps.
        vectors: from `embed_passages`.
        config: configuration of the index.
        sha256: checksum of the retriever.
    """
    from kpray.ramkg.index import build_index

    def work(folder: Path) -> dict[str, Any]:
        info = build_index(_vectors(vectors.folder), folder, config, sha256)
        return {"vectors": info.vectors, "recall": info.recall}

    return steps.do("index", {"vectors": vectors.key, "config": config.model_dump(mode="json")}, work)


def search(
    steps: StepCache, index: Step, tokens: Step, retriever: tuple[Path, str], k: int, batch: BatchConfig
) -> Step:
    """Find the k nearest passages of each tokenized query; see `read_neighbours`.

    Args:
        steps: cache of the steps.
        index: from `index_passages`, with vectors of this retriever.
        tokens: from `tokenize`.
        retriever: folder of the trained retriever, and its checksum.
        k: number of passages per query.
        batch: how the work is distributed over the cluster.
    """

    def work(folder: Path) -> dict[str, Any]:
        run = RetrievalRun(folder, index.folder, str(retriever[0]), (k, retriever[1]))
        _process(run, _parts(tokens.folder), Search, batch)
        return dict(tokens.outcome)

    return steps.do("search", {"index": index.key, "tokens": tokens.key, "k": k}, work)


def read_neighbours(found: Step) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the found passages, int64 [documents, k], -1 if missing, and their scores, float32 [documents, k]."""
    table = pa.concat_tables([pq.read_table(path) for path, _ in _parts(found.folder)])
    rows, scores = (
        table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False) for name in ("rows", "scores")
    )
    return rows.reshape(len(table), -1), scores.reshape(len(table), -1)


def generate(
    steps: StepCache,
    store: PassageStore,
    english: PassageStore,
    found: tuple[np.ndarray, np.ndarray],
    generator: tuple[Path, str],
    config: GenerateConfig,
    batch: BatchConfig,
) -> Step:
    """Generate keyphrases of documents with the help of retrieved English passages; see `read_phrases`.

    Args:
        steps: cache of the steps.
        store: the documents.
        english: the English documents.
        found: rows of documents, int64 [n], and rows of their English passages, int64 [n, m], -1 for missing ones.
        generator: folder of the trained generator, and the checksum of its weights.
        config: settings of the beam search.
        batch: how the work is distributed over the cluster. A part has `chunk_records` documents.
    """
    rows, passages = found
    inputs = {
        "store": store.sha256,
        "english": english.sha256 if passages.shape[1] else None,
        "found": [_digest(rows), _digest(passages)],
        "generator": generator[1],
        "config": config.model_dump(mode="json"),
        "chunk_records": batch.chunk_records,
    }

    def work(folder: Path) -> dict[str, Any]:
        run = RetrievalRun(folder, store.folder, str(generator[0]), config, english=english.folder)
        lengths = [len(store.record(int(row)).document.text) for row in rows]
        parts = [((rows[indices], passages[indices]), len(indices)) for indices in length_parts(lengths, batch)]
        _process(run, parts, Generate, batch)
        return {"documents": len(rows)}

    return steps.do("generate", inputs, work)


def length_parts(lengths: Sequence[int], batch: BatchConfig) -> list[np.ndarray]:
    """Divide documents into parts of similar length, so that batches are full.

    Documents are sorted within pools of `_POOL` parts, not all at once. Each pool then has documents of all lengths, so
    that the remaining time can be estimated.

    Args:
        lengths: length of each document, in any unit.
        batch: `chunk_records` is the number of documents of a part.

    Returns:
        Indices of the documents of each part, int64 [documents in the part].
    """
    parts = []
    for start in range(0, len(lengths), _POOL * batch.chunk_records):
        pool = np.array(lengths[start : start + _POOL * batch.chunk_records])
        indices = start + np.argsort(pool, kind="stable")
        parts += np.split(indices, range(batch.chunk_records, len(indices), batch.chunk_records))
    return parts


def read_phrases(generated: Step) -> dict[int, list[tuple[str, float]]]:
    """Row of a document -> its generated phrases with their scores, best first."""
    tables = [pq.read_table(path) for path, _ in _parts(generated.folder)]
    found: dict[int, list[tuple[str, float]]] = {}
    for table in tables:
        for row, phrases, scores in zip(*(table[name].to_pylist() for name in GENERATED), strict=True):
            found[row] = list(zip(phrases, scores, strict=True))
    return found


def embed_bitext(steps: StepCache, store: PassageStore, config: BitextConfig, batch: BatchConfig) -> Step:
    """Embed every document with a sentence-transformers model, float32 [documents, D]; see `read_vectors`."""
    inputs = {"store": store.sha256, "model": config.model}

    def work(folder: Path) -> dict[str, Any]:
        run = RetrievalRun(folder, store.folder, config.model, config)
        _process(run, _row_ranges(len(store)), EmbedBitext, batch)
        return {"documents": len(store)}

    return steps.do("bitext", inputs, work)


def read_vectors(vectors: Step) -> np.ndarray:
    """All vectors of a step, float16 or float32 [documents, D]."""
    return np.concatenate(list(_vectors(vectors.folder)))


def _process(
    run: RetrievalRun,
    parts: Sequence[tuple[Any, int]],
    actor: type[ChunkActor[RetrievalRun]],
    batch: BatchConfig,
    **resources: float,
) -> None:
    with _keeping_threads():
        process_parts(run, parts, actor, {**placement(batch, chunks=len(parts)), **resources})


@contextmanager
def _keeping_threads() -> Iterator[None]:
    """Keep the numbers of threads of this process. An actor sets them to 1, and may run in this process."""
    import faiss
    import torch

    of_faiss, of_torch = faiss.omp_get_max_threads(), torch.get_num_threads()
    try:
        yield
    finally:
        faiss.omp_set_num_threads(of_faiss)
        torch.set_num_threads(of_torch)


def _row_ranges(rows: int) -> list[tuple[tuple[int, int], int]]:
    starts = range(0, rows, ROWS)
    return [((start, min(start + ROWS, rows)), min(ROWS, rows - start)) for start in starts]


def _parts(folder: Path) -> list[tuple[str, int]]:
    """Path and number of rows of each part of a step, in order."""
    paths = sorted(folder.glob("part-*.parquet"))
    return [(str(path), pq.read_metadata(path).num_rows) for path in paths]


def _vectors(folder: Path) -> Iterator[np.ndarray]:
    for path, _ in _parts(folder):
        yield _read_vectors(Path(path))


def _read_vectors(path: Path) -> np.ndarray:
    column = pq.read_table(path)["vectors"].combine_chunks()
    values: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), -1)


def _digest(values: np.ndarray) -> str:
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(values).tobytes() + repr(values.shape).encode()).hexdigest()[:16]
