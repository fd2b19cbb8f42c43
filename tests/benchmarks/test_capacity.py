"""The arithmetic of capacity planning, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.capacity import PlanConfig, Rates, plan


def row(name: str, **given: Any) -> dict[str, Any]:
    [found] = [row for row in plan(PlanConfig.model_validate(given)) if row["job"].startswith(name)]
    return found


def test_extraction_by_the_measured_rate() -> None:
    found = row("extract", documents=3e6, cores=64)
    assert found["hours"] == pytest.approx(3_000_000 / (20.7 * 64) / 3600)
    assert (found["limit"], found["basis"]) == ("cores", "measured rate")
    many = row("extract", documents=3e6, cores=10_000)  # 1,500 bytes a document at 100 MB/s
    assert many["hours"] == pytest.approx(3_000_000 * 1500 / 100_000_000 / 3600)
    assert many["limit"] == "storage"


def test_training() -> None:
    found = row("train_unikeyphrase", documents=3e6, gpus=8)
    assert found["hours"] == pytest.approx(6 * 110e6 * 256 * 3e6 * 100 / (312e12 * 0.3 * 8) / 3600)
    assert found["memory_gb"] == pytest.approx(110e6 * 16 / 1e9)
    assert found["disk_gb"] == pytest.approx(3 * 110e6 * 16 / 1e9)
    generator = row("rgit: train generator", queries=62e3)
    assert generator["hours"] == pytest.approx(6 * 611e6 * 256 * 62e3 * 10 / (312e12 * 0.3 * 8) / 3600)
    assert generator["memory_gb"] == pytest.approx(611e6 * 16 / 1e9)
    retriever = row("rgit: train retriever", pairs=2e3)  # a pair is two texts
    assert retriever["hours"] == pytest.approx(3 * 6 * 178e6 * 256 * 2 * 2000 * 15 / (312e12 * 0.3 * 8) / 3600)


def test_a_round_of_rgit() -> None:
    embedding = row("rgit: embed", documents=3e6, gpus=8, rounds=1)
    assert embedding["hours"] == pytest.approx(2 * 178e6 * 256 * 3e6 / (312e12 * 0.3 * 8) / 3600)
    assert embedding["memory_gb"] == pytest.approx(178e6 * 2 / 1e9)
    assert embedding["disk_gb"] == pytest.approx(3e6 * 768 * 2 / 1e9)
    generation = row("rgit: generate", queries=62e3, rounds=3)
    assert generation["hours"] == pytest.approx(3 * 2 * 611e6 * (256 + 5 * 48) * 62e3 / (312e12 * 0.02 * 8) / 3600)
    search = row("rgit: search", documents=3e6)
    assert search["memory_gb"] == pytest.approx(3e6 * 768 * 2 / 1e9)


def test_an_index_that_no_gpu_holds() -> None:
    assert row("rgit: search", documents=26e6)["limit"] != "memory of a GPU"  # 26e6 * 1536 = 39.9e9 bytes
    assert row("rgit: search", documents=27e6)["limit"] == "memory of a GPU"


def test_twice_the_gpus_take_half_the_time() -> None:
    one, two = (row("rgit: generate", gpus=gpus)["hours"] for gpus in (4, 8))
    assert one == pytest.approx(2 * two)


def test_every_rate_says_where_it_is_from() -> None:
    for name, field in Rates.model_fields.items():
        assert any(
            source in (field.description or "").lower() for source in ("measured", "data sheet", "assumption")
        ), name
