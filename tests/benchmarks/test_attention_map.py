"""Fig. 5 and 6 of SAMRank: the map is that of the paper, and the scores follow from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.attention_map import attention_map
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.predictor import SAMRank
from tests.commands import RunHere
from tests.samrank.naive import token_scores
from tests.samrank.tiny_models import SENTENCES, TinyModel, save_bert, save_gpt2


@pytest.mark.parametrize("save", [save_bert, save_gpt2])
def test_scores_follow_from_the_map(save: Callable[[Path], TinyModel], tmp_path: Path) -> None:
    model = save(tmp_path)
    config = SAMRankConfig(model=model.folder, heads=("2-3",), weighting="unit", dtype="float32")
    tokens, weights, scores = attention_map(SAMRank(config), SENTENCES[0])
    assert weights.shape == (len(tokens), len(tokens))
    assert weights.sum(axis=1) == pytest.approx(np.ones(len(tokens)), abs=1e-5)
    expected = token_scores(weights.astype(np.float64), model.muted, config)
    text = slice(len(model.prefix), len(tokens) - len(model.suffix))
    assert "".join(tokens[text]).replace("##", "").lower().startswith("sparseneuralnetworks")
    assert scores[text] == pytest.approx(expected[text] / expected[text].max(), abs=1e-4)
    assert not np.delete(scores, np.arange(len(tokens))[text]).any()  # special tokens have no score


def test_figure(kpray: RunHere, tmp_path: Path) -> None:
    document, figure = tmp_path / "abstract.txt", tmp_path / "map.svg"
    document.write_text(SENTENCES[0])
    options = ["--input", document, "--samrank.model", save_bert(tmp_path).folder, "--samrank.heads", "1-2", "--output"]
    assert kpray("bench", "attention_map", *options, figure).code == 0
    assert "head 1-2 of" in figure.read_text("utf-8")
    document.write_text(" ".join(SENTENCES))
    refused = kpray("bench", "attention_map", *options, figure)
    assert refused.code == 2
    assert "more than the model reads at once (cut it to 64 tokens)" in refused.err
