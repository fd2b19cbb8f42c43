"""Rows of `benchmarks/run.py gpu` for RAMKG: embedding of passages, exact search, and generation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import BertConfig, BertModel, GenerationConfig, MBartConfig, MBartForConditionalGeneration

from benchmarks.gpu import Bench, Result, encoder_flops
from kpray.ramkg.beams import share_sources
from kpray.ramkg.codemix import NO_LANGUAGE, CodeMixer
from kpray.ramkg.config import GenerateConfig, GeneratorConfig
from kpray.ramkg.encoder import PassageEncoder, embed
from kpray.ramkg.generator import generate_sequences

PASSAGE_TOKENS = 160
TARGET_TOKENS, BEAMS, SOURCE_TOKENS = 32, 5, 200
NEIGHBORS, GROUP = 16, 64
_QUERIES_AT_ONCE, _PASSAGES_AT_ONCE = 2048, 2**18


def embedding(bench: Bench, seconds: float) -> Iterator[Result]:
    """Passages of 160 tokens through an encoder of mBERT's shape, in float16."""
    layers, hidden, inner, vocabulary = (2, 48, 96, 500) if bench.tiny else (12, 768, 3072, 119_547)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=12,
        intermediate_size=inner,
    )
    with bench.device:
        encoder = PassageEncoder(BertModel(config, add_pooling_layer=False), "cls").to(bench.dtype).eval()
    rows = [
        bench.random.integers(5, vocabulary, PASSAGE_TOKENS).astype(np.int32) for _ in range(8 if bench.tiny else 8192)
    ]
    flops = encoder_flops(np.full(len(rows), PASSAGE_TOKENS), layers, hidden, inner)
    took = bench.time(lambda: embed(encoder, rows, dtype="float16"), seconds)
    title = "RAMKG embedding, mBERT shape, float16"
    yield Result(title, len(rows), "passage", flops, 0, took, f"{PASSAGE_TOKENS} tokens a passage")


def exact_search(bench: Bench, seconds: float) -> Iterator[Result]:
    """Inner products of all queries with all passages, and the best of each query."""
    queries, passages, size = (64, 4096, 32) if bench.tiny else (62_000, 3_000_000, 768)
    generator = torch.Generator(bench.device).manual_seed(3)
    base = torch.empty(passages, size, device=bench.device, dtype=bench.dtype)
    base.normal_(generator=generator)
    asked = torch.empty(queries, size, device=bench.device, dtype=bench.dtype).normal_(generator=generator)
    blocks = torch.split(asked, _QUERIES_AT_ONCE)
    best_of(blocks[0], base)
    bench.synchronize()
    start, done = time.perf_counter(), 0
    for block in blocks:
        best_of(block, base)
        bench.synchronize()
        done += len(block)
        if time.perf_counter() - start > seconds:
            break
    took = (time.perf_counter() - start) * queries / done
    note = f"the best {NEIGHBORS}; {done:,} of {queries:,} queries timed; torch's matrix product, no FAISS"
    flops, title = 2.0 * queries * passages * size, f"exact search of {queries:,} in {passages:,} x {size}, float16"
    yield Result(title, queries, "query", flops, 2.0 * size * (queries + passages), took, note)


def best_of(queries: Tensor, passages: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and indices of each query's best passages, [Q, NEIGHBORS] each.

    Of each part of the passages, the best lie in the groups whose own best are the highest, so that the scores are read
    once, and only a few of them are sorted.

    Args:
        queries: [Q, D].
        passages: [N, D].
    """
    found: list[tuple[Tensor, Tensor]] = []
    for first in range(0, len(passages), _PASSAGES_AT_ONCE):
        scores = queries @ passages[first : first + _PASSAGES_AT_ONCE].T
        whole = scores.shape[1] // GROUP * GROUP
        groups = scores[:, :whole].reshape(len(scores), -1, GROUP)
        highest = groups.amax(2).topk(min(NEIGHBORS, groups.shape[1]), dim=1).indices
        chosen = groups.gather(1, highest[:, :, None].expand(-1, -1, GROUP)).flatten(1)
        places = (highest[:, :, None] * GROUP + torch.arange(GROUP, device=scores.device)).flatten(1)
        rest = torch.arange(whole, scores.shape[1], device=scores.device).expand(len(scores), -1)
        values = torch.cat([chosen, scores[:, whole:]], dim=1)
        indices = torch.cat([places, rest], dim=1) + first
        best = values.topk(min(NEIGHBORS, values.shape[1]), dim=1)
        found.append((best.values, indices.gather(1, best.indices)))
    values, indices = torch.cat([one[0] for one in found], dim=1), torch.cat([one[1] for one in found], dim=1)
    best = values.topk(min(NEIGHBORS, values.shape[1]), dim=1)
    return best.values, indices.gather(1, best.indices)


def generation(bench: Bench, seconds: float) -> Iterator[Result]:
    """Beam search of a model of mBART-large's shape in float16, to the limit of the target."""
    if bench.tiny:
        layers, hidden, inner, vocabulary, documents = 1, 32, 64, 600, 2
    else:
        layers, hidden, inner, vocabulary, documents = 12, 1024, 4096, 250_027, 160
    mixer = _mixer(vocabulary)
    config = MBartConfig(
        vocab_size=vocabulary,
        d_model=hidden,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=16,
        decoder_attention_heads=16,
        encoder_ffn_dim=inner,
        decoder_ffn_dim=inner,
        scale_embedding=True,
        pad_token_id=mixer.pad_id,
        eos_token_id=mixer.marks.end,
    )
    with bench.device:
        model: Any = MBartForConditionalGeneration(config)
    model = model.to(bench.dtype).eval()
    model.generation_config = GenerationConfig()  # as a generator is loaded
    share_sources(model)
    sources = [bench.random.integers(20, vocabulary, SOURCE_TOKENS).astype(np.int32) for _ in range(documents)]
    search = GenerateConfig(beams=BEAMS)
    lengths = np.full(documents, SOURCE_TOKENS)
    row = 2.0 * (layers * (6 * hidden**2 + 2 * hidden * inner) + hidden * vocabulary)
    flops = encoder_flops(lengths, layers, hidden, inner) + documents * BEAMS * TARGET_TOKENS * row
    keys = 2 * 2 * layers * hidden * SOURCE_TOKENS  # of the source, read once for all beams of a document
    moved = float(TARGET_TOKENS * documents * (keys + 2 * 2 * BEAMS * vocabulary))
    took = bench.time(lambda: generate_sequences(model, mixer, sources, [NO_LANGUAGE] * documents, search), seconds)
    title = f"RAMKG generation, mBART-large shape, {BEAMS} beams, float16"
    note = f"{SOURCE_TOKENS} source and at most {TARGET_TOKENS} target tokens, vocabulary {vocabulary:,}"
    yield Result(title, documents, "document", flops, moved, took, note)


def _mixer(vocabulary: int) -> CodeMixer:
    """A tokenizer of as many words as the model has tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    named: dict[str, Any] = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    words = [*named.values(), "a", *(f"w{number}" for number in range(vocabulary - len(named) - 1 - 3))]  # 3 marks
    tokenizer = Tokenizer(models.WordLevel({word: id for id, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)
    config = GeneratorConfig(backbone="random", target_tokens=TARGET_TOKENS)
    return CodeMixer(fast, config)
