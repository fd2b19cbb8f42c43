"""Copying mixes two distributions; it is the same in training and in step-by-step decoding."""

from __future__ import annotations

import pytest
import torch

from kpray.unikeyphrase.copying import CopyHead
from tests.unikeyphrase.random_model import VOCABULARY, build_batch, build_model
from tests.unikeyphrase.test_cache import compare_steps


def test_the_mixture_follows_its_definition() -> None:
    torch.manual_seed(0)
    head = CopyHead(8).double()
    hidden_BSH, ids_BS = torch.randn(2, 5, 8, dtype=torch.float64), torch.tensor([[1, 7, 9, 7, 2], [1, 4, 2, 0, 0]])
    rows, logits = torch.randn(3, 8, dtype=torch.float64), torch.randn(3, 11, dtype=torch.float64)
    documents = [0, 0, 1]
    found = head(logits, rows, head.source(hidden_BSH, ids_BS, torch.tensor([5, 3])), torch.tensor(documents))
    for row, document in enumerate(documents):
        gate = torch.sigmoid(head.gate(rows[row]))
        words = [1, 2, 3] if document == 0 else [1]  # without [CLS], [SEP] and padding
        scores = torch.stack([head.query(rows[row]) @ head.key(hidden_BSH[document, i]) / 8**0.5 for i in words])
        expected = gate * logits[row].softmax(0)
        for weight, i in zip(scores.softmax(0), words, strict=True):
            expected[ids_BS[document, i]] += (1 - gate).squeeze() * weight
        torch.testing.assert_close(found[row].exp(), expected)


def test_nothing_to_copy_leaves_the_vocabulary() -> None:
    head = CopyHead(8)
    logits = torch.randn(1, 11)
    source = head.source(torch.randn(1, 2, 8), torch.tensor([[1, 2]]), torch.tensor([2]))
    found = head(logits, torch.randn(1, 8), source, torch.tensor([0]))
    torch.testing.assert_close(found.softmax(1), logits.softmax(1))


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
def test_a_cached_step_agrees_with_a_full_one(beams: int) -> None:
    compare_steps(build_model(copying=True), [17, 5, 3, 11], beams, steps=5, tolerance=1e-5)


def test_every_weight_gets_a_gradient() -> None:
    model = build_model(copying=True).train()
    batch = build_batch([9, 6], [4, 3])
    inputs = {name: batch[name] for name in ("input_ids", "source_lengths", "lengths", "target_rows")}
    log_probabilities = model(**inputs).token_logits.log_softmax(1)
    assert log_probabilities.shape == (7, VOCABULARY)
    (-log_probabilities.gather(1, batch["target_ids"][:, None]).sum()).backward()
    for name, parameter in model.named_parameters():
        if name.startswith("copy_head."):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
