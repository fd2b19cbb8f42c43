"""Fixtures shared by all tests."""

from __future__ import annotations

import io
import os
import runpy
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from kpray import cli, lean
from kpray.report import progress
from tests.commands import ROOT, Finished, RunHere

# No test asserts a time: on a busy machine hypothesis' own limit on one example would fail at random.
hypothesis.settings.register_profile("kpray", deadline=None)
hypothesis.settings.load_profile("kpray")

# As many pytest processes run as there are cores; with more threads besides, torch waits more than it works.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch

# Jobs of tests find the clusters of tests by this token, whatever is in this user's ~/.ray/auth_token.
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

INTEGRATION = ROOT / "tests/integration"
# Data that is not part of the project stands in a folder beside it, on some machines.
SHARED = ROOT.parent / "shared"
if (SHARED / "nltk_data").is_dir():
    os.environ.setdefault("NLTK_DATA", str(SHARED / "nltk_data"))  # before anything imports nltk


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long tests: since the short ones come last, the pytest processes end at about the same time."""
    items.sort(key=lambda item: INTEGRATION not in item.path.parents)


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


@pytest.fixture
def kpray(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunHere:
    """Call `kpray` in this process: `kpray("extract", "-", stdin="A text.")`."""

    def run(*arguments: str | Path, stdin: str = "") -> Finished:
        monkeypatch.setattr("sys.argv", ["kpray", *map(str, arguments)])
        monkeypatch.setattr(lean, "own_process", False)  # which `main` sets, until the end of the test
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert isinstance(end.value.code, int)
        return Finished(end.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunHere:
    """Run a job in this process, for what does without Ray: `run_here("extract.py", "--input", ...)`."""

    def run(name: str | Path, *arguments: str | Path) -> Finished:
        monkeypatch.setattr("sys.argv", [str(name), *map(str, arguments)])
        monkeypatch.setattr(progress._LOG, "last_line", time.monotonic())  # as in a process that has just started
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "jobs" / name), run_name="__main__")
        assert isinstance(end.value.code, int)
        return Finished(end.value.code, *capsys.readouterr())

    return run
