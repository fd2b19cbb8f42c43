"""BERT layers with UniLM's attention mask, for training, prediction and step-by-step decoding.

The functions here call the sub-modules of transformers' `BertModel` and replace only the attention. They use each
weight through the call of its module, because ZeRO-3 gathers sharded weights there.

Shape legend: B documents, T tokens of source and target (padded), S source tokens, K beams, n new tokens of a beam,
t tokens that a beam has emitted, A attention heads, D head size, H hidden size.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint
from transformers.models.bert.modeling_bert import BertLayer, BertModel

Pair = tuple[Tensor, Tensor]
"""Keys and values of a backbone layer, or P' and A' of a relation layer, [B, heads, ..., head size] each."""


def unilm_mask(source_lengths_B: Tensor, lengths_B: Tensor, tokens: int, slots_BT: Tensor | None = None) -> Tensor:
    """UniLM's attention mask for sequence-to-sequence models (Dong et al., 2019).

    Every row attends to the source. A target row also attends to earlier target rows (of its slot) and to itself.

    Args:
        source_lengths_B: int64 [B], lengths of the sources.
        lengths_B: int64 [B], lengths of source and target together.
        tokens: T.
        slots_BT: int64 [B, T], slot of each target row, -1 for other rows; None: the target is one sequence.

    Returns:
        Bool [B, 1, T (queries), T (keys)]. Padding rows also attend to some keys, so that no softmax is empty.
    """
    position_T = torch.arange(tokens, device=lengths_B.device)
    source_BT = position_T < source_lengths_B[:, None]
    real_BT = position_T < lengths_B[:, None]
    seen = position_T <= position_T[:, None]
    if slots_BT is not None:
        seen = seen & (slots_BT[:, :, None] == slots_BT[:, None, :])
    allowed_BTT = source_BT[:, None, :] | (~source_BT[:, :, None] & seen & real_BT[:, None, :])
    return allowed_BTT[:, None]


def slot_positions(source_lengths_B: Tensor, slots_BT: Tensor) -> Tensor:
    """Positions int64 [B, T] if the first row of each slot follows the source; for the arguments see `unilm_mask`."""
    position_T = torch.arange(slots_BT.shape[1], device=slots_BT.device)
    before_BT = (slots_BT[:, :, None] == slots_BT[:, None, :]).tril(-1).sum(2)
    return torch.where(slots_BT >= 0, source_lengths_B[:, None] + before_BT, position_T)


def padding_mask(lengths_B: Tensor, tokens: int) -> Tensor:
    """Bool [B, 1, 1, T]: every row attends to all tokens except padding."""
    return (torch.arange(tokens, device=lengths_B.device) < lengths_B[:, None])[:, None, None]


def backbone_layers(bert: BertModel) -> list[BertLayer]:
    """Layers of the backbone, lowest first."""
    return cast(list[BertLayer], list(bert.encoder.layer))


def run_layers(bert: BertModel, hidden_BTH: Tensor, mask: Tensor, *, checkpointing: bool = False) -> Tensor:
    """Run all layers over full sequences.

    Args:
        bert: the weights.
        hidden_BTH: [B, T, H], output of the embeddings.
        mask: bool, broadcastable to [B, 1, T, T]: True where the query attends to the key.
        checkpointing: gradient checkpointing: keep only each layer's inputs for the backward pass.

    Returns:
        Hidden states [B, T, H].
    """
    for layer in backbone_layers(bert):
        if checkpointing and bert.training:
            hidden_BTH = checkpoint(_layer_output, layer, hidden_BTH, mask, use_reentrant=False)
        else:
            hidden_BTH = _layer_output(layer, hidden_BTH, mask)
    return hidden_BTH


def _layer_output(layer: BertLayer, hidden_BTH: Tensor, mask: Tensor) -> Tensor:
    return run_layer(layer, hidden_BTH, mask)[0]


def run_layer(layer: BertLayer, hidden_BTH: Tensor, mask: Tensor) -> tuple[Tensor, Pair]:
    """Run one layer over full sequences; return its output [B, T, H], and its keys and values [B, A, T, D]."""
    attention = layer.attention.self
    query_BATD, key_BATD, value_BATD = _project(attention, hidden_BTH)
    context_BATD = _attend(query_BATD, key_BATD, value_BATD, mask, attention.dropout.p if attention.training else 0.0)
    return _finish(layer, hidden_BTH, context_BATD), (key_BATD, value_BATD)


def _attend(query_BATD: Tensor, key_BATD: Tensor, value_BATD: Tensor, mask: Tensor, dropout: float) -> Tensor:
    """Attention with a bool mask, context [B, A, T, D]."""
    training_on_cpu = query_BATD.device.type == "cpu" and query_BATD.requires_grad
    if not training_on_cpu or query_BATD.dtype != torch.bfloat16 or dropout:
        return scaled_dot_product_attention(query_BATD, key_BATD, value_BATD, mask, dropout)
    # PyTorch's fused attention on a CPU takes twice as long in bfloat16, most of it in the backward pass.
    bias = torch.zeros(mask.shape, dtype=query_BATD.dtype).masked_fill(~mask, -torch.inf)
    scores: Tensor = (query_BATD * query_BATD.shape[-1] ** -0.5) @ key_BATD.mT + bias
    return scores.softmax(dim=-1) @ value_BATD


def step_layer(
    layer: BertLayer, hidden_BKnH: Tensor, source: Pair, emitted: Pair, source_mask_BS: Tensor
) -> tuple[Tensor, Pair]:
    """Run one layer over the new rows of each beam.

    Args:
        layer: the weights.
        hidden_BKnH: [B, K, n, H], the rows after the t emitted ones.
        source: keys and values of the source [B, A, S, D].
        emitted: keys and values of the emitted tokens [B, A, K, t, D].
        source_mask_BS: bool [B, S], False for padding.

    Returns:
        The output [B, K, n, H], and keys and values of emitted and new rows [B, A, K, t + n, D].
    """
    attention = layer.attention.self
    query_BAKnD, key_BAKnD, value_BAKnD = _project(attention, hidden_BKnH)
    target = (torch.cat([emitted[0], key_BAKnD], dim=3), torch.cat([emitted[1], value_BAKnD], dim=3))
    context_BAKnD = attend_step(query_BAKnD, source, target, source_mask_BS, attention.attention_head_size**-0.5)
    return _finish(layer, hidden_BKnH, context_BAKnD), target


def attend_step(query_BAKnD: Tensor, source: Pair, target: Pair, source_mask_BS: Tensor, scale: float) -> Tensor:
    """Attention from each beam's new rows to the source and to the beam's target rows up to the query itself.

    A step has few queries and many keys, so reading the keys takes most of the time. The keys of the source are read
    once for all beams. A fused attention kernel would need them concatenated with the keys of every beam.

    Args:
        query_BAKnD: [B, A, K, n, D].
        source: keys and values of the source [B, A, S, D].
        target: keys and values of the beams' target rows [B, A, K, t + n, D]; the last n belong to the queries.
        source_mask_BS: bool [B, S], False for padding.
        scale: factor of the scores.

    Returns:
        Context [B, A, K, n, D].
    """
    new, target_tokens = query_BAKnD.shape[3], target[0].shape[3]
    scaled_BAKnD = query_BAKnD * scale
    on_source = (scaled_BAKnD.flatten(2, 3) @ source[0].mT).reshape(*query_BAKnD.shape[:4], -1)
    on_target = scaled_BAKnD @ target[0].mT
    later = torch.ones(new, target_tokens, dtype=torch.bool, device=on_target.device).triu(target_tokens - new + 1)
    scores = torch.cat(
        [
            on_source.masked_fill(~source_mask_BS[:, None, None, None], -torch.inf),
            on_target.masked_fill(later, -torch.inf),
        ],
        dim=-1,
    )
    weights = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(target[1].dtype)
    from_source = weights[..., :-target_tokens].flatten(2, 3) @ source[1]
    from_target = weights[..., -target_tokens:] @ target[1]
    return from_source.reshape(query_BAKnD.shape) + from_target


def _project(attention: Any, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value [B, A, ..., D] of hidden states [B, ..., H]."""
    query, key, value = (
        module(hidden).unflatten(-1, (-1, attention.attention_head_size)).movedim(-2, 1)
        for module in (attention.query, attention.key, attention.value)
    )
    return query, key, value


def _finish(layer: BertLayer, hidden: Tensor, context: Tensor) -> Tensor:
    """The rest of a layer after attention: context [B, A, ..., D] and layer input [B, ..., H] to output [B, ..., H]."""
    attended = layer.attention.output(context.movedim(1, -2).flatten(-2), hidden)
    output: Tensor = layer.output(layer.intermediate(attended), attended)
    return output
