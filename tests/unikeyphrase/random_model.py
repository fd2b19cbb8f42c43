"""A small random UniKeyphrase without a tokenizer, and random batches for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kpray.unikeyphrase.model import UniKeyphraseModel, UniKeyphraseModelConfig

VOCABULARY, HIDDEN, MASK_ID = 97, 32, 4
DELIMITER_ID = 5
IGNORED_IDS = torch.tensor([0, 1, 2, 3, MASK_ID, DELIMITER_ID])


def build_model(seed: int = 7, **options: Any) -> UniKeyphraseModel:
    """A model in evaluation mode. All weights are random, so that tests notice a missing weight."""
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,  # large enough for attention that is far from uniform
        "relation_scale": "inverse_sqrt",
        "source_tokens": 40,
        "target_tokens": 16,
    }
    torch.manual_seed(seed)
    model = UniKeyphraseModel(UniKeyphraseModelConfig(**{**sizes, **options}))
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()  # type: ignore[no-any-return, no-untyped-call]


def build_batch(sources: list[int], targets: list[int], seed: int = 3) -> dict[str, Tensor]:
    """A random batch, as from `collate`, with these numbers of source and target tokens."""
    generator = torch.Generator().manual_seed(seed)
    source_lengths = torch.tensor(sources)
    lengths = source_lengths + torch.tensor(targets)
    positions = torch.arange(int(lengths.max()))
    real = positions < lengths[:, None]
    is_target = real & (positions >= source_lengths[:, None])
    gold_ids = torch.randint(DELIMITER_ID, VOCABULARY, real.shape, generator=generator).masked_fill(~real, 0)
    masked = is_target & (torch.rand(real.shape, generator=generator) < 0.7)
    target_rows = is_target.flatten().nonzero().squeeze(1)
    labels = torch.randint(0, 4, (len(sources), max(sources)), generator=generator)
    positions = torch.arange(max(sources))
    no_word = (positions == 0) | (positions >= source_lengths[:, None] - 1)  # [CLS], [SEP], padding
    return {
        "input_ids": gold_ids.masked_fill(masked, MASK_ID),
        "source_lengths": source_lengths,
        "lengths": lengths,
        "labels": labels.masked_fill(no_word, -100),
        "target_rows": target_rows,
        "target_ids": gold_ids.flatten()[target_rows],
        "target_masked": masked.flatten()[target_rows],
    }
