"""Which models `PackedBert` can run. This module imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_SIZES = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("max_position_embeddings", "vocab_size", "type_vocab_size"),
)
_EPS = "layer_norm_eps"


def read_bert_config(folder: Path) -> dict[str, Any] | None:
    """`config.json` of a model folder, if `PackedBert` can run the model."""
    path = folder / "config.json"
    if not path.is_file() or not (folder / "model.safetensors").is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None  # transformers says what is wrong
    if not isinstance(config, dict) or config.get("model_type") != "bert":
        return None
    if not all(isinstance(config.get(name), int) for name in _SIZES) or not isinstance(config.get(_EPS), float):
        return None
    right = config.get("hidden_act") == "gelu" and config.get("position_embedding_type", "absolute") == "absolute"
    return config if right and not config.get("is_decoder") and not config.get("auto_map") else None
