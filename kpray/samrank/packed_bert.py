"""BERT on a CPU for SAMRank: documents without padding, and of the last layer only what the selected heads need.

The documents of a batch are packed: all matrix products but those of attention take the tokens of all documents at
once, and no token is padding. transformers' BERT is the reference, with which the tests compare this one. It also runs
where this one does not: on GPUs and for other types of models.

Shape legend: T tokens of all documents, N tokens of one document, A heads, D head size, H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn.functional import embedding, gelu, layer_norm, linear, scaled_dot_product_attention

from kpray.samrank.scores import (
    HeadScores,
    Redistribution,
    Weighting,
    attention_maps,
    global_scores,
    proportional_scores,
)

BATCH_TOKENS = 1024


class _Layer(NamedTuple):
    """Weights of a layer; those of query, key and value are in one matrix, [3 H, H]."""

    projection: Tensor
    projection_bias: Tensor
    attended: tuple[Tensor, Tensor, Tensor, Tensor]  # weight, bias, and weight and bias of the normalization
    intermediate: tuple[Tensor, Tensor]
    output: tuple[Tensor, Tensor, Tensor, Tensor]


class PackedBert:
    """The first layers of a BERT, in evaluation mode.

    Attributes:
        layers: number of layers.
        longest: maximum number of tokens in a sequence.
        device: the CPU.
    """

    device = torch.device("cpu")

    def __init__(self, weights: Mapping[str, Tensor], config: Mapping[str, Any], layers: int) -> None:
        """Take the weights of a model.

        Args:
            weights: from `model.safetensors`, without the prefix `bert.`.
            config: from `config.json`.
            layers: number of layers to keep.

        Raises:
            KeyError: a weight is missing.
        """
        self.layers = layers
        self.longest: int = config["max_position_embeddings"]
        self._eps: float = config["layer_norm_eps"]
        self._head_size: int = config["hidden_size"] // config["num_attention_heads"]
        start = "embeddings."
        self._words = weights[f"{start}word_embeddings.weight"]
        segment = weights[f"{start}token_type_embeddings.weight"][0]
        self._positions = weights[f"{start}position_embeddings.weight"] + segment
        self._normalization = weights[f"{start}LayerNorm.weight"], weights[f"{start}LayerNorm.bias"]
        self._layers = [self._layer(weights, f"encoder.layer.{layer}.") for layer in range(layers)]

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], layers: int, dtype: torch.dtype) -> PackedBert | None:
        """Read the weights of a model folder; None if their names or shapes are unusual.

        Args:
            folder: the folder.
            config: from `kpray.samrank.bert_config`.
            layers: number of layers to keep.
            dtype: format of the weights.
        """
        kept = ("embeddings.", *(f"encoder.layer.{layer}." for layer in range(layers)))
        try:
            with safe_open(folder / "model.safetensors", "pt") as file:
                stored = {name.removeprefix("bert."): name for name in file.keys()}  # noqa: SIM118, it is no dict
                weights = {
                    name: file.get_tensor(path).to(dtype) for name, path in stored.items() if name.startswith(kept)
                }
            return cls(weights, config, layers) if _shapes_are_right(weights, config, layers) else None
        except (SafetensorError, KeyError):  # transformers knows older names, and says what is wrong
            return None

    @property
    def dtype(self) -> torch.dtype:
        """Format of the weights."""
        return self._words.dtype

    def _layer(self, weights: Mapping[str, Tensor], start: str) -> _Layer:
        def pair(name: str) -> tuple[Tensor, Tensor]:
            return weights[f"{start}{name}.weight"], weights[f"{start}{name}.bias"]

        three = [pair(f"attention.self.{name}") for name in ("query", "key", "value")]
        return _Layer(
            torch.cat([weight for weight, _ in three]),
            torch.cat([bias for _, bias in three]),
            (*pair("attention.output.dense"), *pair("attention.output.LayerNorm")),
            pair("intermediate.dense"),
            (*pair("output.dense"), *pair("output.LayerNorm")),
        )

    @torch.inference_mode()
    def head_scores(
        self,
        sequences: Sequence[np.ndarray],
        heads: Sequence[tuple[int, int]],
        *,
        batch_tokens: int | None,
        modes: Sequence[tuple[Redistribution, Weighting]],
        hidden: bool = False,
    ) -> list[HeadScores]:
        """See `kpray.samrank.models.HeadModel`."""
        results: list[HeadScores] = []
        first = 0
        while first < len(sequences):
            end, tokens = first + 1, len(sequences[first])
            while end < len(sequences) and tokens + len(sequences[end]) <= (batch_tokens or BATCH_TOKENS):
                tokens += len(sequences[end])
                end += 1
            results += self._score(sequences[first:end], heads, modes, hidden)
            first = end
        return results

    def _score(
        self,
        sequences: Sequence[np.ndarray],
        heads: Sequence[tuple[int, int]],
        modes: Sequence[tuple[Redistribution, Weighting]],
        hidden: bool,
    ) -> list[HeadScores]:
        """Scores of one batch."""
        lengths = [len(ids) for ids in sequences]
        ids_T = torch.from_numpy(np.concatenate(sequences))
        positions_T = torch.cat([torch.arange(length) for length in lengths])
        states_TH = embedding(ids_T, self._words) + embedding(positions_T, self._positions)
        states_TH = self._normalize(states_TH, *self._normalization)
        last = self.layers - 1
        found: list[dict[tuple[int, int], tuple[Tensor, Tensor]]] = [{} for _ in sequences]
        for number, layer in enumerate(self._layers):
            selected = sorted({head for of_layer, head in heads if of_layer == number})
            whole = number < last or hidden
            query, key, value = self._project(layer, states_TH, None if whole else selected)
            contexts = []
            of_documents = (torch.split(part, lengths, 1) for part in (query, key, value))
            for document, (query_AND, key_AND, value_AND) in enumerate(zip(*of_documents, strict=True)):
                if selected:
                    chosen = selected if whole else slice(None)
                    scores = _scores(query_AND[chosen], key_AND[chosen], self._head_size**-0.5, modes)
                    for row, head in enumerate(selected):
                        found[document][number, head] = (scores[0][row], scores[1][:, row])
                if whole:
                    contexts.append(_attend(query_AND, key_AND, value_AND))
            if whole:
                states_TH = self._finish(layer, states_TH, torch.cat(contexts))
        states = [part.float().numpy() if hidden else None for part in torch.split(states_TH, lengths)]
        return [
            HeadScores(
                torch.stack([of_document[head][0] for head in heads]).numpy(),
                torch.stack([of_document[head][1] for head in heads], dim=1).numpy(),
                of_states,
            )
            for of_document, of_states in zip(found, states, strict=True)
        ]

    def _project(self, layer: _Layer, states_TH: Tensor, heads: Sequence[int] | None) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of all heads, or query and key of some, [A, T, D] each; then there is no value."""
        weight, bias = layer.projection, layer.projection_bias
        if heads is not None:
            hidden = states_TH.shape[1]
            rows = torch.cat(
                [
                    torch.arange(part + head * self._head_size, part + (head + 1) * self._head_size)
                    for part in (0, hidden)
                    for head in heads
                ]
            )
            weight, bias = weight[rows], bias[rows]
        parts = 2 if heads is not None else 3
        projected = linear(states_TH, weight, bias).reshape(len(states_TH), parts, -1, self._head_size)
        query, key, *value = projected.permute(1, 2, 0, 3)
        return query, key, value[0] if value else query

    def _finish(self, layer: _Layer, states_TH: Tensor, context_TH: Tensor) -> Tensor:
        """The rest of a layer after attention."""
        weight, bias, *norm = layer.attended
        states_TH = self._normalize(states_TH + linear(context_TH, weight, bias), *norm)
        intermediate = gelu(linear(states_TH, *layer.intermediate))
        weight, bias, *norm = layer.output
        return self._normalize(states_TH + linear(intermediate, weight, bias), *norm)

    def _normalize(self, states_TH: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return layer_norm(states_TH, weight.shape, weight, bias, self._eps)


def _shapes_are_right(weights: Mapping[str, Tensor], config: Mapping[str, Any], layers: int) -> bool:
    """Whether the matrices have the sizes that config.json names."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    expected = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
    }
    for layer in range(layers):
        start = f"encoder.layer.{layer}."
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            expected[f"{start}{name}.weight"] = (hidden, hidden)
        expected[f"{start}intermediate.dense.weight"] = (inner, hidden)
        expected[f"{start}output.dense.weight"] = (hidden, inner)
    heads_fit = hidden % config["num_attention_heads"] == 0
    return heads_fit and all(weights[name].shape == shape for name, shape in expected.items())


def _attend(query_AND: Tensor, key_AND: Tensor, value_AND: Tensor) -> Tensor:
    """Output of all heads for one document, [N, A * D]."""
    if query_AND.dtype == torch.float32:
        # Without the batch axis, PyTorch would not take its fused attention. In bfloat16, it was not measured.
        context_AND = scaled_dot_product_attention(query_AND[None], key_AND[None], value_AND[None])[0]
    else:
        maps_ANN = ((query_AND * query_AND.shape[-1] ** -0.5) @ key_AND.mT).softmax(dim=-1)
        context_AND = maps_ANN @ value_AND
    return context_AND.transpose(0, 1).flatten(1)


def _scores(
    query_AND: Tensor, key_AND: Tensor, scaling: float, modes: Sequence[tuple[Redistribution, Weighting]]
) -> tuple[Tensor, Tensor]:
    """Global scores [A, N] and proportional scores [modes, A, N] of one document."""
    maps = attention_maps(query_AND[None], key_AND[None], scaling, None, causal=False)
    real_BN = maps.new_ones(1, maps.shape[-1])
    muted_BN = torch.zeros_like(real_BN)
    muted_BN[0, -1] = 1  # most attention goes to [SEP] (Sec. 3.3)
    global_ = global_scores(maps, real_BN, muted_BN)
    proportional = [proportional_scores(maps, global_, real_BN, *mode)[0] for mode in modes]
    return global_[0], torch.stack(proportional)
