"""The relation layer compared with loops over Eq. 3-6."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kpray.unikeyphrase import relation
from kpray.unikeyphrase.backbone import Pair, padding_mask, unilm_mask
from kpray.unikeyphrase.relation import RelationLayer
from tests.unikeyphrase.random_model import build_batch, build_model

HIDDEN, EPS = 8, 1e-5


def build_layer(scale: float = 1.0, dropout: float = 0.0) -> RelationLayer:
    torch.manual_seed(5)
    layer = RelationLayer(HIDDEN, scale, dropout, EPS).double()
    for parameter in layer.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return layer.eval()


def normalized(row: list[float], norm: torch.nn.LayerNorm) -> list[float]:
    mean = sum(row) / len(row)
    variance = sum((value - mean) ** 2 for value in row) / len(row)
    weight, bias = norm.weight.tolist(), norm.bias.tolist()
    return [(value - mean) / math.sqrt(variance + EPS) * w + b for value, w, b in zip(row, weight, bias, strict=True)]


def specialized(row: list[float], linear: torch.nn.Linear, norm: torch.nn.LayerNorm) -> list[float]:
    """Eq. 3 or 4 for one token."""
    pairs = zip(linear.weight.tolist(), linear.bias.tolist(), strict=True)
    added = [max(0.0, sum(w * x for w, x in zip(weights, row, strict=True)) + bias) for weights, bias in pairs]
    return normalized([x + y for x, y in zip(row, added, strict=True)], norm)


def attended(query: list[float], others: list[list[float]], scale: float, norm: torch.nn.LayerNorm) -> list[float]:
    """Eq. 5 or 6 for one token, where `others` are the rows that it attends to."""
    scores = [math.exp(scale * sum(q * k for q, k in zip(query, other, strict=True))) for other in others]
    mixed = [sum(s / sum(scores) * other[i] for s, other in zip(scores, others, strict=True)) for i in range(HIDDEN)]
    return normalized([q + m for q, m in zip(query, mixed, strict=True)], norm)


def naive_layer(
    layer: RelationLayer, extraction: list[list[float]], generation: list[list[float]], source: int, seen: str
) -> tuple[list[list[float]], list[list[float]]]:
    """Eq. 3-6 for one document without padding."""
    P = [specialized(row, layer.extraction_linear, layer.extraction_norm) for row in extraction]
    A = [specialized(row, layer.generation_linear, layer.generation_norm) for row in generation]
    ends = [len(P) if seen == "none" else source if i < source else i + 1 for i in range(len(P))]
    return (
        [attended(P[i], A[:end], layer.scale, layer.extraction_output_norm) for i, end in enumerate(ends)],
        [attended(A[i], P[:end], layer.scale, layer.generation_output_norm) for i, end in enumerate(ends)],
    )


@pytest.mark.parametrize("scale", [1.0, HIDDEN**-0.5])
@pytest.mark.parametrize("seen", ["backbone", "none"])
def test_layer_agrees_with_the_equations(seen: str, scale: float) -> None:
    layer = build_layer(scale)
    source_lengths, lengths = torch.tensor([4, 2, 3]), torch.tensor([7, 3, 3])
    extraction, generation = torch.randn(2, 3, 7, HIDDEN, dtype=torch.float64)
    mask = unilm_mask(source_lengths, lengths, 7) if seen == "backbone" else padding_mask(lengths, 7)
    found_P, found_A = layer(extraction, generation, mask)
    for b in range(3):
        end = int(lengths[b])
        wanted_P, wanted_A = naive_layer(
            layer, extraction[b, :end].tolist(), generation[b, :end].tolist(), int(source_lengths[b]), seen
        )
        torch.testing.assert_close(found_P[b, :end], torch.tensor(wanted_P, dtype=torch.float64), atol=1e-8, rtol=0)
        torch.testing.assert_close(found_A[b, :end], torch.tensor(wanted_A, dtype=torch.float64), atol=1e-8, rtol=0)


@pytest.mark.parametrize("seen", ["backbone", "none"])
def test_stacked_layers_agree_with_the_equations(seen: str) -> None:
    """The whole model: P^0 = A^0 = H, L layers, the source rows of P and the target rows of A (Eq. 7-8)."""
    model = build_model(relation_layers=3, relation_mask=seen, hidden_size=HIDDEN, layer_norm_eps=EPS).double()
    bare = build_model(relation_layers=0, relation_mask=seen, hidden_size=HIDDEN, layer_norm_eps=EPS).double()
    bare.load_state_dict(model.state_dict(), strict=False)
    batch = build_batch([6], [4])
    inputs = [batch[name] for name in ("input_ids", "source_lengths", "lengths", "target_rows")]
    rows: list[Tensor] = []
    bare.extraction.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0][0]))
    bare.cls.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0]))
    bare(*inputs)
    P = A = torch.cat(rows).tolist()
    for layer in model.relation:
        assert isinstance(layer, RelationLayer)
        P, A = naive_layer(layer, P, A, 6, seen)
    output = model(*inputs)
    wanted_labels = model.extraction(torch.tensor(P[:6], dtype=torch.float64))
    wanted_tokens = model.cls(torch.tensor(A[6:], dtype=torch.float64))
    torch.testing.assert_close(output.label_logits[0], wanted_labels, atol=1e-8, rtol=0)
    torch.testing.assert_close(output.token_logits, wanted_tokens, atol=1e-8, rtol=0)


def test_gradients_agree_with_finite_differences() -> None:
    layer = build_layer(0.5)
    mask = unilm_mask(torch.tensor([2, 3]), torch.tensor([4, 3]), 4)
    rows = [torch.randn(2, 4, HIDDEN, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda *inputs: layer(*inputs, mask), rows)
    weights = [parameter.detach().clone().requires_grad_() for parameter in layer.parameters()]
    names = [name for name, _ in layer.named_parameters()]

    def of_weights(*weights: Tensor) -> tuple[Tensor, Tensor]:
        inputs = (rows[0].detach(), rows[1].detach(), mask)
        found: tuple[Tensor, Tensor] = torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), inputs)
        return found

    assert torch.autograd.gradcheck(of_weights, weights)


def test_dropout_acts_only_in_training_and_on_the_outputs() -> None:
    layer = build_layer(dropout=0.5)
    rows = torch.randn(2, 200, HIDDEN, dtype=torch.float64)
    mask = padding_mask(torch.tensor([200, 200]), 200)
    kept = layer(rows, rows, mask)
    layer.train()
    for dropped, whole in zip(layer(rows, rows, mask), kept, strict=True):
        is_zero = dropped == 0
        assert 0.4 < is_zero.double().mean() < 0.6
        torch.testing.assert_close(dropped[~is_zero], 2 * whole[~is_zero])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_co_attention_is_computed_in_float32(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.dtype] = []

    def watched(scores: Tensor, unseen: Tensor) -> Tensor:
        weights = weights_of(scores, unseen)
        seen.extend((scores.dtype, weights.dtype))
        return weights

    def watched_add(self: RelationLayer, specific: Pair, attended: Pair) -> Pair:
        seen.extend(tensor.dtype for tensor in attended)
        return add(self, specific, attended)

    weights_of, add = relation._weights, RelationLayer._add
    monkeypatch.setattr(relation, "_weights", watched)
    monkeypatch.setattr(RelationLayer, "_add", watched_add)
    layer = build_layer().to(dtype)
    rows, mask = torch.randn(1, 5, HIDDEN).to(dtype), padding_mask(torch.tensor([5]), 5)
    assert [found.dtype for found in layer(rows, rows, mask)] == [dtype, dtype]
    with torch.autocast("cpu", torch.bfloat16):
        layer.float()(rows.float(), rows.float(), mask)
    assert seen == [torch.float32] * 12
