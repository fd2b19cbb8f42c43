"""Token scores of selected attention heads of a transformers model.

Most types run with the attention function `_attend` (`FUSED_TYPES`). In a layer with a selected head, the function
computes that head's attention map, turns it into token scores (`scores.py`) and frees the map. The layer's output comes
from PyTorch's fused attention. The forward pass stops after the last layer with a selected head.

Types whose attention is more than a softmax of scaled products run with transformers' own eager attention
(`EAGER_TYPES`). It returns the maps of all heads and needs more time and memory. All other types are refused: some
would give wrong maps without an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoConfig,
    AutoModel,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from kpray.batches import BatchTokens, batches_by_length
from kpray.errors import UserError
from kpray.pretrained import choose_dtype, load_pretrained
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.scores import (
    HeadScores,
    Redistribution,
    Weighting,
    attention_maps,
    global_scores,
    proportional_scores,
)
from kpray.transfer import start_copy, to_device

ATTENTION_NAME = "kpray_samrank"
BATCH_TOKENS = BatchTokens(cpu=1024)
EAGER_BATCH_TOKENS = BatchTokens(cpu=1024, gpu=8192)  # the maps of all heads are in memory at once
# The tests compare each type with its eager maps, with a sliding window where it has one.
FUSED_TYPES = frozenset(
    {
        *("bert", "roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert", "data2vec-text"),
        *("electra", "ernie", "modernbert", "eurobert"),
        *("gpt2", "gpt_bigcode", "gpt_neox", "opt", "llama", "mistral", "qwen2", "qwen3", "phi", "phi3", "gemma"),
        *("gemma3_text", "smollm3", "starcoder2", "olmo", "olmo2", "cohere", "cohere2", "granite", "glm"),
    }
)
# These add position terms (MPNet, DeBERTa), limit the products (Gemma 2), or do not number their layers.
EAGER_TYPES = frozenset(
    {"mpnet", "deberta", "deberta-v2", "gemma2", "distilbert", "albert", "nomic_bert", "rembert", "megatron-bert"}
)


class _Finished(Exception):
    """Ends the forward pass after the last layer with a selected head."""


@dataclass
class _Collector:
    heads_by_layer: dict[int, Tensor]  # layer -> int64 [heads], both from 0
    real_BN: Tensor
    muted_BN: Tensor
    modes: Sequence[tuple[Redistribution, Weighting]]
    hidden: bool
    found: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)  # [B, H, N] and [modes, B, H, N]

    def add(self, layer: int, maps_BHNN: Tensor) -> None:
        """Score the tokens with the maps of a layer's selected heads."""
        global_BHN = global_scores(maps_BHNN, self.real_BN, self.muted_BN)
        proportional_MBHN = torch.stack(
            [proportional_scores(maps_BHNN, global_BHN, self.real_BN, *mode) for mode in self.modes]
        )
        self.found[layer] = (global_BHN, proportional_MBHN)


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
    """Attention function for transformers: query [B, H, N, D], key and value [B, key heads, N, D]."""
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
    kpray_collector.add(layer, maps_BHNN)
    if layer == max(kpray_collector.heads_by_layer) and not kpray_collector.hidden:
        raise _Finished
    if all_heads:  # reuse the maps instead of a second softmax
        values = value if queries_per_key == 1 else value[:, heads // queries_per_key]
        return (maps_BHNN.to(value.dtype) @ values).transpose(1, 2).contiguous(), None
    return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)


AttentionInterface.register(ATTENTION_NAME, _attend)
AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)


def load_architecture(model: str) -> PreTrainedConfig:
    """Load the configuration of a model, and check that SAMRank can read the attention of its type.

    Args:
        model: folder or hub id.

    Raises:
        UserError: the model cannot be found or read, or SAMRank cannot read its attention.
    """
    architecture: PreTrainedConfig = load_pretrained(AutoConfig, model)
    if architecture.is_encoder_decoder:
        raise UserError(f"{model!r} is an encoder-decoder model", where="model", fix="choose an encoder or a decoder")
    if architecture.model_type not in FUSED_TYPES | EAGER_TYPES:
        raise _unreadable(architecture)
    return architecture


class AttentionModel:
    """A transformers model, without the layers after the last selected head where its type allows that.

    Attributes:
        layers: number of layers.
        longest: maximum number of tokens in a sequence.
        causal: whether tokens attend only to earlier ones.
    """

    def __init__(self, config: SAMRankConfig, device: torch.device) -> None:
        """Load the model of a configuration.

        Raises:
            UserError: the model cannot be read, or lacks a head.
        """
        architecture = load_architecture(config.model)
        config.check_heads(architecture.num_hidden_layers, architecture.num_attention_heads)
        cut_layers(architecture, 1 + max(layer for layer, _ in config.layer_heads))
        dtype: str = "auto" if "/" in config.dtype else config.dtype  # bfloat16/float16 is float32 here, on a CPU
        if architecture.model_type == "deberta":
            dtype = "float32"  # its code mixes formats
        model = load_pretrained(
            AutoModel,
            config.model,
            config=architecture,
            attn_implementation=attention_name(architecture),
            dtype=choose_dtype(dtype, device),
            use_safetensors=True,
        )
        self.model: PreTrainedModel = model.to(device).eval()
        self.layers: int = architecture.num_hidden_layers
        self.longest: int = architecture.max_position_embeddings - _unused_positions(self.model)
        self.causal = any(getattr(module, "is_causal", False) for module in self.model.modules())
        eager = architecture.model_type in EAGER_TYPES
        self._batch_tokens = EAGER_BATCH_TOKENS if eager else BATCH_TOKENS

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """Format of the weights."""
        return self.model.dtype

    def head_scores(
        self,
        sequences: Sequence[np.ndarray],
        heads: Sequence[tuple[int, int]],
        *,
        batch_tokens: int | None,
        modes: Sequence[tuple[Redistribution, Weighting]],
        hidden: bool = False,
    ) -> list[HeadScores]:
        """See `HeadModel`."""
        return head_scores(
            self.model,
            sequences,
            heads,
            # In causal models most attention goes to the first token, in other models to the last, [SEP] (Sec. 3.3).
            muted=0 if self.causal else -1,
            batch_tokens=self._batch_tokens.choose(batch_tokens, self.device),
            modes=modes,
            hidden=hidden,
        )


def _unused_positions(model: PreTrainedModel) -> int:
    """Number of position embeddings before that of the first token (RoBERTa, MPNet): the padding's and those below."""
    tables = [module for name, module in model.named_modules() if name.endswith("position_embeddings")]
    return max(
        (table.padding_idx + 1 for table in tables if getattr(table, "padding_idx", None) is not None), default=0
    )


def cut_layers(architecture: PreTrainedConfig, layers: int) -> None:
    """Let a model be loaded without its last layers, where its type allows that.

    Args:
        architecture: configuration of the model; it is changed.
        layers: number of layers to keep.
    """
    if architecture.model_type in FUSED_TYPES:
        architecture.num_hidden_layers = layers


def attention_name(architecture: PreTrainedConfig) -> str:
    """Value of `attn_implementation` with which `head_scores` can read a model."""
    return ATTENTION_NAME if architecture.model_type in FUSED_TYPES else "eager"


def _unreadable(architecture: PreTrainedConfig) -> UserError:
    return UserError(
        f"SAMRank cannot read the attention of {architecture.model_type} models",
        where="model",
        fix="choose a model of another type, such as BERT, RoBERTa, MPNet, DeBERTa, GPT-2 or Llama",
    )


@torch.inference_mode()
def head_scores(
    model: PreTrainedModel,
    sequences: Sequence[np.ndarray],
    heads: Sequence[tuple[int, int]],
    *,
    muted: int,
    batch_tokens: int,
    modes: Sequence[tuple[Redistribution, Weighting]],
    hidden: bool = False,
) -> list[HeadScores]:
    """Score the tokens of each sequence with each head.

    Args:
        model: a transformers model loaded with `attn_implementation=attention_name(config)`.
        sequences: int64 [tokens] token ids each, special tokens included.
        heads: (layer, head) pairs, both counted from 0. The result has the same order.
        muted: position of the token whose global score is set to 0; -1 is the last one.
        batch_tokens: maximum number of tokens in one forward pass, padding included.
        modes: ways to redistribute global scores, at least one. All modes use the same maps.
        hidden: also return hidden states. The model then runs to its end.

    Returns:
        One `HeadScores` per sequence, in order, special tokens included.

    Raises:
        UserError: the model does not call the registered attention function.
    """
    device = model.device
    by_layer: dict[int, list[int]] = {}
    for layer, head in heads:
        by_layer.setdefault(layer, []).append(head)
    by_layer = {layer: sorted(set(found)) for layer, found in sorted(by_layer.items())}
    rows = {head: row for row, head in enumerate((layer, head) for layer, found in by_layer.items() for head in found)}
    heads_by_layer = {layer: torch.tensor(found, device=device) for layer, found in by_layer.items()}
    order = torch.tensor([rows[head] for head in heads], device=device)

    waiting: list[tuple[list[int], list[Callable[[], np.ndarray]]]] = []
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
        collector = _Collector(heads_by_layer, real_BN, muted_BN, modes, hidden)
        eager = model.config.model_type in EAGER_TYPES  # without a mask, DeBERTa would warn about padding
        padded = min(lengths) < max(lengths)
        inputs = {
            "input_ids": to_device(torch.from_numpy(ids), device),
            "attention_mask": real_BN.long() if padded or eager else None,
        }
        if eager:
            output = model(**inputs, output_attentions=True)
            maps = output.attentions
            for layer, selected in heads_by_layer.items():
                collector.add(layer, maps[layer][:, selected].float())
        else:
            with suppress(_Finished):
                output = model(**inputs, use_cache=False, kpray_collector=collector)
        if len(collector.found) < len(heads_by_layer):
            raise _unreadable(model.config)
        global_BHN = torch.cat([collector.found[layer][0] for layer in heads_by_layer], dim=1)[:, order]
        proportional_MBHN = torch.cat([collector.found[layer][1] for layer in heads_by_layer], dim=2)[:, :, order]
        copies = [start_copy(global_BHN), start_copy(proportional_MBHN)]
        if hidden:
            copies.append(start_copy(output.last_hidden_state.float()))
        waiting.append((batch, copies))

    results: dict[int, HeadScores] = {}
    for batch, copies in waiting:  # all batches are already on the GPU
        global_, proportional, *states = (wait() for wait in copies)
        for row, index in enumerate(batch):
            length = len(sequences[index])
            of_row = [each[row, :length] for each in states]
            results[index] = HeadScores(global_[row, :, :length], proportional[:, row, :, :length], *of_row)
    return [results[index] for index in range(len(sequences))]
