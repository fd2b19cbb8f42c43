"""Mining of seed pairs: documents that are translations of each other (Artetxe & Schwenk, ACL 2019).

Shape legend: Q queries, P passages, D size of a vector, k neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from kpray.errors import UserError
from kpray.pretrained import choose_device, load_pretrained
from kpray.ramkg.config import BitextConfig
from kpray.ramkg.index import exact_index, nearest

_BLOCK = 8192  #: vectors that are normalized or searched for at once


def margin_pairs(
    queries_QD: np.ndarray, passages_PD: np.ndarray, neighbors: int, margin: float
) -> list[tuple[int, int, float]]:
    """Pair queries with passages by the ratio margin (Artetxe & Schwenk, functions "ratio" and "max. score").

    The margin of a pair is its cosine divided by the mean of two means: the mean cosine of the query and its k nearest
    passages, and the mean cosine of the passage and its k nearest queries. Each query is paired with the passage of the
    highest margin among its k nearest ones, and each passage likewise with a query. These candidates are accepted in
    the order of descending margin if their query and passage are not yet in a pair.

    Args:
        queries_QD: float16 or float32 [Q, D]; the vectors need not be normalized.
        passages_PD: float16 or float32 [P, D].
        neighbors: k; all vectors if there are fewer.
        margin: minimum margin of a pair.

    Returns:
        (row of the query, row of the passage, margin) of each pair, by descending margin, then by rows. A pair with a
        cosine or a mean that is not positive has no margin and is not returned.
    """
    if not len(queries_QD) or not len(passages_PD):
        return []
    forward = _nearest(queries_QD, passages_PD, min(neighbors, len(passages_PD)))
    backward = _nearest(passages_PD, queries_QD, min(neighbors, len(queries_QD)))
    query_means_Q, passage_means_P = forward[0].mean(axis=1), backward[0].mean(axis=1)
    passages_Q, margins_Q = _best(*forward, query_means_Q, passage_means_P)
    queries_P, margins_P = _best(*backward, passage_means_P, query_means_Q)
    queries = np.concatenate([np.arange(len(queries_QD)), queries_P])
    passages = np.concatenate([passages_Q, np.arange(len(passages_PD))])
    margins = np.concatenate([margins_Q, margins_P])
    enough = margins >= np.float32(margin)
    queries, passages, margins = queries[enough], passages[enough], margins[enough]
    pairs: list[tuple[int, int, float]] = []
    free_Q, free_P = np.ones(len(queries_QD), dtype=bool), np.ones(len(passages_PD), dtype=bool)
    for index in np.lexsort((passages, queries, -margins)):
        query, passage = queries[index], passages[index]
        if free_Q[query] and free_P[passage]:
            free_Q[query] = free_P[passage] = False
            pairs.append((int(query), int(passage), float(margins[index])))
    return pairs


def embed_texts(texts: Sequence[str], config: BitextConfig, device: str = "auto", batch: int = 32) -> np.ndarray:
    """Embed texts with a sentence-transformers model, which is loaded once per process.

    Args:
        texts: the texts; the model cuts texts that are too long.
        config: its `model` is loaded.
        device: see `choose_device`.
        batch: number of texts in a forward pass.

    Returns:
        float32 [texts, D], in the order of the texts.

    Raises:
        UserError: sentence-transformers is not installed, or the model cannot be found or read.
    """
    model = _open_model(config.model, str(choose_device(device)))
    # Without any text, the model would not return the size of a vector.
    vectors: np.ndarray = model.encode(list(texts) or [""], batch_size=batch, show_progress_bar=False)
    return vectors[: len(texts)].astype(np.float32)


@lru_cache(maxsize=1)
def _open_model(name: str, device: str) -> Any:
    return load_pretrained(_SentenceTransformers, name, device=device, model_kwargs={"use_safetensors": True})


class _SentenceTransformers:
    """Loads models of sentence-transformers through `load_pretrained`."""

    @staticmethod
    def from_pretrained(folder: str, *, trust_remote_code: Literal[False], **options: Any) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
        except ModuleNotFoundError as error:
            raise UserError(
                "the package sentence-transformers is not installed", fix="pip install 'kpray[bitext]'"
            ) from error
        return SentenceTransformer(folder, trust_remote_code=trust_remote_code, **options)


def _nearest(queries: np.ndarray, passages: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines float32 [queries, k] and rows int64 [queries, k] of the k nearest passages of each query."""
    index = exact_index(passages.shape[1], "float32")
    for block in _normalized(passages):
        index.add(block)
    found = [nearest(index, block, k) for block in _normalized(queries)]
    return np.concatenate([scores for scores, _ in found]), np.concatenate([rows for _, rows in found])


def _normalized(vectors: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK].astype(np.float32)
        lengths = np.linalg.norm(block, axis=1, keepdims=True)
        yield block / np.where(lengths > 0, lengths, 1)


def _best(
    cosines: np.ndarray, rows: np.ndarray, means: np.ndarray, other_means: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each row, the neighbour with the highest margin, and this margin."""
    denominators = (means[:, None] + other_means[rows]) / 2
    sound = (cosines > 0) & (denominators > 0)
    margins = np.where(sound, cosines / np.where(sound, denominators, 1), -np.inf).astype(np.float32)
    best = np.lexsort((rows, -margins))[:, :1]  # at equal margins, the first row
    return np.take_along_axis(rows, best, axis=1)[:, 0], np.take_along_axis(margins, best, axis=1)[:, 0]
