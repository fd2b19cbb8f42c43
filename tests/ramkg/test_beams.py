"""Beam search with shared sources finds the sequences of a plain `generate` of transformers."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GenerationConfig,
    MBartConfig,
    MBartForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from kpray.ramkg.beams import ModelSteps, beam_search, share_sources

END, PAD, VOCABULARY, TARGET = 2, 1, 150, 12
FORBIDDEN = [0, PAD, 3, 149]
LENGTHS = [3, 17, 9, 1, 30, 12]
KINDS = ("mbart", "bart", "t5", "eager")


def make_model(kind: str) -> Any:
    """A random model whose sequences end after different numbers of tokens."""
    torch.manual_seed(3)
    if kind == "t5":
        t5 = T5ForConditionalGeneration(
            T5Config(vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, pad_token_id=PAD)
        )
        torch.nn.init.normal_(t5.lm_head.weight, std=0.5)
        model: Any = t5
    else:
        layers = {f"{part}_layers": 2 for part in ("encoder", "decoder")}
        heads = {f"{part}_attention_heads": 4 for part in ("encoder", "decoder")}
        inner = {f"{part}_ffn_dim": 64 for part in ("encoder", "decoder")}
        sizes: dict[str, Any] = {**layers, **heads, **inner, "d_model": 32, "max_position_embeddings": 64}
        sizes |= {"vocab_size": VOCABULARY, "init_std": 0.3, "pad_token_id": PAD, "eos_token_id": END}
        if kind == "bart":
            model = BartForConditionalGeneration(BartConfig(**sizes))
        else:
            model = MBartForConditionalGeneration(MBartConfig(**sizes))
        model.final_logits_bias[0, END] = 4.0
    if kind == "eager":
        model.set_attn_implementation("eager")
    model.generation_config = GenerationConfig()
    return model.eval()


def make_batch(lengths: list[int]) -> tuple[Tensor, Tensor]:
    ids = torch.randint(4, VOCABULARY - 1, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(5))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return ids.masked_fill(~mask, PAD), mask


@torch.no_grad()
def plain(model: Any, starts: list[list[int]], beams: int, penalty: float) -> list[list[int]]:
    """Sequences of `generate`, one document at a time."""
    ids, mask = make_batch(LENGTHS)
    found = []
    for row, start in enumerate(starts):
        config = GenerationConfig(
            num_beams=beams,
            length_penalty=penalty if beams > 1 else None,
            max_new_tokens=TARGET,
            decoder_start_token_id=start[0],
            eos_token_id=END,
            pad_token_id=PAD,
            suppress_tokens=FORBIDDEN,
        )
        [sequence] = model.generate(
            ids[row : row + 1, : LENGTHS[row]],
            attention_mask=mask[row : row + 1, : LENGTHS[row]],
            decoder_input_ids=torch.tensor([start]),
            generation_config=config,
        ).tolist()
        found.append(sequence[len(start) :])
    return found


@torch.no_grad()
def shared(model: Any, starts: list[list[int]], beams: int, penalty: float) -> Any:
    ids, mask = make_batch(LENGTHS)
    encoded = model.get_encoder()(input_ids=ids, attention_mask=mask)[0], mask
    steps = ModelSteps(model, encoded, starts, FORBIDDEN)
    return beam_search(steps, beams=beams, target_tokens=TARGET, end_id=END, length_penalty=penalty), steps


@pytest.mark.parametrize(("beams", "penalty"), [(1, 1.0), (2, 1.0), (5, 0.0), (5, 1.0), (5, 2.0)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_sequences_are_those_of_generate(kind: str, beams: int, penalty: float) -> None:
    model = make_model(kind)
    starts = [[4 + row, 20][: 2 if kind == "bart" else 1] for row in range(len(LENGTHS))]
    expected = plain(model, starts, beams, penalty)
    sharing = deepcopy(model)
    share_sources(sharing)
    found, steps = shared(sharing, starts, beams, penalty)
    assert [hypothesis.ids for hypothesis in found] == expected
    assert len({len(sequence) for sequence in expected}) > 1 or kind == "t5" or penalty != 1.0
    keys = steps.cache.cross_attention_cache.layers[0].keys
    assert len(keys) <= len(LENGTHS) * (beams if kind == "eager" else 1)  # not a copy for each beam


def test_the_model_is_the_same_otherwise() -> None:
    ids, mask = make_batch(LENGTHS)
    model = make_model("mbart")
    inputs = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": ids[:, :5]}
    with torch.no_grad():
        before = model(**inputs).logits
        share_sources(model)
        assert torch.equal(model(**inputs).logits, before)
    assert "kpray" not in str(model.config.to_dict())
    model.train()
    model(**inputs).logits.sum().backward()
    assert model.model.decoder.layers[1].encoder_attn.k_proj.weight.grad.abs().max() > 0


@pytest.mark.parametrize("beams", [1, 4])
def test_probabilities_are_those_of_the_model(beams: int) -> None:
    model = make_model("mbart")
    share_sources(model)
    starts = [[4]] * len(LENGTHS)
    ids, mask = make_batch(LENGTHS)
    for row, hypothesis in enumerate(shared(model, starts, beams, 1.0)[0]):
        with torch.no_grad():
            logits = model(
                input_ids=ids[row : row + 1],
                attention_mask=mask[row : row + 1],
                decoder_input_ids=torch.tensor([[*starts[row], *hypothesis.ids[:-1]]]),
            ).logits[0]
        chosen = logits.softmax(dim=1)[torch.arange(len(hypothesis.ids)), torch.tensor(hypothesis.ids)]
        assert hypothesis.probabilities == pytest.approx(chosen.tolist(), abs=1e-5)
        assert hypothesis.ids.index(END) == len(hypothesis.ids) - 1 if END in hypothesis.ids else True


def test_finished_documents_leave_the_batch() -> None:
    model = make_model("mbart")
    share_sources(model)
    sizes: list[int] = []
    model.model.decoder.register_forward_pre_hook(
        lambda _, __, inputs: sizes.append(len(inputs["input_ids"])), with_kwargs=True
    )
    found, _ = shared(model, [[4 + row] for row in range(len(LENGTHS))], 2, 1.0)
    assert sizes[0] == len(LENGTHS)
    assert sizes[1] <= 2 * len(LENGTHS)
    assert sizes[1:] == sorted(sizes[1:], reverse=True)
    assert sizes[-1] < sizes[1]
    assert len(found) == len(LENGTHS)
