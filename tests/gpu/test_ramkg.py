"""The encoder and the generator of RAMKG on a GPU give what they give on a CPU."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Literal

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from kpray.ramkg.codemix import CodeMixer, load_mixer
from kpray.ramkg.config import GenerateConfig
from kpray.ramkg.encoder import PassageEncoder, embed
from kpray.ramkg.generator import generate_sequences
from tests.gpu.conftest import Close
from tests.ramkg.tiny_generator import PASSAGES, RECORDS, make_task, save_backbone, save_english, train

LENGTHS = (3, 40, 17, 17, 64, 5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_embedding(pooling: Literal["cls", "mean"], device: torch.device, dtype: torch.dtype, close: Close) -> None:
    random = np.random.default_rng(3)
    rows = [random.integers(5, 100, length).astype(np.int32) for length in LENGTHS]

    def build() -> PassageEncoder:
        torch.manual_seed(5)
        config = BertConfig(
            vocab_size=100,
            hidden_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=64,
            initializer_range=0.2,
        )
        return PassageEncoder(BertModel(config), pooling).eval()

    found = embed(build().to(device, dtype), rows, batch_tokens=128)
    assert found.shape == (len(rows), 48)
    close([torch.from_numpy(found)], [torch.from_numpy(embed(build(), rows))], dtype)


@pytest.fixture(scope="module", params=["mbart25", "t5"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[CodeMixer, Any]:
    """A generator that knows `RECORDS` by heart, on the CPU."""
    task = make_task(
        save_backbone(tmp_path_factory.mktemp(request.param), request.param),
        save_english(tmp_path_factory.mktemp("english")).folder,
    )
    return load_mixer(task.config), train(task, steps=60).eval()


@pytest.mark.parametrize("beams", [1, 5])
def test_generation(trained: tuple[CodeMixer, Any], device: torch.device, dtype: torch.dtype, beams: int) -> None:
    """In float32 the phrases are those of the CPU; in half precision there are some, with scores in (0, 1]."""
    mixer, model = trained
    documents = [record.document for record in RECORDS]
    languages = [mixer.language(document.lang) for document in documents]
    english = [phrases for _, _, phrases in PASSAGES]
    sources = mixer.sources([document.text for document in documents], languages, english)
    rows = [source for source in sources if isinstance(source, np.ndarray)]
    assert len(rows) == len(RECORDS)
    search = GenerateConfig(beams=beams)
    reference, found = (
        [each.scored for each in generate_sequences(one, mixer, rows, languages, search)]
        for one in (model, deepcopy(model).to(device, dtype))
    )
    assert sum(map(len, reference)) >= 4
    assert all(0 < score <= 1 for phrases in found for _, score in phrases)
    if dtype == torch.float32:
        for one, other in zip(found, reference, strict=True):
            assert [text for text, _ in one] == [text for text, _ in other]
            assert [score for _, score in one] == pytest.approx([score for _, score in other], abs=1e-4)
    else:
        assert sum(map(len, found)) >= 4
