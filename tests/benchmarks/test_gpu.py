"""What the benchmark of a GPU rests on: its search is exact, its counts are right, and a failed row stops nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import benchmarks.gpu_ramkg
import benchmarks.gpu_samrank
import benchmarks.gpu_unikeyphrase
from benchmarks import gpu
from benchmarks.gpu_ramkg import NEIGHBORS, best_of


@pytest.mark.parametrize("passages", [5, 64, 1000, 1024, 2500])
def test_search_is_exact(passages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.gpu_ramkg, "_PASSAGES_AT_ONCE", 1024)
    generator = torch.Generator().manual_seed(1)
    queries, base = (torch.randn(size, 8, generator=generator) for size in (20, passages))
    values, indices = best_of(queries, base)
    expected = (queries @ base.T).topk(min(NEIGHBORS, passages), dim=1)
    assert indices.tolist() == expected.indices.tolist()
    torch.testing.assert_close(values, expected.values)


def test_operations_of_an_encoder() -> None:
    lengths = np.array([2, 3])
    linear = 2 * 5 * (4 * 10 * 10 + 2 * 10 * 40)  # a multiplication and an addition for each weight and token
    attention = 2 * 2 * (4 + 9) * 10  # scores, and what they weigh
    assert gpu.encoder_flops(lengths, 3, 10, 40) == 3 * (linear + attention)
    keys = 2 * 5 * 2 * 10 * 10 + 2 * (4 + 9) * 10
    found = gpu.encoder_flops(lengths, 3, 10, 40, last_layer_keys_only=True)
    assert found == 2 * (linear + attention) + keys


def test_a_failed_row_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(bench: gpu.Bench, seconds: float) -> Iterator[gpu.Result]:
        yield gpu.Result("before", 10, "document", 5.0, 0, 2.0)
        raise torch.OutOfMemoryError("out of memory\nand more")

    def work(bench: gpu.Bench, seconds: float) -> Iterator[gpu.Result]:
        yield gpu.Result("works", 10, "document", 0, 0, bench.time(lambda: None, seconds) + 1)

    rows = {
        benchmarks.gpu_ramkg: ("embedding", "exact_search", "generation"),
        benchmarks.gpu_samrank: ("extraction_minilm", "extraction_base", "extraction_texts"),
        benchmarks.gpu_unikeyphrase: ("training_base", "training_minilm", "decoding"),
    }
    for module, names in rows.items():
        for name in names:
            monkeypatch.setattr(module, name, fail if name == "training_base" else work)
    threads = torch.get_num_threads()
    assert gpu.main(["--tiny", "--seconds", "1", "--output", str(tmp_path / "rows.json")]) == 1
    torch.set_num_threads(threads)
    printed = capsys.readouterr().out
    assert "FAILED OutOfMemoryError: out of memory" in printed
    found = json.loads((tmp_path / "rows.json").read_text("utf-8"))["rows"]
    assert [row["row"] for row in found].count("works") == 8
    [before] = [row for row in found if row["row"] == "before"]
    assert before["rate"] == 5
    assert found[-1]["row"] == "works"
