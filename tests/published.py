"""Small random models in the layout in which UniLM, BERT and mBART-25 are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertForPreTraining

CASED = "[PAD] [UNK] [CLS] [SEP] [MASK] ; Graph theory of Network ##s graphs G ##raph and Éclair ##es".split()
UNCASED = "[PAD] [UNK] [CLS] [SEP] [MASK] ; graph theory of network ##s and eclair ##es a b c".split()
# What the configuration of UniLM says; it has no model type, and its own name for the epsilon of layer norms.
UNILM: dict[str, Any] = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 32,
    "initializer_range": 0.2,
    "intermediate_size": 48,
    "layer_norm_epsilon": 1e-5,
    "max_position_embeddings": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "type_vocab_size": 6,
    "vocab_size": len(CASED),
}


def unilm(**config: Any) -> BertForPreTraining:
    """A model in evaluation mode, whose weights are all random."""
    torch.manual_seed(5)
    model = BertForPreTraining(BertConfig(**{"layer_norm_eps": 1e-5, **UNILM, **config}))
    generator = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()  # type: ignore[no-any-return]


def published_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights with the names of old versions, which have no bias of the decoder, but the position ids."""
    named = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): weight
        for name, weight in weights.items()
        if name != "cls.predictions.decoder.bias"
    }
    return {**named, "bert.embeddings.position_ids": torch.arange(64)[None]}


def publish(
    folder: Path, weights: dict[str, Tensor], config: dict[str, Any], vocabulary: list[str] | None, *, zip: bool = True
) -> Path:
    """Write pytorch_model.bin, as PyTorch 1.6 (`zip`) or before, with config.json and vocab.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zip)
    (folder / "config.json").write_text(json.dumps(config))
    if vocabulary:
        (folder / "vocab.txt").write_text("".join(token + "\n" for token in vocabulary), encoding="utf-8")
    return folder
