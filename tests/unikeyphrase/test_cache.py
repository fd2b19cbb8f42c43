"""Step-by-step decoding compared with full forward passes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kpray.unikeyphrase.model import UniKeyphraseModel
from tests.unikeyphrase.random_model import DELIMITER_ID, MASK_ID, VOCABULARY, build_model


def build_sources(lengths: list[int]) -> tuple[Tensor, Tensor]:
    ids = torch.randint(DELIMITER_ID, VOCABULARY, (len(lengths), max(lengths)))
    return ids, torch.tensor(lengths)


def compare_steps(model: UniKeyphraseModel, lengths: list[int], beams: int, steps: int, tolerance: float) -> None:
    """Decode random tokens both ways; beams change their parents and documents leave the batch."""
    torch.manual_seed(2)
    ids, source_lengths = build_sources(lengths)
    label_logits, source = model.encode_source(ids, source_lengths)
    whole = model(ids, source_lengths, source_lengths, torch.empty(0, dtype=torch.int64)).label_logits
    for b, length in enumerate(lengths):
        torch.testing.assert_close(label_logits[b, :length], whole[b, :length], atol=tolerance, rtol=0)

    cache = model.start(source)
    found, cache = model.decode_step(source, cache, None, MASK_ID)
    tokens = torch.empty(len(lengths), 1, 0, dtype=torch.int64)
    for step in range(steps):
        assert found.dtype == torch.float32
        assert found.shape == (len(ids), tokens.shape[1], VOCABULARY)
        assert cache.tokens == step
        wanted = model.full_step(ids, source_lengths, tokens, MASK_ID)
        torch.testing.assert_close(found, wanted, atol=tolerance, rtol=0)
        torch.testing.assert_close(found.exp().sum(-1), torch.ones(found.shape[:2]), atol=1e-5, rtol=0)
        if step == steps // 2:  # continue with documents 0 and the last, in this order
            kept = torch.tensor([0, len(ids) - 1])
            source, cache = source.select(kept), cache.select(kept)
            ids, source_lengths, tokens = ids[kept], source_lengths[kept], tokens[kept]
        parents = torch.randint(tokens.shape[1], (len(ids), beams))
        chosen = torch.randint(DELIMITER_ID, VOCABULARY, (len(ids), beams))
        tokens = torch.cat([tokens.take_along_dim(parents[:, :, None], dim=1), chosen[:, :, None]], dim=2)
        cache = cache.reorder(parents)
        found, cache = model.decode_step(source, cache, chosen, MASK_ID)


@torch.no_grad()
@pytest.mark.parametrize("scale", ["one", "inverse_sqrt"])
@pytest.mark.parametrize("beams", [1, 5])
@pytest.mark.parametrize("relation_layers", [0, 1, 2, 3])
def test_a_cached_step_agrees_with_a_full_one(relation_layers: int, beams: int, scale: str) -> None:
    model = build_model(relation_layers=relation_layers, relation_scale=scale)
    compare_steps(model, [17, 5, 1, 11], beams, steps=6, tolerance=1e-5)


@torch.no_grad()
def test_six_segment_types() -> None:
    compare_steps(build_model(type_vocab_size=6, source_segment=4, target_segment=5), [9, 4], 2, 3, 1e-5)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    """Both ways differ from float32 only by rounding."""
    model = build_model(initializer_range=0.05)
    torch.nn.Module.to(model, dtype)
    compare_steps(model, [17, 5, 11], 3, steps=4, tolerance=0.02 if dtype == torch.float16 else 0.15)


@torch.no_grad()
def test_the_source_is_not_copied_per_beam() -> None:
    model = build_model()
    ids, lengths = build_sources([7, 3])
    _, source = model.encode_source(ids, lengths)
    _, cache = model.decode_step(source, model.start(source), None, MASK_ID)
    _, cache = model.decode_step(
        source, cache.reorder(torch.zeros(2, 5, dtype=torch.int64)), ids[:, :1].repeat(1, 5), 4
    )
    assert [key.shape for key, _ in source.layers] == [(2, 4, 7, 8)] * 2  # documents, heads, tokens, head size
    assert [key.shape for key, _ in cache.layers] == [(2, 4, 5, 1, 8)] * 2
    assert [rows.shape for rows, _ in cache.relations] == [(2, 1, 5, 1, 32)] * 2


def test_no_cache_without_relation_mask() -> None:
    model = build_model(relation_mask="none")
    ids, lengths = build_sources([7, 3])
    with pytest.raises(ValueError, match="relation_mask none has no cache"):
        model.encode_source(ids, lengths)


@torch.no_grad()
def test_full_step_is_a_forward_pass_over_the_sequence() -> None:
    """The expected sequence is written by hand: [CLS] X [SEP], the emitted tokens, [MASK]."""
    model = build_model(relation_mask="none")
    ids, lengths = build_sources([7, 3])
    tokens = torch.randint(DELIMITER_ID, VOCABULARY, (2, 2, 3))
    found = model.full_step(ids, lengths, tokens, MASK_ID)
    for b, length in enumerate(lengths.tolist()):
        for k in range(2):
            row = torch.tensor([ids[b].tolist()[:length] + tokens[b, k].tolist() + [MASK_ID]])
            output = model(row, lengths[b : b + 1], torch.tensor([length + 4]), torch.tensor([length + 3]))
            torch.testing.assert_close(found[b, k], output.token_logits[0].log_softmax(-1), atol=1e-5, rtol=0)
