"""Settings of batch jobs, apart from what needs Ray."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kpray.settings import Settings


class BatchConfig(Settings):
    """How a batch job uses the cluster."""

    chunk_records: Annotated[int, Field(ge=1)] = 200
    """Number of records in one output file. They are predicted and written together."""
    actors: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of processes that hold a model. If null, one per core without GPUs, and with GPUs one per GPU for
    SAMRank or as many as fit for other predictors."""
    gpu_fraction: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Fraction of a GPU that each process takes. It has no effect without GPUs, or for SAMRank if `actors` is null."""
