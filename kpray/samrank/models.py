"""The models of SAMRank: BERT on a CPU by kpray's own code, everything else by transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from kpray.pretrained import choose_dtype, find_model
from kpray.samrank.bert_config import read_bert_config
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.packed_bert import PackedBert
from kpray.samrank.scores import HeadScores, Redistribution, Weighting


class HeadModel(Protocol):
    """A model whose attention SAMRank reads.

    Attributes:
        layers: number of loaded layers.
        longest: maximum number of tokens in a sequence.
    """

    layers: int
    longest: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""

    @property
    def dtype(self) -> torch.dtype:
        """Format of the weights."""

    def head_scores(
        self,
        sequences: Sequence[np.ndarray],
        heads: Sequence[tuple[int, int]],
        *,
        batch_tokens: int | None,
        modes: Sequence[tuple[Redistribution, Weighting]],
        hidden: bool = False,
    ) -> list[HeadScores]:
        """Score the tokens of each sequence with each head.

        Args:
            sequences: int64 [tokens] token ids each, special tokens included.
            heads: (layer, head) pairs, both counted from 0. The result has the same order.
            batch_tokens: maximum number of tokens in one forward pass; None: the default for the device.
            modes: ways to redistribute global scores, at least one. All modes use the same maps.
            hidden: also return hidden states. The model then runs to its end.

        Returns:
            One `HeadScores` per sequence, in order, special tokens included.
        """


def open_model(config: SAMRankConfig, device: torch.device) -> HeadModel:
    """Load the model of a configuration, without the layers after the last selected head.

    Raises:
        UserError: the model cannot be read, or lacks a head.
    """
    folder = Path(find_model(config.model))
    bert = read_bert_config(folder) if device.type == "cpu" else None
    if bert is not None:
        config.check_heads(bert["num_hidden_layers"], bert["num_attention_heads"])
        layers = 1 + max(layer for layer, _ in config.layer_heads)
        on_cpu, _, _ = config.pinned_dtype.partition("/")
        packed = PackedBert.load(folder, bert, layers, choose_dtype(on_cpu, device))
        if packed is not None:
            return packed
    from kpray.samrank.attention import AttentionModel  # imports the model classes of transformers

    return AttentionModel(config, device)
