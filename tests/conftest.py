"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# No test asserts a time: on a busy machine hypothesis' own limit on one example would fail at random.
hypothesis.settings.register_profile("kpray", deadline=None)
hypothesis.settings.load_profile("kpray")

# Data that is not part of the project stands in a folder beside it, on some machines.
SHARED = Path(__file__).parents[2] / "shared"
if (SHARED / "nltk_data").is_dir():
    os.environ.setdefault("NLTK_DATA", str(SHARED / "nltk_data"))  # before anything imports nltk


@pytest.fixture(scope="session")
def data_file() -> Callable[[str], Path]:
    """Path of a file of the evaluation data; skips where it is absent."""
    folder = Path(os.environ.get("KPRAY_TEST_DATA", SHARED / "data"))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"evaluation data {name} is not on this machine (set KPRAY_TEST_DATA to its folder)")
        return path

    return find


@pytest.fixture(scope="session")
def nltk_tagger() -> None:
    """Skips where the data of NLTK's tagger is absent."""
    import nltk

    try:
        nltk.data.find("taggers/averaged_perceptron_tagger_eng")
    except LookupError:
        pytest.skip("the data of NLTK's tagger is not on this machine (set NLTK_DATA to its folder)")
