"""Settings of training jobs, apart from what needs PyTorch and Ray."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kpray.cluster.job import Folder, JobSettings
from kpray.corpus.limits import ReadingSettings
from kpray.training import OptimConfig, RunConfig


class TrainSettings(ReadingSettings, JobSettings):
    """Settings of every training job."""

    train: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of documents with keyphrases for training."""
    valid: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of documents with keyphrases for choosing the best model."""
    output: Folder
    """Output folder for the best and the last model, the metrics and the checkpoints. All nodes must see it; s3:// and
    gs:// also work."""
    train_documents: Annotated[int, Field(ge=1)] | None = None
    """Train on the first N records only. If null, train on all."""
    exclude: tuple[str, ...] = ()
    """Files and folders of documents to leave out of training, such as test sets. They are recognised by their titles
    and first words."""
    local: bool = False
    """Train in this process with plain PyTorch, on one GPU or the CPU, without Ray and DeepSpeed."""
    optim: OptimConfig = OptimConfig()
    run: RunConfig = RunConfig()
