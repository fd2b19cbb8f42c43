"""Settings of the RGIT job that the paper fixes."""

from __future__ import annotations

import pytest

from kpray.rgit.config import RGITSettings
from kpray.settings import parse_settings


@pytest.mark.parametrize("name", ["paper-academic", "paper-ecommerce"])
def test_trainings_of_the_paper(name: str) -> None:
    """App. A.1; the number of steps differs from round to round, so a fraction of them is not the paper's warm-up."""
    files = ["--parallel", "p", "--passages", "n", "--english", "e", "--output", "o"]
    job = parse_settings(RGITSettings, ["--config", name, *files], prog="kpray rgit", description="")
    assert (job.train_generator.warmup, job.train_generator.epochs, job.train_generator.batch) == (50, 10, 8)
    assert (job.train_retriever.epochs, job.train_retriever.batch) == (15, 32)
    assert job.run.validate_every == "epoch"
