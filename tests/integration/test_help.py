"""Help and typing errors answer before anything heavy is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import chain
from typing import Any

import pytest

from benchmarks.run import BENCHMARKS, OTHERS
from kpray.cli import COMMANDS
from tests.commands import ROOT

HEAVY = {"deepspeed", "faiss", "nltk", "ray", "torch", "transformers"}
SCRIPTS = {
    **{f"kpray {name}": ["kpray/__main__.py", *name.split()] for name in COMMANDS if name != "bench"},
    **{f"kpray bench {name}": ["kpray/__main__.py", "bench", name] for name in [*BENCHMARKS, *OTHERS]},
    **{f"run.py {name}": ["benchmarks/run.py", name] for name in [*BENCHMARKS, *OTHERS]},
    **{f"jobs/{file.name}": [f"jobs/{file.name}"] for file in ROOT.glob("jobs/*.py")},
    **{name: [name] for name in ("kpray/__main__.py", "benchmarks/run.py")},
    **{f"kpray {name}": ["kpray/__main__.py", name] for name in ("train", "sweep", "bench")},
}
# Runs all scripts in one process, each as if it were the only one but for what is imported already.
RUN = """
import contextlib, io, json, runpy, sys
scripts, heavy = json.loads(sys.argv[1])
results = []
for script, cases in scripts:
    ended = []
    for arguments in cases:
        sys.argv = [script, *arguments]
        streams = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit as exited:
                ended.append([exited.code, *(stream.getvalue() for stream in streams)])
    results.append([ended, [name for name in heavy if name in sys.modules]])
print(json.dumps(results))
"""


def typing_errors(script: list[str]) -> list[list[str]]:
    """Arguments that are wrong: an unknown option, a value of another type, and a required one that is missing."""
    name = script[-1].removeprefix("jobs/").removesuffix(".py")
    if "bench" in script[0] or "bench" in script:
        return [["--tpo", "3"], ["--dry-run=x"]]
    if name in ("download-nltk", "serve", "quickstart"):
        wrong = {"serve": ["--port=x"], "quickstart": ["--dry-run=x"], "download-nltk": ["x"]}
        return [["--tpo", "3"], wrong[name]]
    return [["--tpo", "3"], ["--top=x", "a"] if name == "extract" and "jobs" not in script[0] else ["--dry-run=x"], []]


def cases_of(script: list[str]) -> tuple[list[list[str]], list[list[str]]]:
    """Arguments that print help, and arguments that are wrong."""
    words = script[1:]
    groups = ("kpray/__main__.py", "benchmarks/run.py", "train", "sweep", "bench")
    group = script[-1] in groups
    helps = [[*words, "--help"], *([] if group else [[*words, "--help-all"]])]
    return helps, [[*words, "x"]] if group else [[*words, *wrong] for wrong in typing_errors(script)]


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """Of each script: how each of its runs ended, and what is imported after it."""
    scripts = [(str(ROOT / script[0]), [*chain(*cases_of(script))]) for script in SCRIPTS.values()]
    command = [sys.executable, "-c", RUN, json.dumps([scripts, sorted(HEAVY)])]
    finished = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return dict(zip(SCRIPTS, json.loads(finished.stdout), strict=True))


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_and_typing_errors_import_nothing_heavy(name: str, results: dict[str, Any]) -> None:
    helps, errors = cases_of(SCRIPTS[name])
    ended, heavy = results[name]
    assert len(ended) == len(helps + errors)
    for code, out, err in ended[: len(helps)]:
        assert (code, err) == (0, "")
        assert out.startswith("usage: ")
    for code, out, err in ended[len(helps) :]:
        assert (code, out) == (2, "")
        assert err.startswith("kpray: error: ")
        assert err.count("\n") == 1
    assert heavy == []
