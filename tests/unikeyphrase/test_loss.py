"""The losses against loops over Eq. 13-15."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kpray.unikeyphrase.bag_of_words import bag_of_words_errors, bow_weight_schedule
from kpray.unikeyphrase.config import LossConfig
from kpray.unikeyphrase.loss import extraction_losses, generation_losses, token_log_probabilities, uni_losses
from kpray.unikeyphrase.model import UniKeyphraseModel, UniKeyphraseOutput
from tests.unikeyphrase.random_model import IGNORED_IDS, VOCABULARY, build_batch, build_model

INPUTS = ("input_ids", "source_lengths", "lengths", "target_rows")
PARTS = ("loss", "extraction", "generation", "bag_of_words", "bow_weight")


def build_output(batch: dict[str, Tensor], dtype: torch.dtype = torch.float64) -> UniKeyphraseOutput:
    generator = torch.Generator().manual_seed(2)
    label_logits = 2 * torch.randn(*batch["labels"].shape, 4, generator=generator, dtype=torch.float64)
    token_logits = 2 * torch.randn(len(batch["target_ids"]), VOCABULARY, generator=generator, dtype=torch.float64)
    return UniKeyphraseOutput(label_logits.to(dtype).requires_grad_(), token_logits.to(dtype).requires_grad_())


def naive_extraction(output: UniKeyphraseOutput, batch: dict[str, Tensor], config: LossConfig) -> list[float]:
    losses = []
    for b, labels in enumerate(batch["labels"].tolist()):
        loss = weights = 0.0
        for i, label in enumerate(labels):
            if label != -100:
                weight = 1.0 if label == 0 else config.positive_weight
                loss -= weight * float(output.label_logits[b, i].detach().softmax(-1)[label].log())
                weights += weight
        losses.append(loss if config.reduction == "sum" or not weights else loss / weights)
    return losses


def naive_generation(output: UniKeyphraseOutput, batch: dict[str, Tensor], config: LossConfig) -> list[float]:
    tokens = batch["input_ids"].shape[1]
    losses, numbers = [0.0] * len(batch["labels"]), [0] * len(batch["labels"])
    rows = zip(*(batch[name].tolist() for name in ("target_rows", "target_ids", "target_masked")), strict=True)
    for j, (row, word, masked) in enumerate(rows):
        if masked:
            losses[row // tokens] -= float(output.token_logits[j].detach().softmax(-1)[word].log())
            numbers[row // tokens] += 1
    if config.reduction == "sum":
        return losses
    return [loss / number if number else 0.0 for loss, number in zip(losses, numbers, strict=True)]


@pytest.mark.parametrize("targets", [[4, 9, 1, 2], [1, 0, 0, 1], [0, 0, 0, 0]])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_losses_equal_the_equations(reduction: Any, targets: list[int]) -> None:
    batch = build_batch([8, 2, 15, 3], targets)  # the second has no word
    config = LossConfig(reduction=reduction, positive_weight=5, bow_weight=1.5)
    output = build_output(batch)
    tokens = batch["input_ids"].shape[1]
    documents = batch["target_rows"] // tokens
    found = extraction_losses(output.label_logits, batch["labels"], config)
    assert found.detach().tolist() == pytest.approx(naive_extraction(output, batch, config), abs=1e-8)
    found = generation_losses(
        token_log_probabilities(output.token_logits),
        batch["target_ids"],
        batch["target_masked"],
        documents,
        len(targets),
        config,
    )
    assert found.detach().tolist() == pytest.approx(naive_generation(output, batch, config), abs=1e-8)

    losses = uni_losses(output, batch, config, 0.3, IGNORED_IDS)
    bag_of_words = bag_of_words_errors(
        output.label_logits,
        batch["input_ids"][:, :15],
        batch["labels"],
        token_log_probabilities(output.token_logits),
        batch["target_ids"],
        documents,
        IGNORED_IDS,
    )
    weight = bow_weight_schedule(0.3, 1.5)
    extraction, generation = (naive(output, batch, config) for naive in (naive_extraction, naive_generation))
    assert set(losses) == set(PARTS)
    assert float(losses["extraction"]) == pytest.approx(sum(extraction), abs=1e-8)
    assert float(losses["generation"]) == pytest.approx(sum(generation), abs=1e-8)
    assert float(losses["bag_of_words"]) == pytest.approx(float(bag_of_words.detach().sum()), abs=1e-8)
    assert float(losses["bow_weight"]) == pytest.approx(4 * weight, abs=1e-8)
    wanted = sum(extraction) + sum(generation) + weight * float(bag_of_words.detach().sum())
    assert float(losses["loss"].detach()) == pytest.approx(wanted, abs=1e-8)
    assert [losses[part].requires_grad for part in PARTS] == [True, False, False, False, False]
    assert [losses[part].shape for part in PARTS] == [()] * 5


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_gradients_are_those_of_finite_differences(reduction: Any) -> None:
    batch = build_batch([4, 3], [2, 3])
    config = LossConfig(reduction=reduction)

    def loss(label_logits: Tensor, token_logits: Tensor) -> Tensor:
        return uni_losses(UniKeyphraseOutput(label_logits, token_logits), batch, config, 0.7, IGNORED_IDS)["loss"]

    assert torch.autograd.gradcheck(loss, tuple(build_output(batch)))


def test_without_extraction_the_loss_is_that_of_generation() -> None:
    batch, config = build_batch([6, 9], [3, 4]), LossConfig(bow_weight=1.0)
    output = build_output(batch)
    losses = uni_losses(output, batch, config, 0.5, IGNORED_IDS, extracts=False)
    wanted = sum(naive_generation(output, batch, config))
    assert set(losses) == set(PARTS)
    assert [float(losses[part].detach()) for part in PARTS] == pytest.approx([wanted, 0, wanted, 0, 0], abs=1e-8)
    labels, tokens = torch.autograd.grad(losses["loss"], tuple(output))
    assert not labels.any()
    assert tokens.any()


@pytest.mark.parametrize(("maximum", "progress"), [(0.0, 0.9), (1.0, 0.0)])
def test_without_weight_the_constraint_is_not_computed(maximum: float, progress: float) -> None:
    batch = build_batch([6, 9], [3, 4])
    output = build_output(batch)
    losses = uni_losses(output, batch, LossConfig(bow_weight=maximum), progress, IGNORED_IDS)
    assert float(losses["bag_of_words"]) == float(losses["bow_weight"]) == 0
    assert float(losses["loss"].detach()) == float(losses["extraction"] + losses["generation"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    batch = build_batch([30, 20], [9, 4])
    output = build_output(batch, dtype)
    losses = uni_losses(output, batch, LossConfig(), 0.5, IGNORED_IDS)
    exact = UniKeyphraseOutput(output.label_logits.double(), output.token_logits.double())
    wanted = uni_losses(exact, batch, LossConfig(), 0.5, IGNORED_IDS)
    for part in PARTS:
        assert losses[part].dtype == torch.float32
        assert float(losses[part].detach()) == pytest.approx(float(wanted[part].detach()), rel=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_halves_of_a_batch_sum_to_the_whole(reduction: Any) -> None:
    """So the split into micro-batches and over workers changes neither loss nor gradient."""
    sources, targets = [12, 4, 7, 20], [5, 1, 9, 3]
    config = LossConfig(reduction=reduction)
    model = build_model().double()
    whole = build_batch(sources, targets)
    gradients = parameters_gradients(model, whole, config)
    summed = [torch.zeros_like(gradient) for gradient in gradients]
    for kept in ([0, 1], [2, 3]):
        half = take_documents(whole, kept)
        summed = [a + b for a, b in zip(summed, parameters_gradients(model, half, config), strict=True)]
    for found, wanted in zip(summed, gradients, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-9)


def take_documents(batch: dict[str, Tensor], kept: list[int]) -> dict[str, Tensor]:
    tokens = batch["input_ids"].shape[1]
    source = int(batch["source_lengths"][kept].max())
    rows = torch.cat([(batch["target_rows"] // tokens == b).nonzero().squeeze(1) for b in kept])
    documents = torch.cat(
        [torch.full_like(rows[batch["target_rows"][rows] // tokens == b], i) for i, b in enumerate(kept)]
    )
    return {
        "input_ids": batch["input_ids"][kept],
        "source_lengths": batch["source_lengths"][kept],
        "lengths": batch["lengths"][kept],
        "labels": batch["labels"][kept, :source],
        "target_rows": batch["target_rows"][rows] % tokens + documents * tokens,
        "target_ids": batch["target_ids"][rows],
        "target_masked": batch["target_masked"][rows],
    }


def parameters_gradients(model: UniKeyphraseModel, batch: dict[str, Tensor], config: LossConfig) -> list[Tensor]:
    output = model(*(batch[name] for name in INPUTS))
    loss = uni_losses(output, batch, config, 0.5, IGNORED_IDS)["loss"]
    return list(torch.autograd.grad(loss, list(model.parameters())))


def test_a_batch_without_targets_gives_every_weight_a_gradient() -> None:
    """Workers reduce the same weights, whatever their batches hold."""
    model, batch = build_model(), build_batch([6, 9], [0, 0])
    gradients = parameters_gradients(model, batch, LossConfig())
    assert len(gradients) == len(list(model.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)
