"""The backbone compared with transformers' BertModel, and the effect of its mask."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import BertModel

from kpray.unikeyphrase.backbone import padding_mask, run_layers, unilm_mask
from kpray.unikeyphrase.model import UniKeyphraseModel, UniKeyphraseOutput
from tests.unikeyphrase.random_model import VOCABULARY, build_batch, build_model

INPUTS = ("input_ids", "source_lengths", "lengths", "target_rows")


def run(model: UniKeyphraseModel, batch: dict[str, Tensor]) -> UniKeyphraseOutput:
    output: UniKeyphraseOutput = model(*(batch[name] for name in INPUTS))
    return output


def test_mask_agrees_with_the_rule() -> None:
    sources, lengths = [3, 1, 4], [5, 6, 4]
    found = unilm_mask(torch.tensor(sources), torch.tensor(lengths), 6)
    for b, (source, length) in enumerate(zip(sources, lengths, strict=True)):
        for query in range(6):
            for key in range(6):
                wanted = key < source or (query >= source and key <= query and key < length)
                assert bool(found[b, 0, query, key]) == wanted


@pytest.mark.parametrize("lengths", [[11, 11, 11], [11, 4, 7]])
def test_padding_mask_gives_the_output_of_bert(lengths: list[int]) -> None:
    bert: BertModel = build_model().bert
    lengths_B = torch.tensor(lengths)
    ids = torch.randint(VOCABULARY, (3, 11))
    segments = torch.randint(2, (3, 11))
    mask = padding_mask(lengths_B, 11)
    found = run_layers(bert, bert.embeddings(ids, segments), mask)
    wanted = bert(ids, mask[:, 0, 0].long(), segments).last_hidden_state
    for b, length in enumerate(lengths):
        torch.testing.assert_close(found[b, :length], wanted[b, :length], atol=1e-5, rtol=0)


def test_causal_mask_gives_the_output_of_a_bert_decoder() -> None:
    """With a source of one token the mask is causal."""
    bert: BertModel = build_model(is_decoder=True).bert
    ids = torch.randint(VOCABULARY, (2, 9))
    found = run_layers(bert, bert.embeddings(ids), unilm_mask(torch.tensor([1, 1]), torch.tensor([9, 9]), 9))
    wanted = bert(ids, use_cache=False).last_hidden_state
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_training_in_bfloat16_has_the_gradients_of_float32() -> None:
    """On a CPU, training in bfloat16 has an attention of its own."""
    bert: BertModel = build_model().bert
    ids = torch.randint(VOCABULARY, (3, 11))
    mask = unilm_mask(torch.tensor([6, 3, 8]), torch.tensor([11, 7, 9]), 11)
    hidden = bert.embeddings(ids).detach()
    direction = torch.randn_like(hidden)
    found: dict[bool, list[Tensor]] = {}
    for bfloat16 in (False, True):
        bert.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            output = run_layers(bert, hidden, mask)
        torch.autograd.backward((output.float() * direction).sum())
        named = bert.encoder.named_parameters()
        gradients = {name: weights.grad for name, weights in named if weights.grad is not None}
        queries = [gradient for name, gradient in gradients.items() if name.endswith("query.weight")]
        everything = torch.cat([gradient.flatten() for gradient in gradients.values()])
        found[bfloat16] = [output.detach().float(), everything, *queries]
    assert len(found[True]) == 2 + len(bert.encoder.layer)
    for exact, rounded in zip(found[False], found[True], strict=True):
        assert 0 < (rounded - exact).norm() < 0.05 * exact.norm()


def test_whole_rows_equal_bert_under_the_same_mask() -> None:
    """Segments, positions, mask, and the LM head: a model without relation layers agrees with transformers."""
    model = build_model(relation_layers=0)
    batch = build_batch([6, 9], [5, 2])
    tokens = batch["input_ids"].shape[1]
    segments = (torch.arange(tokens) >= batch["source_lengths"][:, None]).long()
    allowed = unilm_mask(batch["source_lengths"], batch["lengths"], tokens)
    additive = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
    hidden = model.bert(batch["input_ids"], additive, segments).last_hidden_state
    output = run(model, batch)
    torch.testing.assert_close(output.label_logits, model.extraction(hidden)[:, :9], atol=1e-5, rtol=0)
    wanted = model.cls(hidden).flatten(0, 1)[batch["target_rows"]]
    torch.testing.assert_close(output.token_logits, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("relation_layers", [0, 1, 2, 3])
@pytest.mark.parametrize("dropout", [0.0, 0.1])  # with 0.1, PyTorch uses another kernel in training
def test_source_rows_never_see_the_target(relation_layers: int, dropout: float) -> None:
    model = build_model(relation_layers=relation_layers, attention_probs_dropout_prob=dropout)
    batch = build_batch([8, 5, 12], [4, 6, 1])
    if dropout:
        model.train()
    torch.manual_seed(1)
    before = run(model, batch).label_logits
    target = torch.zeros(batch["input_ids"].numel(), dtype=torch.bool)
    target[batch["target_rows"]] = True
    changed = torch.where(target.view_as(batch["input_ids"]), batch["input_ids"] % 90 + 1, batch["input_ids"])
    assert not torch.equal(changed, batch["input_ids"])
    torch.manual_seed(1)
    after = run(model, {**batch, "input_ids": changed}).label_logits
    for b, source in enumerate(batch["source_lengths"].tolist()):
        assert torch.equal(before[b, :source], after[b, :source])


@pytest.mark.parametrize("relation_layers", [0, 1, 3])
def test_target_rows_never_see_later_ones(relation_layers: int) -> None:
    model = build_model(relation_layers=relation_layers)
    batch = build_batch([8], [6])
    before = run(model, batch).token_logits
    for position in range(6):
        changed = batch["input_ids"].clone()
        changed[0, 8 + position] = 50 if changed[0, 8 + position] != 50 else 51
        after = run(model, {**batch, "input_ids": changed}).token_logits
        assert torch.equal(before[:position], after[:position])
        assert not torch.isclose(before[position:], after[position:]).all(dim=1).any()


def test_without_relation_mask_the_source_sees_the_target() -> None:
    """Eq. 5-6 without a mask; therefore this mode has no cache."""
    model = build_model(relation_mask="none")
    batch = build_batch([8], [6])
    changed = batch["input_ids"].clone()
    changed[0, -1] = 50
    before, after = run(model, batch), run(model, {**batch, "input_ids": changed})
    assert not torch.isclose(before.label_logits, after.label_logits, atol=1e-3).all()
    assert not torch.isclose(before.token_logits[0], after.token_logits[0], atol=1e-3).all()


@pytest.mark.parametrize("relation_mask", ["backbone", "none"])
@pytest.mark.parametrize("relation_layers", [0, 2])
def test_a_document_does_not_depend_on_padding_and_batch(relation_layers: int, relation_mask: str) -> None:
    model = build_model(relation_layers=relation_layers, relation_mask=relation_mask).double()
    sources, targets = [9, 4, 14, 4], [3, 7, 1, 1]
    batch = build_batch(sources, targets)
    whole = run(model, batch)
    tokens = batch["input_ids"].shape[1]
    for b, (source, target) in enumerate(zip(sources, targets, strict=True)):
        length = source + target
        alone = model(
            batch["input_ids"][b : b + 1, :length],
            torch.tensor([source]),
            torch.tensor([length]),
            torch.arange(source, length),
        )
        torch.testing.assert_close(whole.label_logits[b, :source], alone.label_logits[0], atol=1e-9, rtol=0)
        mine = batch["target_rows"] // tokens == b
        torch.testing.assert_close(whole.token_logits[mine], alone.token_logits, atol=1e-9, rtol=0)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    def gradients(checkpointing: bool) -> list[Tensor]:
        model = build_model(relation_dropout=0.5, attention_probs_dropout_prob=0.1).train()
        model.gradient_checkpointing = checkpointing
        torch.manual_seed(11)  # for dropout
        output = run(model, build_batch([9, 5], [3, 6]))
        (output.label_logits.square().sum() + output.token_logits.square().sum()).backward()  # type: ignore[no-untyped-call]
        return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]

    plain, checkpointed = gradients(False), gradients(True)
    assert len(plain) == len(list(build_model().parameters()))
    assert all(torch.equal(*pair) for pair in zip(plain, checkpointed, strict=True))


def test_transformers_can_enable_gradient_checkpointing() -> None:
    model = build_model()
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)  # new, old name
    enable()
    assert model.gradient_checkpointing


def test_gradient_checkpointing_saves_memory() -> None:
    def kept(checkpointing: bool) -> int:
        model = build_model(num_hidden_layers=4).train()
        model.gradient_checkpointing = checkpointing
        sizes: list[int] = []

        def pack(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            run(model, build_batch([30, 30], [5, 5]))
        return sum(sizes)

    assert kept(True) < kept(False) / 2
