"""Fixtures: a small model, a corpus with known defects, and jobs that run as a user runs them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kpray.cluster.ray_compat import LOCAL_VARIABLES
from tests.commands import ROOT, Finished
from tests.integration.jobs import CHUNK_RECORDS, HEAD, MAX_RECORD_BYTES, Corpus, Job, wait_for_head, write_corpus
from tests.samrank.tiny_models import save_bert
from tests.serve.service import keys_file, start_service, tiny_ramkg, tiny_samrank

__all__ = ["keys_file", "start_service", "tiny_ramkg", "tiny_samrank"]  # fixtures of a service inside the test process

# Commands that a shell runs in the background ignore Ctrl-C, and child processes inherit this. The jobs must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

StartJob = Callable[..., Job]


@pytest.fixture(scope="session")
def start_job() -> Iterator[StartJob]:
    """Start a script with arguments: `start_job(ROOT / "jobs/extract.py", "--input", ...)`."""
    with ExitStack() as jobs:
        yield lambda *command, **more: jobs.enter_context(Job(*command, **more))


@pytest.fixture(scope="session")
def start_shared(start_job: StartJob) -> StartJob:
    """Start a script on a shared Ray with two cores, for tests that neither end Ray nor depend on its history."""
    variables = {
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_MODE": "disabled",  # only these tests use the cluster
        **LOCAL_VARIABLES,
    }
    size = ("--num-cpus=2", "--object-store-memory=200000000", "--include-dashboard=false")
    variables["RAY_ADDRESS"] = wait_for_head(start_job(*HEAD, *size, variables=variables))

    def start(*command: str | Path, **more: str) -> Job:
        return start_job(*command, variables={**variables, **more})

    return start


@pytest.fixture(scope="session")
def model_options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a job for a very small model, so that documents take almost no time."""
    return ["--samrank.model", save_bert(tmp_path_factory.mktemp("model")).folder, "--samrank.heads", "2-1", "3-4"]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def extract_options(corpus: Corpus, model_options: list[str]) -> list[str]:
    """Options of an extract job over the corpus, except --output."""
    settings = ["--limits.max-record-bytes", str(MAX_RECORD_BYTES), "--batch.chunk-records", str(CHUNK_RECORDS)]
    return ["--input", str(corpus.folder), *model_options, *settings]


@pytest.fixture(scope="session")
def start_extract(start_job: StartJob, extract_options: list[str]) -> StartJob:
    """Start the extract job over the corpus: `start_extract(output, "--top", "5")`."""
    script = ROOT / "jobs/extract.py"
    return lambda output, *more, **rest: start_job(script, *extract_options, "--output", output, *more, **rest)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, start_extract: StartJob) -> tuple[Path, Finished]:
    """Output folder and result of an uninterrupted extract job."""
    output = tmp_path_factory.mktemp("uninterrupted") / "output"
    return output, start_extract(output).finish()
