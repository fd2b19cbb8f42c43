"""Small random models of each type that SAMRank reads, saved as folders that transformers loads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    BartConfig,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    T5Config,
)

from tests.word_pieces import word_pieces

LAYERS, HEADS = 3, 4
MOST_TOKENS = 64  # that a model takes, special tokens included
SENTENCES = (
    "Sparse neural networks learn the structure of large graphs from few labelled examples.",
    "Graph theory gives fast algorithms for sparse matrices, and matrices describe networks.",
    "The proposed algorithm ranks noun phrases by the attention that their tokens receive.",
    "A self-attention map shows how strongly each token of a document attends to the others.",
    "Experiments on bilingual corpora confirm that attention maps rank phrases well.",
)

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 48,
    "max_position_embeddings": MOST_TOKENS,
    "initializer_range": 0.2,  # large enough for attention that is far from uniform
}


@dataclass(frozen=True)
class TinyModel:
    """A model, with the properties that the naive implementation needs.

    Attributes:
        folder: config.json, model.safetensors and the tokenizer's files.
        prefix: ids of the special tokens before a text.
        suffix: ids of those after it.
        muted: position of the token whose global score is 0; -1 is the last.
        most_tokens: the longest segment, special tokens included.
    """

    folder: str
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    muted: int
    most_tokens: int = MOST_TOKENS


def bytes_bpe(*, start: bool) -> PreTrainedTokenizerFast:
    """A tokenizer of GPT-2's type, without special tokens, or with one at the start as in Llama."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=360, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    if start:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def save_model(folder: Path, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> str:
    """Write a random model; equal configurations give equal weights."""
    torch.manual_seed(7)
    model = AutoModel.from_config(config)
    generator = torch.Generator().manual_seed(7)
    for parameter in model.parameters():  # so that the tests notice a missing bias or norm
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def save_bert(folder: Path) -> TinyModel:
    tokenizer = word_pieces(SENTENCES)
    return TinyModel(save_model(folder, BertConfig(vocab_size=len(tokenizer), **SIZES), tokenizer), (2,), (3,), -1)


def save_sized_bert(folder: Path, *, layers: int, heads: int) -> str:
    tokenizer = word_pieces(SENTENCES)
    sizes = {**SIZES, "hidden_size": 4 * heads, "num_hidden_layers": layers, "num_attention_heads": heads}
    return save_model(folder, BertConfig(vocab_size=len(tokenizer), **sizes), tokenizer)


def save_roberta(folder: Path) -> TinyModel:
    """BERT whose positions start after the id of the padding token, so that it reads fewer tokens."""
    tokenizer = word_pieces(SENTENCES)
    config = RobertaConfig(vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=2, eos_token_id=3, **SIZES)
    return TinyModel(save_model(folder, config, tokenizer), (2,), (3,), -1, MOST_TOKENS - 1)


def save_gpt2(folder: Path) -> TinyModel:
    tokenizer = bytes_bpe(start=False)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=LAYERS,
        n_head=HEADS,
        n_positions=MOST_TOKENS,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=1,
    )
    return TinyModel(save_model(folder, config, tokenizer), (), (), 0)


def save_llama(folder: Path) -> TinyModel:
    """Llama with grouped-query attention: two query heads share one key head."""
    tokenizer = bytes_bpe(start=True)
    config = LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, bos_token_id=0, eos_token_id=1, **SIZES)
    return TinyModel(save_model(folder, config, tokenizer), (0,), (), 0)


def save_mistral(folder: Path) -> TinyModel:
    """Llama with a sliding window of eight tokens."""
    tokenizer = bytes_bpe(start=True)
    config = MistralConfig(
        vocab_size=len(tokenizer), num_key_value_heads=2, sliding_window=8, bos_token_id=0, eos_token_id=1, **SIZES
    )
    return TinyModel(save_model(folder, config, tokenizer), (0,), (), 0)


def save_t5(folder: Path) -> str:
    tokenizer = word_pieces(SENTENCES)
    return save_model(folder, T5Config(vocab_size=len(tokenizer), d_model=32, num_layers=1, num_heads=2), tokenizer)


def save_bart(folder: Path) -> str:
    tokenizer = word_pieces(SENTENCES)
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=MOST_TOKENS,
    )
    return save_model(folder, config, tokenizer)


SAVE: dict[str, Callable[[Path], TinyModel]] = {
    "bert": save_bert,
    "roberta": save_roberta,
    "gpt2": save_gpt2,
    "llama": save_llama,
}
