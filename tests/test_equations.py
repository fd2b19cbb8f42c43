"""docs/equations.md names every equation of the papers, and functions and tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from pkgutil import resolve_name

import pytest

from tests.commands import ROOT

PAGE = (ROOT / "docs" / "equations.md").read_text(encoding="utf-8")
FUNCTIONS = sorted(set(re.findall(r"`(kpray/[\w/]+\.py:[\w.]+)`", PAGE)))
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py):(\w+)`", PAGE)))


def section(title: str) -> str:
    """The text below a heading of the second level."""
    return re.split(r"^## ", PAGE.partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


@cache
def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("title", "last"), [("SAMRank", 8), ("UniKeyphrase", 15)])
def test_every_equation_is_named(title: str, last: int) -> None:
    named = {int(number) for number in re.findall(r"^\| Eq\. (\d+) \|", section(title), re.MULTILINE)}
    assert named == set(range(1, last + 1))


def test_every_line_of_algorithm_1_that_does_something_is_named() -> None:
    cells = re.findall(r"^\| (\d[\d–, ]*) \|", section("RAMKG and RGIT"), re.MULTILINE)
    named: set[int] = set()
    for part in ", ".join(cells).split(", "):
        first, _, last = part.partition("–")
        named |= set(range(int(first), int(last or first) + 1))
    # 1-3 are inputs, output and a comment; 7, 9, 13, 15, 20 and 23 are comments.
    assert set(range(4, 27)) - named == {7, 9, 15, 20, 23}


def test_every_equation_has_a_function_and_a_test() -> None:
    rows = [line.split(" | ") for line in PAGE.splitlines() if line.startswith(("| Eq.", "| Sec.", "| App."))]
    assert len(rows) >= 30
    for row in rows:
        assert re.fullmatch(r"`kpray/.*`", row[2]), row
        assert re.fullmatch(r"`tests/.*` \|", row[3]), row


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_exists(name: str) -> None:
    file, _, function = name.partition(":")
    found = resolve_name(f"{file.removesuffix('.py').replace('/', '.')}:{function}")
    assert callable(found)
    assert found.__module__ == file.removesuffix(".py").replace("/", "."), "the file is the one that defines it"


@pytest.mark.parametrize(("file", "test"), TESTS)
def test_test_exists(file: str, test: str) -> None:
    assert test in functions_of(ROOT / file)
