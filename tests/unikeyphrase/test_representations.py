"""Representations of tokens for Fig. 3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kpray.document import Document
from kpray.unikeyphrase.config import UniKeyphraseConfig
from kpray.unikeyphrase.predictor import UniKeyphrase
from kpray.unikeyphrase.representations import task_representations


@pytest.fixture
def predictor(saved: Path) -> UniKeyphrase:
    return UniKeyphrase(UniKeyphraseConfig(model=str(saved)))


def test_representations_are_the_inputs_of_the_heads(predictor: UniKeyphrase) -> None:
    documents = [Document("1", "Tides follow the moon."), Document("2", ""), Document("3", "The moon. " * 20)]
    extraction, generation = task_representations(predictor, documents)
    sources = [window for document in documents for window in predictor.prepare(document).windows]
    assert len(extraction) == sum(len(source.ids) - 2 for source in sources)
    assert len(sources) > 2  # the last document has several windows
    assert len(generation) >= len(sources)  # each window has a target, at least its end
    first = torch.from_numpy(sources[0].ids.astype(np.int64))[None]
    logits, _ = predictor.model.encode_source(first, torch.tensor([len(sources[0].ids)]))
    read = predictor.model.extraction(torch.from_numpy(extraction[: len(sources[0].ids) - 2]))
    torch.testing.assert_close(read, logits[0, 1:-1], atol=1e-5, rtol=1e-5)


def test_no_document_has_no_vectors(predictor: UniKeyphrase) -> None:
    extraction, generation = task_representations(predictor, [])
    assert extraction.shape == generation.shape == (0, predictor.model.config.hidden_size)
