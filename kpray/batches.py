"""Which sequences go through a model together, decided from their lengths alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import torch

_RUN = 8  # most documents of like length that stay together: enough for little padding, few enough for mixed steps
_POOL_STEPS = 16  # steps whose documents are sorted by length together


class BatchTokens(NamedTuple):
    """Most tokens of one forward pass, padding included, by the kind of device."""

    cpu: int = 2048
    gpu: int = 65_536

    def choose(self, given: int | None, device: torch.device) -> int:
        """What a caller gave; None: what fits the device."""
        return given if given is not None else self.cpu if device.type == "cpu" else self.gpu


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices of sequences of like length, each batch at most `batch_tokens` with its padding, or one sequence."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if batches and (len(batches[-1]) + 1) * lengths[index] <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def epoch_order(lengths: np.ndarray, batch: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Put all documents into an order for one epoch; it does not depend on the machines.

    The documents are shuffled and cut into pools, each pool is sorted by length and cut into runs, and the runs are
    shuffled: runs of a step differ in length, documents of a run hardly do, so that `micro_batches` pads little.

    Args:
        lengths: int [documents], tokens of each.
        batch: documents of one optimizer step.
        seed: not negative; with `epoch` it decides the order.
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
        if len(pool) % run:  # the last pool: what makes no whole run is of a length by chance, not the longest
            place = int(random.integers(len(pool) // run + 1)) * run
            rest = pool[place : place + len(pool) % run]
            pool = np.delete(pool, np.s_[place : place + len(rest)])
        runs += np.split(pool, len(pool) // run) if len(pool) else []
    ordered = np.concatenate([*(runs[index] for index in random.permutation(len(runs))), rest])
    return np.split(ordered, range(batch, len(ordered), batch)) if len(ordered) else []


def micro_batches(lengths: np.ndarray, indices: np.ndarray, workers: int, micro_tokens: int) -> list[list[np.ndarray]]:
    """Share the documents of one optimizer step among workers, each of which takes its share in parts.

    Every worker gets the same number of micro-batches, the least that keeps each within `micro_tokens` (rows times the
    longest, or a single document), and they are as even as documents in the order of their length allow. Those that
    the workers take at the same time follow each other in that order.

    Args:
        lengths: int [documents], tokens of each.
        indices: int64 [n], the documents of the step.
        workers: how many.
        micro_tokens: most tokens of a micro-batch, padding included.

    Returns:
        [workers][micro-batches] arrays of indices, int64; where there are fewer documents than micro-batches, some
        are empty.
    """
    import numpy as np

    falling = indices[np.argsort(-lengths[indices], kind="stable")]
    tokens = np.maximum(lengths[falling], 1)
    accumulation = max(1, -(-len(_cut(tokens, micro_tokens)) // workers))
    low, high = 1, micro_tokens
    while low < high:  # the least most-tokens that still makes no more micro-batches
        middle = (low + high) // 2
        low, high = (low, middle) if len(_cut(tokens, middle)) <= workers * accumulation else (middle + 1, high)
    sizes = _cut(tokens, low)
    parts = np.split(falling, np.cumsum(sizes)[:-1]) if sizes else []
    while len(parts) < workers * accumulation and any(len(part) > 1 for part in parts):
        largest = max(
            range(len(parts)),
            key=lambda place: (len(parts[place]) > 1) * len(parts[place]) * int(lengths[parts[place][0]]),
        )
        parts[largest : largest + 1] = np.array_split(parts[largest], 2)
    parts += [falling[:0]] * (workers * accumulation - len(parts))
    return [parts[worker::workers] for worker in range(workers)]


def _cut(falling: np.ndarray, most: int) -> list[int]:
    """Sizes of the fewest runs of `falling` lengths of which each has at most `most` tokens, or one document."""
    sizes: list[int] = []
    place = 0
    while place < len(falling):
        sizes.append(min(max(1, most // int(falling[place])), len(falling) - place))
        place += sizes[-1]
    return sizes


def padded_tokens(lengths: np.ndarray, indices: np.ndarray) -> int:
    """Tokens of a batch of these documents, padding included."""
    return len(indices) * int(lengths[indices].max()) if len(indices) else 0
