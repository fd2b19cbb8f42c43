"""BERT's layers under UniLM's attention mask: one implementation for training, prediction and stepwise decoding.

The weights are those of transformers' `BertModel`, whose sub-modules are called here; only attention itself is ours.
Every weight is used through its module's call, since ZeRO-3 gathers sharded weights there.

Shape legend: B documents, T tokens of source and target (padded), S source tokens, K beams, n new tokens of a beam,
t tokens it has emitted, A attention heads, D head size, H hidden size.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint
from transformers.models.bert.modeling_bert import BertLayer, BertModel

Pair = tuple[Tensor, Tensor]
"""Keys and values of a backbone layer, or P' and A' of a relation layer, with [B, heads, ..., head size] each."""


def unilm_mask(source_lengths_B: Tensor, lengths_B: Tensor, tokens: int) -> Tensor:
    """Which keys a row may see: every row the source, a target row also the target up to itself (Dong et al., 2019).

    Args:
        source_lengths_B: int64 [B].
        lengths_B: int64 [B], of source and target together.
        tokens: T.

    Returns:
        Bool [B, 1, T, T], queries before keys. Rows of padding see something too, so that no softmax is empty.
    """
    position_T = torch.arange(tokens, device=lengths_B.device)
    source_BT = position_T < source_lengths_B[:, None]
    real_BT = position_T < lengths_B[:, None]
    earlier_TT = position_T <= position_T[:, None]
    allowed_BTT = source_BT[:, None, :] | (~source_BT[:, :, None] & earlier_TT & real_BT[:, None, :])
    return allowed_BTT[:, None]


def padding_mask(lengths_B: Tensor, tokens: int) -> Tensor:
    """Bool [B, 1, 1, T]: every row sees every token that is no padding."""
    return (torch.arange(tokens, device=lengths_B.device) < lengths_B[:, None])[:, None, None]


def backbone_layers(bert: BertModel) -> list[BertLayer]:
    """From the lowest to the highest."""
    return cast(list[BertLayer], list(bert.encoder.layer))


def run_layers(bert: BertModel, hidden_BTH: Tensor, mask: Tensor, *, checkpointing: bool = False) -> Tensor:
    """All layers over whole rows.

    Args:
        bert: the weights.
        hidden_BTH: [B, T, H] from its embeddings.
        mask: bool, broadcastable to [B, 1, T, T]: the keys that a query may see.
        checkpointing: keep only the inputs of each layer for the backward pass.

    Returns:
        [B, T, H].
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
    """One layer over whole rows: its output [B, T, H], and its keys and values [B, A, T, D]."""
    attention = layer.attention.self
    query_BATD, key_BATD, value_BATD = _project(attention, hidden_BTH)
    context_BATD = scaled_dot_product_attention(
        query_BATD, key_BATD, value_BATD, mask, attention.dropout.p if attention.training else 0.0
    )
    return _finish(layer, hidden_BTH, context_BATD), (key_BATD, value_BATD)


def step_layer(
    layer: BertLayer, hidden_BKnH: Tensor, source: Pair, emitted: Pair, source_mask_BS: Tensor
) -> tuple[Tensor, Pair]:
    """One layer over the new rows of each beam.

    Args:
        layer: the weights.
        hidden_BKnH: [B, K, n, H], rows that follow the t emitted ones.
        source: keys and values [B, A, S, D].
        emitted: keys and values [B, A, K, t, D].
        source_mask_BS: bool [B, S], False where the source is padded.

    Returns:
        The output [B, K, n, H], and keys and values [B, A, K, t + n, D] of emitted and new rows.
    """
    attention = layer.attention.self
    query_BAKnD, key_BAKnD, value_BAKnD = _project(attention, hidden_BKnH)
    own = (torch.cat([emitted[0], key_BAKnD], dim=3), torch.cat([emitted[1], value_BAKnD], dim=3))
    context_BAKnD = attend_step(query_BAKnD, source, own, source_mask_BS, attention.attention_head_size**-0.5)
    return _finish(layer, hidden_BKnH, context_BAKnD), own


def attend_step(query_BAKnD: Tensor, source: Pair, own: Pair, source_mask_BS: Tensor, scale: float) -> Tensor:
    """Attention of each beam's new rows over its document's source and its own rows up to the row itself.

    The few queries of a step meet many keys, so what counts is reading these: the source's are read once for all beams,
    and are not joined with the beams' own, as the fused kernel would need them.

    Args:
        query_BAKnD: [B, A, K, n, D].
        source: keys and values [B, A, S, D].
        own: keys and values [B, A, K, t + n, D], of which the last n are the queries' own.
        source_mask_BS: bool [B, S], False where the source is padded.
        scale: factor of the scores.

    Returns:
        [B, A, K, n, D].
    """
    new, own_tokens = query_BAKnD.shape[3], own[0].shape[3]
    scaled_BAKnD = query_BAKnD * scale
    on_source = (scaled_BAKnD.flatten(2, 3) @ source[0].mT).reshape(*query_BAKnD.shape[:4], -1)
    on_own = scaled_BAKnD @ own[0].mT
    later = torch.ones(new, own_tokens, dtype=torch.bool, device=on_own.device).triu(own_tokens - new + 1)
    scores = torch.cat(
        [
            on_source.masked_fill(~source_mask_BS[:, None, None, None], -torch.inf),
            on_own.masked_fill(later, -torch.inf),
        ],
        dim=-1,
    )
    weights = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(own[1].dtype)
    from_source = weights[..., :-own_tokens].flatten(2, 3) @ source[1]
    from_own = weights[..., -own_tokens:] @ own[1]
    return from_source.reshape(query_BAKnD.shape) + from_own


def _project(attention: Any, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value [B, A, ..., D] of hidden states [B, ..., H]."""
    query, key, value = (
        module(hidden).unflatten(-1, (-1, attention.attention_head_size)).movedim(-2, 1)
        for module in (attention.query, attention.key, attention.value)
    )
    return query, key, value


def _finish(layer: BertLayer, hidden: Tensor, context: Tensor) -> Tensor:
    """A layer after attention: context [B, A, ..., D] and the layer's input [B, ..., H] to its output [B, ..., H]."""
    attended = layer.attention.output(context.movedim(1, -2).flatten(-2), hidden)
    output: Tensor = layer.output(layer.intermediate(attended), attended)
    return output
