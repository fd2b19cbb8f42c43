"""Vectors and storage for the tests of the index."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kpray.ramkg.config import IndexConfig

FLOAT32 = IndexConfig(storage="float32")
FLOAT16 = IndexConfig(storage="float16")
SHARD = 100  # maximum number of passages in one file


def random_vectors(count: int, dimension: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)


def batches(vectors: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(vectors), size):
        yield vectors[start : start + size]
