"""Batches of sequences, formed from their lengths alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch

Result = TypeVar("Result")

_RUN = 8  # maximum size of a run of documents of similar length: long runs save padding, short runs mix the steps
_POOL_STEPS = 16  # number of optimizer steps whose documents are sorted by length together


class BatchTokens(NamedTuple):
    """Default for the maximum number of tokens in one forward pass, padding included, for each type of device."""

    cpu: int = 2048
    gpu: int = 65_536

    def choose(self, given: int | None, device: torch.device) -> int:
        """`given`, or the default for the device if `given` is None."""
        return given if given is not None else self.cpu if device.type == "cpu" else self.gpu


def results_in_order(futures: Iterable[Future[Result]], ahead: int) -> Iterator[Result]:
    """Results of futures in their order. At most `ahead` futures wait beyond the one whose result is next.

    Args:
        futures: submits each future when it is asked for it.
        ahead: number of futures.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for future in futures:
            waiting.append(future)
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Group sequences of similar length into batches.

    Args:
        lengths: tokens of each sequence.
        batch_tokens: maximum number of tokens in a batch, padding included. A longer sequence is a batch by itself.

    Returns:
        For each batch the indices of its sequences, shortest first.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if batches and (len(batches[-1]) + 1) * lengths[index] <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def epoch_order(lengths: np.ndarray, batch: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Order of the documents in one epoch. It does not depend on the number of workers.

    The documents are shuffled and cut into pools. Each pool is sorted by length and cut into runs, and the runs are
    shuffled. So the documents of a run have similar lengths and `micro_batches` adds little padding, while the runs of
    one step differ in length.

    Args:
        lengths: int [documents], tokens of each document.
        batch: number of documents in one optimizer step.
        seed: at least 0; `seed` and `epoch` determine the order.
        epoch: 0, 1, ...

    Returns:
        For each step the indices of its documents, int64 [batch]; the last step may have fewer.
    """
    import numpy as np

    random = np.random.default_rng([seed, epoch])
    run = max(size for size in range(1, _RUN + 1) if batch % size == 0)
    shuffled = random.permutation(len(lengths))
    runs: list[np.ndarray] = []
    rest = shuffled[:0]
    for start in range(0, len(shuffled), _POOL_STEPS * batch):
        pool = shuffled[start : start + _POOL_STEPS * batch]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        if len(pool) % run:  # the last pool: take the incomplete run at a random length, not from the longest documents
            offset = int(random.integers(len(pool) // run + 1)) * run
            rest = pool[offset : offset + len(pool) % run]
            pool = np.delete(pool, np.s_[offset : offset + len(rest)])
        runs += np.split(pool, len(pool) // run) if len(pool) else []
    ordered = np.concatenate([*(runs[index] for index in random.permutation(len(runs))), rest])
    return np.split(ordered, range(batch, len(ordered), batch)) if len(ordered) else []


def micro_batches(lengths: np.ndarray, indices: np.ndarray, workers: int, micro_tokens: int) -> list[list[np.ndarray]]:
    """Divide the documents of one optimizer step into micro-batches for each worker.

    All workers get the same number of micro-batches, the smallest number that keeps each within `micro_tokens`. The
    documents are sorted by length and cut into micro-batches with similar numbers of tokens. Micro-batches that the
    workers process at the same time are neighbours in this order, so no worker waits long for the others.

    Args:
        lengths: int [documents], tokens of each document.
        indices: int64 [n], the documents of the step.
        workers: number of workers.
        micro_tokens: maximum number of tokens in a micro-batch, padding included (rows times the longest document). A
            longer document is a micro-batch by itself.

    Returns:
        [workers][micro-batches] arrays of indices, int64. Some are empty if there are fewer documents than
        micro-batches.
    """
    import numpy as np

    descending = indices[np.argsort(-lengths[indices], kind="stable")]
    tokens = np.maximum(lengths[descending], 1)
    accumulation = max(1, -(-len(_cut(tokens, micro_tokens)) // workers))
    low, high = 1, micro_tokens
    while low < high:  # find the smallest limit that does not increase the number of micro-batches
        middle = (low + high) // 2
        low, high = (low, middle) if len(_cut(tokens, middle)) <= workers * accumulation else (middle + 1, high)
    sizes = _cut(tokens, low)
    parts = np.split(descending, np.cumsum(sizes)[:-1]) if sizes else []
    while len(parts) < workers * accumulation and any(len(part) > 1 for part in parts):
        largest = max(
            range(len(parts)),
            key=lambda index: (len(parts[index]) > 1) * len(parts[index]) * int(lengths[parts[index][0]]),
        )
        parts[largest : largest + 1] = np.array_split(parts[largest], 2)
    parts += [descending[:0]] * (workers * accumulation - len(parts))
    return [parts[worker::workers] for worker in range(workers)]


def _cut(descending: np.ndarray, limit: int) -> list[int]:
    """Cut lengths in descending order into the fewest batches of at most `limit` tokens; return the batch sizes."""
    sizes: list[int] = []
    start = 0
    while start < len(descending):
        sizes.append(min(max(1, limit // int(descending[start])), len(descending) - start))
        start += sizes[-1]
    return sizes


def padded_tokens(lengths: np.ndarray, indices: np.ndarray) -> int:
    """Number of tokens in a batch of the given documents, padding included."""
    return len(indices) * int(lengths[indices].max()) if len(indices) else 0
