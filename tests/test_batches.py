"""The order of the documents in an epoch, and their division among workers: properties, and examples by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kpray.batches import BatchTokens, batches_by_length, epoch_order, micro_batches, padded_tokens

LENGTHS = st.lists(st.integers(1, 60), max_size=120).map(lambda values: np.array(values, dtype=np.int32))


def test_batch_tokens_are_given_or_depend_on_the_device() -> None:
    tokens = BatchTokens(cpu=1024)
    assert tokens.choose(None, torch.device("cpu")) == 1024
    assert tokens.choose(None, torch.device("cuda:1")) == 65_536
    assert tokens.choose(7, torch.device("cuda")) == tokens.choose(7, torch.device("cpu")) == 7


@given(st.lists(st.integers(1, 60), max_size=60), st.integers(1, 100))
def test_batches_by_length_hold_each_sequence_once(lengths: list[int], budget: int) -> None:
    batches = batches_by_length(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


@given(LENGTHS, st.integers(1, 40), st.integers(0, 2**63), st.integers(0, 5))
def test_an_epoch_has_every_document_once(lengths: np.ndarray, batch: int, seed: int, epoch: int) -> None:
    steps = epoch_order(lengths, batch, seed, epoch)
    assert sorted(np.concatenate([*steps, np.zeros(0, np.int64)]).tolist()) == list(range(len(lengths)))
    assert [len(step) for step in steps[:-1]] == [batch] * (len(steps) - 1)
    assert len(steps) == -(-len(lengths) // batch)
    again = epoch_order(lengths, batch, seed, epoch)
    assert [step.tolist() for step in steps] == [step.tolist() for step in again]


def test_order_depends_on_seed_and_epoch() -> None:
    lengths = np.arange(1, 101)
    orders = [np.concatenate(epoch_order(lengths, 16, seed, epoch)).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert all(one != other for one, other in combinations(orders, 2))


def test_lengths_are_similar_within_runs_but_not_within_steps() -> None:
    lengths = np.random.default_rng(0).integers(10, 300, 5000)
    steps = epoch_order(lengths, 32, seed=3, epoch=0)
    assert np.mean([np.ptp(lengths[run]) for step in steps[:-1] for run in step.reshape(-1, 8)]) < 10
    means = [lengths[step].mean() for step in steps[:-1]]
    assert np.std(means) < 2 * lengths.std() / np.sqrt(32 / 8)  # as for four random lengths in a step, not one


@given(LENGTHS, st.integers(1, 5), st.integers(1, 200), st.randoms())
def test_micro_batches_hold_each_document_once_within_the_budget(
    lengths: np.ndarray, workers: int, budget: int, random: np.random.Generator
) -> None:
    indices = np.array(random.sample(range(len(lengths)), len(lengths) // 2), dtype=np.int64)  # type: ignore[attr-defined]
    shares = micro_batches(lengths, indices, workers, budget)
    assert len(shares) == workers
    assert len({len(share) for share in shares}) == 1
    assert sorted(index for share in shares for part in share for index in part.tolist()) == sorted(indices.tolist())
    parts = [part for share in shares for part in share]
    assert all(len(part) <= 1 or padded_tokens(lengths, part) <= budget for part in parts)
    # Micro-batches are empty only if there are too few documents.
    assert all(len(part) for part in parts) or all(len(part) <= 1 for part in parts)


@given(LENGTHS.filter(len), st.integers(1, 4), st.integers(1, 200))
def test_the_number_of_micro_batches_is_minimal(lengths: np.ndarray, workers: int, budget: int) -> None:
    shares = micro_batches(lengths, np.arange(len(lengths)), workers, budget)
    accumulation = len(shares[0])

    def fewest(falling: list[int]) -> int:
        count = 0
        while falling:
            rows = 1
            while rows < len(falling) and (rows + 1) * falling[0] <= budget:
                rows += 1
            falling, count = falling[rows:], count + 1
        return count

    assert accumulation == -(-fewest(sorted(lengths.tolist(), reverse=True)) // workers)


def test_workers_have_even_shares_with_little_padding() -> None:
    lengths = np.random.default_rng(1).integers(20, 320, 4000)
    padded, real, idle = 0, 0, 0
    for step in epoch_order(lengths, 256, seed=0, epoch=0):
        shares = micro_batches(lengths, step, workers=4, micro_tokens=8192)
        costs = np.array([[padded_tokens(lengths, part) for part in share] for share in shares])
        padded, real = padded + costs.sum(), real + lengths[step].sum()
        idle += (costs.max(axis=0) - costs).sum()  # in each micro-step all workers wait for the slowest
    assert 1 - real / padded < 0.1
    assert idle / padded < 0.15


@pytest.mark.parametrize(
    ("workers", "budget", "expected"),
    [
        (1, 100, [[[5, 4, 3, 2, 1]]]),  # 5 * 5 tokens
        (1, 14, [[[5, 4], [3, 2, 1]]]),  # 2 * 5 and 3 * 3; [5, 4, 3] would have 15
        (2, 100, [[[5, 4]], [[3, 2, 1]]]),
        (2, 5, [[[5], [3]], [[4], [2, 1]]]),
        (3, 1, [[[5], [2]], [[4], [1]], [[3], []]]),  # every document exceeds the budget
    ],
)
def test_examples_by_hand(workers: int, budget: int, expected: list[list[list[int]]]) -> None:
    lengths = np.arange(6)
    shares = micro_batches(lengths, np.array([2, 4, 1, 5, 3]), workers, budget)
    assert [[part.tolist() for part in share] for share in shares] == expected


def test_a_step_without_documents_has_one_empty_micro_batch_per_worker() -> None:
    shares = micro_batches(np.arange(3), np.zeros(0, np.int64), 2, 10)
    assert [[part.tolist() for part in share] for share in shares] == [[[]], [[]]]
