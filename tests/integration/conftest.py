"""A small model, a corpus with known defects, and the jobs as a user runs them."""

from __future__ import annotations

import runpy
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.jobs import CHUNK_RECORDS, MAX_RECORD_BYTES, ROOT, Corpus, Finished, Job, write_corpus
from tests.samrank.tiny_models import save_bert
from tests.serve.service import keys_file, start_service, tiny_ramkg, tiny_samrank

__all__ = ["keys_file", "start_service", "tiny_ramkg", "tiny_samrank"]  # of a service in the test's own process

# A shell makes what it runs in the background deaf to Ctrl-C, and that is inherited: not by the jobs of the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

StartJob = Callable[..., Job]
RunJob = Callable[..., Finished]


@pytest.fixture(scope="session")
def start_job() -> Iterator[StartJob]:
    """Start a script with arguments: `start_job(ROOT / "jobs/extract.py", "--input", ...)`."""
    with ExitStack() as jobs:
        yield lambda *command, **more: jobs.enter_context(Job(*command, **more))


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunJob:
    """Run a job in this process, for what does without Ray: `run_here("extract.py", "--input", ...)`."""

    def run(name: str, *arguments: str | Path) -> Finished:
        monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "jobs" / name), run_name="__main__")
        assert isinstance(end.value.code, int)
        return Finished(end.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def model_options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a job for a model so small that the documents cost nothing."""
    return ["--samrank.model", save_bert(tmp_path_factory.mktemp("model")).folder, "--samrank.heads", "2-1", "3-4"]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def extract_options(corpus: Corpus, model_options: list[str]) -> list[str]:
    """Options of an extract job over the corpus, but for --output."""
    settings = ["--limits.max-record-bytes", str(MAX_RECORD_BYTES), "--batch.chunk-records", str(CHUNK_RECORDS)]
    return ["--input", str(corpus.folder), *model_options, *settings]


@pytest.fixture(scope="session")
def start_extract(start_job: StartJob, extract_options: list[str]) -> StartJob:
    """Start the extract job over the corpus: `start_extract(output, "--top", "5")`."""
    script = ROOT / "jobs/extract.py"
    return lambda output, *more, **rest: start_job(script, *extract_options, "--output", output, *more, **rest)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, start_extract: StartJob) -> tuple[Path, Finished]:
    """Output folder of an extract job that nothing disturbed, and what it printed."""
    output = tmp_path_factory.mktemp("uninterrupted") / "output"
    return output, start_extract(output).finish()
