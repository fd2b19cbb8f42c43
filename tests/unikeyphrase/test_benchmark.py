"""The benchmark, on a small model."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.unikeyphrase import benchmark
from kpray.training import OptimConfig, RunConfig
from kpray.unikeyphrase.task import UniKeyphraseTask
from tests.unikeyphrase.tiny_model import RECORDS


def test_benchmark(tiny_task: Callable[..., UniKeyphraseTask]) -> None:
    config = tiny_task(relation_layers=2).config
    rows = benchmark(config, OptimConfig(batch=2), RunConfig(micro_tokens=256), RECORDS, rounds=1)
    by_name = {row["contestant"]: row for row in rows}
    bare, ours, padding, full, cached = by_name
    assert "transformers" in str(bare)
    assert "L = 2" in str(ours)
    assert by_name[bare]["of the floor"] == by_name[full]["of the floor"] == 1
    assert float(by_name[padding]["documents/s"] or 0) < 50
    for name in (ours, cached):
        rate, floor = by_name[name]["documents/s"], by_name[bare if name == ours else full]["documents/s"]
        assert isinstance(rate, float)
        assert isinstance(floor, float)
        assert abs(float(by_name[name]["of the floor"] or 0) - rate / floor) < 1e-9
