"""Token scores of chosen heads of any transformers model, without computing what they do not need.

The model runs with an attention function of ours. In a layer with a chosen head it takes that head's queries and keys,
turns its map into token scores (`scores.py`) at once and lets the map go; then it goes on with PyTorch's fused
attention. After the last layer with a chosen head the forward pass stops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from kpray.batches import batches_by_length
from kpray.errors import UserError
from kpray.samrank.scores import Redistribution, Weighting, attention_maps, global_scores, proportional_scores
from kpray.transfer import start_copy, to_device

ATTENTION_NAME = "kpray_samrank"


class _Finished(Exception):
    """Leaves the forward pass after the last layer that has a chosen head."""


@dataclass
class _Collector:
    heads_by_layer: dict[int, Tensor]  # layer -> int64 [heads], both from 0
    real_BN: Tensor
    muted_BN: Tensor
    modes: Sequence[tuple[Redistribution, Weighting]]
    found: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)  # [B, H, N] and [modes, B, H, N]


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    kpray_collector: _Collector | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """An attention function of transformers: query [B, H, N, D], key and value [B, key heads, N, D]."""
    layer = getattr(module, "layer_idx", None)
    if kpray_collector is None or layer not in kpray_collector.heads_by_layer:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    heads = kpray_collector.heads_by_layer[layer]
    all_heads = len(heads) == query.shape[1]
    queries_per_key = query.shape[1] // key.shape[1]  # more than one in grouped-query attention (Llama)
    maps_BHNN = attention_maps(
        query if all_heads else query[:, heads],
        key if all_heads and queries_per_key == 1 else key[:, heads // queries_per_key],
        query.shape[-1] ** -0.5 if scaling is None else scaling,
        attention_mask,
        bool(getattr(module, "is_causal", False)),
    )
    global_BHN = global_scores(maps_BHNN, kpray_collector.real_BN, kpray_collector.muted_BN)
    proportional_MBHN = torch.stack(
        [proportional_scores(maps_BHNN, global_BHN, kpray_collector.real_BN, *mode) for mode in kpray_collector.modes]
    )
    kpray_collector.found[layer] = (global_BHN, proportional_MBHN)
    if layer == max(kpray_collector.heads_by_layer):
        raise _Finished
    if all_heads:  # the maps are there already: no second softmax
        values = value if queries_per_key == 1 else value[:, heads // queries_per_key]
        return (maps_BHNN.to(value.dtype) @ values).transpose(1, 2).contiguous(), None
    return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)


AttentionInterface.register(ATTENTION_NAME, _attend)
AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)


@dataclass(frozen=True, slots=True)
class HeadScores:
    """Scores of one segment's tokens.

    Attributes:
        global_: float32 [heads, tokens], Eq. 2.
        proportional: float32 [modes, heads, tokens], Eq. 5 in each of the modes asked for.
    """

    global_: np.ndarray
    proportional: np.ndarray


@torch.inference_mode()
def head_scores(
    model: PreTrainedModel,
    sequences: Sequence[np.ndarray],
    heads: Sequence[tuple[int, int]],
    *,
    muted: int,
    batch_tokens: int,
    modes: Sequence[tuple[Redistribution, Weighting]],
) -> list[HeadScores]:
    """Score the tokens of each sequence by each head.

    Args:
        model: a transformers model loaded with `attn_implementation=ATTENTION_NAME`.
        sequences: int64 [tokens] token ids each, special tokens included.
        heads: (layer, head), both from 0, in the order wanted in the result.
        muted: position of the token whose global score is set to 0; -1 is the last one.
        batch_tokens: the most tokens of one forward pass, padding included.
        modes: ways to hand out global scores, at least one; all are read off the same maps.

    Returns:
        One `HeadScores` per sequence, in order, special tokens included.

    Raises:
        UserError: the model does not compute its attention by the function we gave it.
    """
    device = model.device
    by_layer: dict[int, list[int]] = {}
    for layer, head in heads:
        by_layer.setdefault(layer, []).append(head)
    by_layer = {layer: sorted(set(found)) for layer, found in sorted(by_layer.items())}
    rows = {head: row for row, head in enumerate((layer, head) for layer, found in by_layer.items() for head in found)}
    heads_by_layer = {layer: torch.tensor(found, device=device) for layer, found in by_layer.items()}
    order = torch.tensor([rows[head] for head in heads], device=device)

    waiting: list[tuple[list[int], Callable[[], np.ndarray], Callable[[], np.ndarray]]] = []
    for batch in batches_by_length([len(sequence) for sequence in sequences], batch_tokens):
        lengths = [len(sequences[index]) for index in batch]
        ids = np.zeros((len(batch), max(lengths)), dtype=np.int64)
        real = np.zeros_like(ids, dtype=np.float32)
        muted_positions = np.zeros_like(real)
        for row, (index, length) in enumerate(zip(batch, lengths, strict=True)):
            ids[row, :length] = sequences[index]
            real[row, :length] = 1
            muted_positions[row, muted % length] = 1
        real_BN = to_device(torch.from_numpy(real), device)
        muted_BN = to_device(torch.from_numpy(muted_positions), device)
        collector = _Collector(heads_by_layer, real_BN, muted_BN, modes)
        padded = min(lengths) < max(lengths)
        with suppress(_Finished):  # the way out of `_attend` once the last chosen head is scored
            model(
                input_ids=to_device(torch.from_numpy(ids), device),
                attention_mask=real_BN.long() if padded else None,
                use_cache=False,
                kpray_collector=collector,
            )
        if len(collector.found) < len(heads_by_layer):
            raise UserError(
                f"the attention of {model.config.model_type} models cannot be read",
                where="model",
                fix="take one of BERT, GPT-2 or Llama type",
            )
        global_BHN = torch.cat([collector.found[layer][0] for layer in heads_by_layer], dim=1)[:, order]
        proportional_MBHN = torch.cat([collector.found[layer][1] for layer in heads_by_layer], dim=2)[:, :, order]
        waiting.append((batch, start_copy(global_BHN), start_copy(proportional_MBHN)))

    results: dict[int, HeadScores] = {}
    for batch, wait_global, wait_proportional in waiting:  # by now a GPU has been given all batches
        global_, proportional = wait_global(), wait_proportional()
        for row, index in enumerate(batch):
            length = len(sequences[index])
            results[index] = HeadScores(global_[row, :, :length], proportional[:, row, :, :length])
    return [results[index] for index in range(len(sequences))]
