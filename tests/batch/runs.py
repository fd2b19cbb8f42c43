"""A run of the batch job: its documents, its chunks and its output."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa

from kpray.batch.chunks import read_source
from kpray.batch.extract import BatchRun
from kpray.corpus.sources import Source

TEXTS = ["Sparse graphs describe large networks.", "A fast algorithm ranks phrases.", "Graph theory helps."]


def output_of(run: BatchRun) -> Path:
    assert isinstance(run.output, Path)
    return run.output


def chunks(run: BatchRun, source: Source) -> list[pa.Table]:
    return list(read_source(pa.Table.from_pylist([{"source": pickle.dumps(source)}]), run))
