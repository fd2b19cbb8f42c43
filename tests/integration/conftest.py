"""A small model, a corpus with known defects, and the jobs as a user runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.jobs import CHUNK_RECORDS, MAX_RECORD_BYTES, ROOT, Corpus, Finished, Job, write_corpus
from tests.samrank.tiny_models import save_bert

StartJob = Callable[..., Job]
RunJob = Callable[..., Finished]


@pytest.fixture(scope="session")
def start_job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartJob]:
    """Start a script with arguments: `start_job(ROOT / "jobs/extract.py", "--input", ...)`."""
    jobs: list[Job] = []

    def start(*command: str | Path) -> Job:
        jobs.append(Job(tmp_path_factory.mktemp("job"), *command))
        return jobs[-1]

    yield start
    for job in jobs:
        job.kill()


@pytest.fixture(scope="session")
def model_options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a job for a model so small that the documents cost nothing."""
    return ["--samrank.model", save_bert(tmp_path_factory.mktemp("model")).folder, "--samrank.heads", "2-1", "3-4"]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def start_extract(start_job: StartJob, corpus: Corpus, model_options: list[str]) -> StartJob:
    """Start the extract job over the corpus: `start_extract(output, "--top", "5")`."""
    settings = ["--limits.max-record-bytes", str(MAX_RECORD_BYTES), "--batch.chunk-records", str(CHUNK_RECORDS)]
    options = ["--input", str(corpus.folder), *model_options, *settings]
    return lambda output, *more: start_job(ROOT / "jobs/extract.py", *options, "--output", output, *more)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, start_extract: StartJob) -> tuple[Path, Finished]:
    """Output folder of an extract job that nothing disturbed, and what it printed."""
    output = tmp_path_factory.mktemp("uninterrupted") / "output"
    return output, start_extract(output).finish()
