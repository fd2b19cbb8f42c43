"""Every type of model that SAMRank reads gives the scores of its eager attention maps; other types are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel

from kpray.document import Document
from kpray.errors import UserError
from kpray.samrank.attention import (
    EAGER_TYPES,
    FUSED_TYPES,
    AttentionModel,
    attention_name,
    cut_layers,
    head_scores,
    load_architecture,
)
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.heads import all_heads
from kpray.samrank.predictor import SAMRank
from kpray.text.tagging import Tagger
from tests.commands import ROOT
from tests.samrank.naive import attention_maps, token_scores
from tests.samrank.tiny_models import HEADS, MOST_TOKENS, SENTENCES, SIZES, save_model
from tests.word_pieces import word_pieces

LAYERS = 4
WINDOW = 8  # much shorter than the sequences
SHARED_KEYS: dict[str, Any] = {"num_key_value_heads": 2}
GEMMA: dict[str, Any] = {**SHARED_KEYS, "head_dim": 8, "sliding_window": WINDOW}
EVERY_SECOND = ["sliding_attention", "full_attention"] * (LAYERS // 2)
POSITION_TERMS: dict[str, Any] = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
SPECIFIC: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "cohere2": {**SHARED_KEYS, "sliding_window": WINDOW, "layer_types": EVERY_SECOND},
    "deberta": POSITION_TERMS,
    "deberta-v2": {**POSITION_TERMS, "position_buckets": 4, "share_att_key": True, "norm_rel_ebd": "layer_norm"},
    "distilbert": {"hidden_dim": 48},
    "electra": {"embedding_size": 16},
    "gemma": {**SHARED_KEYS, "head_dim": 8},
    "gemma2": {**GEMMA, "attn_logit_softcapping": 2.0},
    "gemma3_text": {**GEMMA, "layer_types": EVERY_SECOND},
    "mistral": {**SHARED_KEYS, "sliding_window": WINDOW},
    "modernbert": {"local_attention": WINDOW, "layer_types": EVERY_SECOND},
    "phi3": {**SHARED_KEYS, "sliding_window": WINDOW},
    "qwen2": {**SHARED_KEYS, "use_sliding_window": True, "sliding_window": WINDOW, "layer_types": EVERY_SECOND},
    "qwen3": {**SHARED_KEYS, "head_dim": 8},
    **dict.fromkeys(("granite", "llama", "olmo2", "smollm3", "starcoder2"), SHARED_KEYS),
}
# Options that change the attention of a type.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "causal bert": ("bert", {"is_decoder": True}),
    "gpt2 scaled by layer": ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
    "unscaled gpt2": ("gpt2", {"scale_attn_weights": False}),
    "bidirectional gemma3": ("gemma3_text", {"use_bidirectional_attention": True}),
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    kind: (kind, {}) for kind in sorted(FUSED_TYPES | EAGER_TYPES)
} | VARIANTS
SEQUENCES = [np.random.default_rng(length).integers(5, 100, length) for length in (30, 11)]


def save(folder: Path, kind: str, **options: Any) -> str:
    sizes = {**SIZES, "num_hidden_layers": LAYERS, "pad_token_id": 0, **SPECIFIC.get(kind, {}), **options}
    tokenizer = word_pieces(SENTENCES)
    return save_model(folder, AutoConfig.for_model(kind, vocab_size=len(tokenizer), **sizes), tokenizer)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    folders: dict[str, str] = {}

    def find(case: str) -> str:
        if case not in folders:
            kind, options = CASES[case]
            folders[case] = save(tmp_path_factory.mktemp("model"), kind, **options)
        return folders[case]

    return find


@pytest.mark.parametrize(
    "heads",
    [list(product(range(LAYERS), range(HEADS))), [(1, 3), (0, 1), (1, 0)]],
    ids=["all heads", "some heads of the first two layers"],
)
@pytest.mark.parametrize("case", CASES)
def test_scores_equal_those_of_the_maps_of_the_whole_model(
    case: str, heads: list[tuple[int, int]], saved: Callable[[str], str]
) -> None:
    folder = saved(case)
    architecture = load_architecture(folder)
    cut_layers(architecture, 1 + max(layer for layer, _ in heads))
    model = AutoModel.from_pretrained(folder, config=architecture, attn_implementation=attention_name(architecture))
    config = SAMRankConfig()
    modes = [(config.redistribution, config.weighting)]
    found = head_scores(model.eval(), SEQUENCES, heads, muted=-1, batch_tokens=10_000, modes=modes)
    for sequence, scores in zip(SEQUENCES, found, strict=True):  # in one batch, so the second has padding
        maps = attention_maps(folder, tuple(sequence.tolist()))
        assert maps.shape == (LAYERS, HEADS, len(sequence), len(sequence))
        assert len({of_head.tobytes() for of_layer in maps for of_head in of_layer}) == LAYERS * HEADS
        for row, head in enumerate(heads):
            for part, values in (("global", scores.global_), ("proportional", scores.proportional[0])):
                expected = token_scores(maps[head], -1, SAMRankConfig.model_validate({"score": part}))
                np.testing.assert_allclose(values[row], expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("case", CASES)
def test_scores_in_half_precision_are_close(case: str, saved: Callable[[str], str]) -> None:
    random = np.random.default_rng(1)
    # The windows of the last rows of padding contain nothing but padding.
    segments = [random.integers(5, 100, length) for length in (40, 4)]
    by_dtype = {}
    for dtype in ("float32", "float16"):
        predictor = SAMRank(
            SAMRankConfig.model_validate({"model": saved(case), "heads": ("1-2", "4-3"), "dtype": dtype})
        )
        expected = torch.float32 if case == "deberta" else getattr(torch, dtype)
        assert predictor.model.dtype == expected
        by_dtype[dtype] = predictor.score_segments(segments)
    for full, half in zip(*by_dtype.values(), strict=True):
        np.testing.assert_allclose(half.global_, full.global_, rtol=0.05, atol=0.05)
        np.testing.assert_allclose(half.proportional, full.proportional, rtol=0.05, atol=0.05)


def test_maps_show_the_options_of_their_types(saved: Callable[[str], str]) -> None:
    """Otherwise the comparison above could not fail for them."""
    ids = tuple(SEQUENCES[0].tolist())
    for windowed in ("cohere2", "gemma2", "gemma3_text", "mistral", "modernbert", "phi3", "qwen2"):
        assert attention_maps(saved(windowed), ids)[0, :, -1, : -WINDOW - 1].max() == 0, windowed
    for causal in ("causal bert", "gpt2", "gemma2"):
        assert np.triu(attention_maps(saved(causal), ids), 1).max() == 0, causal
    assert np.triu(attention_maps(saved("bidirectional gemma3"), ids), 1).max() > 0


@pytest.mark.parametrize("kind", ["mpnet", "distilbert", "deberta-v2", "albert", "xlm-roberta", "modernbert", "gemma2"])
def test_predictor_reads_segments_of_the_maximum_length(kind: str, saved: Callable[[str], str], tagger: Tagger) -> None:
    predictor = SAMRank(SAMRankConfig(model=saved(kind), heads=("3-1", "1-4")))
    positions = {"mpnet": MOST_TOKENS - 2, "xlm-roberta": MOST_TOKENS - 1}  # one position per token above padding's
    assert predictor.segment_tokens == positions.get(kind, MOST_TOKENS)
    assert isinstance(predictor.model, AttentionModel)
    assert predictor.model.causal == (kind == "gemma2")
    [long] = predictor.predict([Document("1", " ".join(SENTENCES * 3), lang="en")], top=20)
    [short] = predictor.predict([Document("2", SENTENCES[1], lang="en")], top=20)
    assert "Graph theory" in [keyphrase.text for keyphrase in long]
    assert "Graph theory" in [keyphrase.text for keyphrase in short]
    ids = np.full(predictor.segment_tokens, 7)
    [scores] = predictor.score_segments([ids])
    assert np.isfinite(scores.global_).all()
    if kind not in ("deberta-v2", "modernbert", "gemma2"):  # those have no table of positions
        with pytest.raises((IndexError, RuntimeError)):
            predictor.score_segments([np.append(ids, 7)])


@pytest.mark.parametrize("kind", ["fnet", "gpt_oss", "longformer", "mamba", "mobilebert", "nystromformer"])
def test_other_types_are_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    AutoConfig.for_model(kind).save_pretrained(tmp_path)
    for read in (lambda: SAMRank(SAMRankConfig(model=str(tmp_path))), lambda: all_heads(str(tmp_path))):
        with pytest.raises(UserError) as error:
            read()
        assert str(error.value) == (
            f"model: SAMRank cannot read the attention of {kind} models (choose a model of another type, such as BERT, "
            "RoBERTa, MPNet, DeBERTa, GPT-2 or Llama)"
        )


def test_documentation_lists_the_types() -> None:
    page = (ROOT / "docs" / "predictors-and-models.md").read_text("utf-8")
    rows = re.findall(r"^\| (?:en|de)coders(, slower)? \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) == 4
    for slower, types in ((", slower", EAGER_TYPES), ("", FUSED_TYPES)):
        named = [name for note, cell in rows if note == slower for name in re.findall(r"`(.*?)`", cell)]
        assert sorted(named) == sorted(types)


def test_model_that_does_not_call_the_attention_function_is_refused(saved: Callable[[str], str]) -> None:
    model = AutoModel.from_pretrained(saved("gpt2"), attn_implementation="sdpa").eval()
    with pytest.raises(UserError, match="SAMRank cannot read the attention of gpt2 models"):
        head_scores(model, SEQUENCES, [(0, 0)], muted=0, batch_tokens=100, modes=[("backward", "unit")])
