"""The index of English passages: search by inner product in memory-mapped files, which the processes of a node share.

Shape legend: N passages, Q queries, D size of a vector, k neighbours.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np

from kpray.checksums import check_file, checksum
from kpray.corpus.writing import write_text
from kpray.errors import UserError
from kpray.ramkg.config import IndexConfig
from kpray.ramkg.index_info import INFO, IndexInfo, ShardFile, read_index_info
from kpray.storage import sync_file

try:
    import faiss
except ModuleNotFoundError as error:
    raise UserError(
        "the package faiss is not installed", fix="pip install 'kpray[cpu]', or 'kpray[gpu]' on a machine with a GPU"
    ) from error

RECALL_QUERIES, RECALL_DEPTH = 1000, 10  #: number of queries and of neighbours that measure the recall of `ivfpq`
SHARD_PASSAGES = 1_000_000  #: maximum number of passages in one file
_SUFFIX = ".faiss"
_AGAIN = "build the index again"
_FLOAT16_MAX = 65504.0
_POINTS_PER_CELL = 39  #: minimum number of k-means points for each cell; faiss warns if there are fewer
_TRAINING_POINTS = 64  #: maximum number of k-means points for each cell
_PQ_CELLS = 256  #: values of one byte of a code
_BLOCK = 65536  #: vectors that are converted at once
_GPU_DEPTH = 2048  #: maximum number of neighbours in a search on a GPU
_FOUND = 1 << 22  #: maximum number of neighbours in memory while ties are resolved


@dataclass(frozen=True, slots=True)
class _Shard:
    """An open file of the index, with the search method of a faiss index."""

    start: int  # row of its first vector
    index: Any  # faiss.Index on the CPU
    gpu: Any = None  # its clone on a GPU, or None

    @property
    def ntotal(self) -> int:
        return int(self.index.ntotal)

    def search(self, queries: np.ndarray, depth: int) -> Any:
        index = self.gpu if self.gpu is not None and depth <= _GPU_DEPTH else self.index
        return index.search(queries, depth)


def build_index(
    vectors: Iterable[np.ndarray],
    folder: Path,
    config: IndexConfig,
    encoder: str,
    shard_passages: int = SHARD_PASSAGES,
) -> IndexInfo:
    """Build an index with one shard in memory at a time.

    When the new index is complete, it replaces an old one in the folder, and the old files are removed. A
    `PassageIndex` that was opened before keeps using the old index.

    Args:
        vectors: float16 or float32 [n, D] each, in the order of the rows of a `PassageStore`.
        folder: output folder.
        config: configuration of the index.
        encoder: checksum of the encoder that made the vectors.
        shard_passages: maximum number of passages in one file.

    Raises:
        UserError: there is no vector, a vector is not finite or exceeds float16, or `config` does not suit the vectors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = uuid4().hex[:8]
    try:
        shards = list(_write_exact(vectors, folder, f"exact-{name}", config, shard_passages))
        if not shards:
            raise UserError("there are no passages to index", where=str(folder), fix="give files with passages")
        opened = _open_shards(folder, shards)
        recall = None
        if config.kind == "ivfpq":
            shards = list(_write_approximate(opened, folder, f"ivfpq-{name}", config))
            recall = _recall(_open_shards(folder, shards), opened)
        info = IndexInfo(
            encoder=encoder,
            dimension=opened[0].index.d,
            vectors=sum(shard.vectors for shard in shards),
            config=config,
            shards=tuple(shards),
            recall=recall,
        )
        write_text(info.model_dump_json(indent=2) + "\n", folder / INFO)
    finally:
        named = {shard.file for shard in read_index_info(folder).shards} if (folder / INFO).exists() else set()
        for file in folder.glob(f"*{_SUFFIX}"):  # files of the old index, or of a failed build
            if file.name not in named:
                file.unlink()
    return info


class PassageIndex:
    """An index that `build_index` wrote, memory-mapped, or on the GPUs if faiss supports them.

    Pickling passes the folder, not the vectors.

    Args:
        folder: folder of the index.
        encoder: checksum of the encoder of the queries; None: not checked.

    Raises:
        UserError: there is no index, another encoder made it, or one of its files is missing or damaged.
    """

    def __init__(self, folder: Path, encoder: str | None) -> None:
        self.folder = Path(os.path.abspath(folder))
        while True:
            self.info = read_index_info(self.folder)
            if encoder is not None and self.info.encoder != encoder:
                raise UserError(
                    "the index was built with another encoder",
                    where=str(folder),
                    fix="build it again with this encoder",
                )
            try:
                shards = _open_shards(self.folder, self.info.shards)
                if _vectors(shards) != self.info.vectors or {shard.index.d for shard in shards} != {
                    self.info.dimension
                }:
                    raise UserError("index.json does not fit its files", where=str(self.folder), fix=_AGAIN)
                self._shards = _to_gpus(shards, self.info.config)
                break
            except UserError:
                if read_index_info(self.folder) == self.info:
                    raise
                # The index was replaced after its description was read: open the new one.

    def __reduce__(self) -> tuple[type[PassageIndex], tuple[Path, str]]:
        return PassageIndex, (self.folder, self.info.encoder)

    def __len__(self) -> int:
        return self.info.vectors

    def search(self, queries_QD: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the passages with the highest inner products; at equal scores, the first rows.

        `faiss.omp_set_num_threads` sets the number of threads.

        Args:
            queries_QD: float32 [Q, D].
            k: number of passages, at least 1.

        Returns:
            Scores, float32 [Q, k], in descending order, and rows of the `PassageStore`, int64 [Q, k]. They are filled
            up with -inf and -1 if there are fewer than k passages or `ivfpq` found fewer.

        Raises:
            ValueError: the queries have another size, or k is less than 1.
        """
        if queries_QD.ndim != 2 or queries_QD.shape[1] != self.info.dimension or k < 1:
            expected = f"queries [Q, {self.info.dimension}] and k >= 1"
            raise ValueError(f"expected {expected}, found {list(queries_QD.shape)} and k = {k}")
        return _search(self._shards, np.ascontiguousarray(queries_QD, dtype=np.float32), k)


def exact_index(dimension: int, storage: Literal["float16", "float32"]) -> Any:
    """Empty `faiss.Index` for exact inner products that stores vectors in the given dtype."""
    if storage == "float32":
        return faiss.IndexFlatIP(dimension)
    return faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def nearest(index: Any, queries_QD: np.ndarray, k: int, depth: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Find the vectors with the highest inner products in one faiss index; at equal scores, the first rows.

    In faiss the order of equal scores is undefined, and so is which of them are cut off. Therefore the search requests
    k + 1 vectors, and twice as many again while the last score equals the k-th.

    Args:
        index: `faiss.Index` for inner products, not empty.
        queries_QD: float32 [Q, D].
        k: number of vectors, at least 1.
        depth: number of vectors in the first request, if it is more than k + 1.

    Returns:
        Scores, float32 [Q, k], in descending order, and rows, int64 [Q, k]; filled up with -inf and -1.
    """
    depth = min(max(depth, k + 1), index.ntotal)
    scores, rows = index.search(queries_QD, depth)
    scores[rows < 0] = -np.inf
    scores, rows = _sorted(scores, rows)
    if k < depth < index.ntotal:
        tied = np.flatnonzero((rows[:, -1] >= 0) & (scores[:, k - 1] == scores[:, -1]))
        for some in np.array_split(tied, max(1, -(-len(tied) * 2 * depth // _FOUND))):
            if len(some):
                scores[some, :k], rows[some, :k] = nearest(index, queries_QD[some], k, 2 * depth)
    missing = ((0, 0), (0, max(0, k - depth)))
    scores = np.pad(scores[:, :k], missing, constant_values=-np.inf)
    return scores, np.pad(rows[:, :k], missing, constant_values=-1)


def gpu_options(config: IndexConfig) -> dict[str, bool]:
    """Fields of `faiss.GpuClonerOptions` for copying the shards of an index to a GPU."""
    return {
        "useFloat16": config.kind == "ivfpq" or config.storage == "float16",  # for ivfpq: lookup tables in float16
        "use_cuvs": False,  # cuVS has no index of float16 vectors
    }


def _search(shards: Sequence[_Shard], queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    all_scores, all_rows = [], []
    for shard in shards:
        scores, rows = nearest(shard, queries, k)
        all_scores.append(scores)
        all_rows.append(np.where(rows < 0, -1, rows + shard.start))
    scores, rows = _sorted(np.concatenate(all_scores, axis=1), np.concatenate(all_rows, axis=1))
    return np.ascontiguousarray(scores[:, :k]), np.ascontiguousarray(rows[:, :k])


def _sorted(scores: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((rows, -scores))
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _open_shards(folder: Path, files: Sequence[ShardFile]) -> list[_Shard]:
    shards: list[_Shard] = []
    for file in files:
        path = folder / file.file
        check_file(path, file.bytes, file.checksum, _AGAIN)  # faiss aborts the process at some damaged files
        try:
            # IO_FLAG_MMAP would copy everything except inverted files into memory.
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise UserError("the file is not an index of faiss", where=str(path), fix=_AGAIN) from error
        if index.ntotal != file.vectors:
            raise UserError("the file does not fit index.json", where=str(path), fix=_AGAIN)
        start = shards[-1].start + shards[-1].ntotal if shards else 0
        shards.append(_Shard(start, index))
    return shards


def _to_gpus(shards: list[_Shard], config: IndexConfig) -> list[_Shard]:
    """Clone the shards to the GPUs, round-robin."""
    gpus = faiss.get_num_gpus()
    if not gpus:
        return shards
    options = faiss.GpuClonerOptions()
    for name, value in gpu_options(config).items():
        setattr(options, name, value)
    resources = [faiss.StandardGpuResources() for _ in range(gpus)]
    return [
        _Shard(shard.start, shard.index, faiss.index_cpu_to_gpu(resources[gpu], gpu, shard.index, options))
        for shard, gpu in ((shard, number % gpus) for number, shard in enumerate(shards))
    ]


def _write_exact(
    vectors: Iterable[np.ndarray], folder: Path, name: str, config: IndexConfig, shard_passages: int
) -> Iterator[ShardFile]:
    index: Any = None
    rows = shards = 0
    for batch in vectors:
        for start in range(0, len(batch), _BLOCK):
            block = _checked(batch[start : start + _BLOCK], rows, config)
            rows += len(block)
            while len(block):
                index = index if index is not None else exact_index(block.shape[1], config.storage)
                room = shard_passages - index.ntotal
                index.add(block[:room])
                block = block[room:]
                if index.ntotal == shard_passages:
                    yield _write(index, folder / f"{name}-{shards:05d}{_SUFFIX}")
                    index, shards = None, shards + 1
    if index is not None:
        yield _write(index, folder / f"{name}-{shards:05d}{_SUFFIX}")


def _checked(block: np.ndarray, start: int, config: IndexConfig) -> np.ndarray:
    block = np.ascontiguousarray(block, dtype=np.float32)
    exact16 = config.storage == "float16"
    bad = ~(np.abs(block) <= (_FLOAT16_MAX if exact16 else np.finfo(np.float32).max)).all(axis=1)
    if bad.any():
        row = start + int(bad.argmax())
        if exact16 and np.isfinite(block[bad.argmax()]).all():
            fix = "choose float32"
            raise UserError(f"the vector of passage {row} exceeds float16", where="index.storage", fix=fix)
        raise UserError(f"the vector of passage {row} has NaN or infinite values", fix="check the encoder")
    return block


def _write(index: Any, path: Path) -> ShardFile:
    faiss.write_index(index, str(path))
    sync_file(path)  # index.json must not name a file that a crash may lose
    return ShardFile(file=path.name, vectors=index.ntotal, bytes=path.stat().st_size, checksum=checksum(path))


def _write_approximate(exact: Sequence[_Shard], folder: Path, name: str, config: IndexConfig) -> Iterator[ShardFile]:
    """Encode exact shards with an inverted file and a product quantizer, trained on a sample of all shards."""
    dimension, vectors = exact[0].index.d, _vectors(exact)
    if dimension % config.codes:
        fix = f"choose a divisor of {dimension}"
        raise UserError(
            f"the size of a vector, {dimension}, is not divisible by {config.codes}", where="index.codes", fix=fix
        )
    cells = max(_PQ_CELLS, config.lists)
    if vectors < _POINTS_PER_CELL * cells:
        raise UserError(
            f"ivfpq with {config.lists} lists needs at least {_POINTS_PER_CELL * cells} passages, found {vectors}",
            where="index.kind",
            fix="choose exact, or fewer lists",
        )
    index: Any = faiss.index_factory(dimension, f"IVF{config.lists},PQ{config.codes}", faiss.METRIC_INNER_PRODUCT)
    index.nprobe = min(config.probes, config.lists)
    sample = np.random.default_rng(0).choice(vectors, min(vectors, _TRAINING_POINTS * cells), replace=False)
    index.train(_take(exact, np.sort(sample)))
    for number, shard in enumerate(exact):
        for start in range(0, shard.ntotal, _BLOCK):
            index.add(shard.index.reconstruct_n(start, min(_BLOCK, shard.ntotal - start)))
        yield _write(index, folder / f"{name}-{number:05d}{_SUFFIX}")
        index.reset()


def _recall(approximate: Sequence[_Shard], exact: Sequence[_Shard]) -> float:
    """Mean recall@10 of evenly spaced passages as queries; each query itself is not counted."""
    vectors = _vectors(exact)
    sample = np.linspace(0, vectors - 1, min(vectors, RECALL_QUERIES)).astype(np.int64)
    queries = _take(exact, sample)
    (_, found), (_, wanted) = (_search(shards, queries, RECALL_DEPTH + 1) for shards in (approximate, exact))
    shares = [
        len({*_without(row, some)} & {*_without(row, others)}) / RECALL_DEPTH
        for row, some, others in zip(sample.tolist(), found.tolist(), wanted.tolist(), strict=True)
    ]
    return float(np.mean(shares))


def _without(row: int, found: list[int]) -> list[int]:
    return [other for other in found if other != row][:RECALL_DEPTH]


def _vectors(shards: Sequence[_Shard]) -> int:
    return sum(shard.ntotal for shard in shards)


def _take(shards: Sequence[_Shard], rows: np.ndarray) -> np.ndarray:
    """Vectors of ascending rows, float32 [rows, D]."""
    parts = []
    for shard in shards:
        first, last = np.searchsorted(rows, [shard.start, shard.start + shard.ntotal])
        parts.append(shard.index.reconstruct_batch(rows[first:last] - shard.start))
    return np.concatenate(parts)
