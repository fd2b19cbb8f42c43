"""Actors of Ray Data compute what one process computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kpray.cluster.step_cache import Step
from kpray.pretrained import load_tokenizer
from kpray.ramkg.encoder import TextEncoder, embed, load_encoder, open_retriever, save_retriever
from kpray.rgit.retrieval import read_vectors
from tests.integration.conftest import StartJob
from tests.ramkg.tiny_retriever import make_config, make_pairs, save_backbone, save_store

SCRIPT = Path(__file__).with_name("retrieval_parts.py")


@pytest.mark.slow
def test_parts_of_ray_are_those_of_one_process(start_shared: StartJob, tmp_path: Path) -> None:
    _, english = make_pairs(20, seed=4)
    store = save_store(english, tmp_path / "english")
    config = make_config(save_backbone(tmp_path / "backbone"))
    texts = TextEncoder(load_tokenizer(config.backbone), config)
    save_retriever(load_encoder(texts), texts, tmp_path / "retriever")
    finished = start_shared(SCRIPT, store.folder, tmp_path / "retriever", tmp_path / "steps").finish()
    assert finished.code == 0, finished.err
    folder = Path(finished.out.strip())
    assert len(list(folder.glob("part-*.parquet"))) == 3
    opened = open_retriever(str(tmp_path / "retriever"))
    expected = embed(opened.encoder, opened.texts.encode_passages(english))
    np.testing.assert_allclose(read_vectors(Step(folder, "", {}, reused=True)), expected, atol=1e-3)
