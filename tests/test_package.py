from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import version

import pytest

import kpray

MODULES = sorted(module.name for module in pkgutil.walk_packages(kpray.__path__, "kpray."))


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
