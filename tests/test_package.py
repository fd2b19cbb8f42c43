from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from importlib.metadata import version

import pytest

import kpray

MODULES = sorted(module.name for module in pkgutil.walk_packages(kpray.__path__, "kpray."))
HEAVY = {
    *("deepspeed", "faiss", "jinja2", "nltk", "numpy", "pyarrow", "pydantic", "ray", "rich", "scipy", "torch"),
    *("transformers", "tyro"),
}


def loaded_after(statement: str) -> set[str]:
    """Top-level modules that a fresh Python has loaded after a statement."""
    program = (
        f"{statement}\nimport json, sys; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    )
    finished = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    names: list[str] = json.loads(finished.stdout)
    return set(names)


def test_import_takes_nothing_heavy() -> None:
    assert not loaded_after("import kpray") & HEAVY


def test_the_nouns_take_nothing_heavy() -> None:
    assert not loaded_after("from kpray import Document, Keyphrase, Predictor") & HEAVY


def test_settings_take_pydantic_alone() -> None:
    assert loaded_after("import kpray.settings") & HEAVY == {"pydantic"}


def test_pages_and_statistics_wait_for_their_first_use() -> None:
    assert not loaded_after("import kpray.cli, kpray.printing, kpray.sweep.reports") & {"jinja2", "scipy"}


def test_heavy_modules_are_seen_when_they_are_loaded() -> None:
    assert "numpy" in loaded_after("import numpy")


def test_offered_names_are_there() -> None:
    for name in kpray.__all__:
        assert getattr(kpray, name) is not None
        assert name in dir(kpray)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'kpray' has no attribute 'open_predicter'"):
        kpray.open_predicter  # noqa: B018


def test_version_is_the_installed_one() -> None:
    assert version("kpray") == kpray.__version__


@pytest.mark.parametrize("module", MODULES)
def test_module_imports(module: str) -> None:
    importlib.import_module(module)
