"""UniKeyphrase on a GPU gives what it gives on a CPU: logits, losses, gradients, and decoded tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kpray.unikeyphrase.config import DecodeConfig, LossConfig
from kpray.unikeyphrase.decode import CachedSteps, FullSteps, beam_search, read_documents
from kpray.unikeyphrase.loss import uni_losses
from kpray.unikeyphrase.task import UniKeyphraseTask
from tests.gpu.conftest import Close
from tests.unikeyphrase.random_model import IGNORED_IDS, MASK_ID, build_batch, build_model
from tests.unikeyphrase.tiny_model import RECORDS, make_model, make_task, save_backbone

SOURCES, TARGETS = [30, 12, 40, 8, 21], [9, 14, 1, 5, 16]
CPU = torch.device("cpu")


def move(model: Any, device: torch.device, dtype: torch.dtype = torch.float32) -> Any:
    return model.to(device, dtype)


def run_losses(
    model: Any, batch: dict[str, Tensor], device: torch.device, dtype: torch.dtype, bow_weight: float
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Logits, losses and gradients of a model of its own, in mixed precision where that is not float32."""
    placed = {name: tensor.to(device) for name, tensor in batch.items()}
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        output = model(placed["input_ids"], placed["source_lengths"], placed["lengths"], placed["target_rows"])
        config = LossConfig(bow_weight=bow_weight, reduction="mean")
        losses = uni_losses(output, placed, config, 0.5, IGNORED_IDS.to(device))
    losses["loss"].backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    labelled = placed["labels"] != -100
    return [output.label_logits[labelled], output.token_logits], list(losses.values()), gradients


@pytest.mark.parametrize("relation_mask", ["backbone", "none"])
def test_losses_and_gradients(device: torch.device, dtype: torch.dtype, close: Close, relation_mask: str) -> None:
    # In half precision a label's argmax may be another, and the constraint another at one stroke.
    bow_weight = 1.0 if dtype == torch.float32 else 0.0
    batch = build_batch(SOURCES, TARGETS)
    found = run_losses(move(build_model(relation_mask=relation_mask), device), batch, device, dtype, bow_weight)
    reference = run_losses(build_model(relation_mask=relation_mask), batch, CPU, torch.float32, bow_weight)
    for ours, theirs in zip(found, reference, strict=True):
        assert len(ours) == len(theirs) > 0
        close(ours, theirs, dtype)


def test_gradient_checkpointing(device: torch.device, close: Close) -> None:
    batch = build_batch(SOURCES, TARGETS)
    gradients = []
    for checkpointing in (True, False):
        model = build_model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, relation_dropout=0.0).train()
        model.gradient_checkpointing = checkpointing
        gradients.append(run_losses(move(model, device), batch, device, torch.float32, 1.0)[2])
    close(gradients[0], gradients[1], torch.float32)


@pytest.mark.parametrize("scaled", [True, False], ids=["fp16 with scaler", "bf16"])
def test_training_steps(device: torch.device, scaled: bool) -> None:
    """Some steps with the fused optimizer: the loss falls, and stays a number."""
    model = move(build_model(), device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=scaled, init_scale=2.0**10)
    batch = {name: tensor.to(device) for name, tensor in build_batch(SOURCES, TARGETS).items()}
    found = []
    for _ in range(20):
        with torch.autocast(device.type, torch.float16 if scaled else torch.bfloat16):
            output = model(batch["input_ids"], batch["source_lengths"], batch["lengths"], batch["target_rows"])
            loss = uni_losses(output, batch, LossConfig(), 0.5, IGNORED_IDS.to(device))["loss"]
        scaler.scale(loss / len(SOURCES)).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        found.append(float(loss.detach()))
    assert all(torch.tensor(found).isfinite())
    assert sum(found[-3:]) < 0.9 * sum(found[:3])


@torch.inference_mode()
def test_cached_steps_are_full_steps(device: torch.device, dtype: torch.dtype, close: Close) -> None:
    """The log-probabilities of the first steps, along tokens that are given."""
    model = move(build_model(), device, dtype)
    batch = {name: tensor.to(device) for name, tensor in build_batch(SOURCES, [1] * len(SOURCES)).items()}
    lengths = batch["source_lengths"]
    source_ids = batch["input_ids"][:, : int(lengths.max())].masked_fill(
        torch.arange(int(lengths.max()), device=device) >= lengths[:, None], 0
    )
    cached = CachedSteps(model, model.encode_source(source_ids, lengths)[1], MASK_ID)
    full = FullSteps(model, source_ids, lengths, MASK_ID)
    ours, theirs = [cached.start()], [full.start()]
    generator = torch.Generator().manual_seed(4)
    documents = torch.arange(len(SOURCES), device=device)
    beams = 1
    for step in range(4):
        if step == 2:
            documents = documents[[0, 2, 3]]
        parents = torch.randint(0, beams, (len(documents), 3), generator=generator).to(device)
        tokens = torch.randint(6, 97, (len(documents), 3), generator=generator).to(device)
        ours.append(cached.advance(documents, parents, tokens))
        theirs.append(full.advance(documents, parents, tokens))
        documents, beams = torch.arange(len(documents), device=device), 3
    close(ours, theirs, dtype)
    for beams in (1, 4) if dtype == torch.float32 else ():
        found = [
            beam_search(steps, beams=beams, length_penalty=0.6, target_tokens=12, end_id=3)
            for steps in (
                CachedSteps(model, model.encode_source(source_ids, lengths)[1], MASK_ID),
                FullSteps(model, source_ids, lengths, MASK_ID),
            )
        ]
        assert found[0].tokens.tolist() == found[1].tokens.tolist()


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> UniKeyphraseTask:
    return make_task(save_backbone(tmp_path_factory.mktemp("backbone")))


@torch.inference_mode()
@pytest.mark.parametrize("beams", [1, 5])
def test_reading(task: UniKeyphraseTask, device: torch.device, beams: int, close: Close) -> None:
    """Labels and tokens of float32 are those of the CPU."""
    texts = [record.document.text for record in RECORDS]
    sources = [task.encoder.encode_source(text, task.config.model.source_tokens) for text in texts]
    decode = DecodeConfig(beams=beams, empty=False)
    ours, theirs = (
        read_documents(move(make_model(task), where), task.encoder, sources, decode) for where in (device, CPU)
    )
    assert sum(len(one.target) for one in theirs) > 8
    for one, other in zip(ours, theirs, strict=True):
        assert one.target.tolist() == other.target.tolist()
        assert one.label_logits.argmax(1).tolist() == other.label_logits.argmax(1).tolist()
        for name in ("label_logits", "probabilities"):
            close([torch.from_numpy(getattr(one, name))], [torch.from_numpy(getattr(other, name))], torch.float32)


@torch.inference_mode()
def test_reading_in_half_precision(task: UniKeyphraseTask, device: torch.device, dtype: torch.dtype) -> None:
    texts = [record.document.text for record in RECORDS]
    sources = [task.encoder.encode_source(text, task.config.model.source_tokens) for text in texts]
    model = move(make_model(task), device, dtype)
    for one, source in zip(
        read_documents(model, task.encoder, sources, DecodeConfig(empty=False)), sources, strict=True
    ):
        assert one.label_logits.shape == (len(source.ids) - 2, 4)
        assert 1 <= len(one.target) == len(one.probabilities)
        assert (one.probabilities > 0).all()
        assert (one.probabilities <= 1).all()
