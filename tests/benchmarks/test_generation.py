"""The benchmark of beam search gives a ratio for each round."""

from __future__ import annotations

import pytest
import torch

from benchmarks.generation import benchmark
from kpray.corpus.quickstart import quickstart_records
from kpray.ramkg.config import GenerateConfig


def test_each_round_has_a_ratio() -> None:
    threads = torch.get_num_threads()
    rows = benchmark(GenerateConfig(beams=2), quickstart_records()[:3], rounds=2)
    torch.set_num_threads(threads)
    assert [row["round"] for row in rows] == ["1", "2"]
    for row in rows:
        ours, plain, ratio = list(row.values())[1:]
        assert isinstance(ours, float)
        assert isinstance(plain, float)
        assert ratio == pytest.approx(ours / plain)
