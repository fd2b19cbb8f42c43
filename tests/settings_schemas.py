"""Schemas that the tests of the settings parse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import pydantic
import pytest

from kpray.errors import UserError
from kpray.settings import Settings, parse_settings

Head = Annotated[str, pydantic.Field(pattern=r"^\d+-\d+$")]


class Optim(Settings):
    """How to step."""

    lr: float = pydantic.Field(default=1e-5, gt=0)
    """Peak learning rate."""
    warmup_steps: int = pydantic.Field(default=0, ge=0, le=1000)
    """Steps until the peak."""
    amp: bool = False
    """Compute in bfloat16."""
    stage: Literal[0, 1, 2, 3] = 1
    """ZeRO stage."""


class Heads(Settings):
    names: tuple[Head, ...] = ("4-12",)
    """Attention heads, `layer-head`, both from 1."""
    mode: Literal["both", "global", "proportional"] = "both"
    """Which scores to add."""
    range: tuple[int, int] = (0, 10)
    """First and last."""

    @pydantic.model_validator(mode="after")
    def _in_order(self) -> Heads:
        if self.range[0] > self.range[1]:
            raise ValueError(f"range goes backward: {self.range[0]} to {self.range[1]}")
        return self


class Job(Settings):
    """A job."""

    input: Path
    """File to read."""
    label: Annotated[str, pydantic.Field(max_length=1000)] | None = None
    """Shown in the table."""
    dry_run: bool = False
    """Print the configuration, start nothing."""
    optim: Optim = Optim()
    """Optimiser."""
    samrank: Heads = Heads()
    """SAMRank."""


class FilesJob(Settings):
    files: tuple[Path, ...]
    """Documents."""
    explain: bool = False
    """Show the scores."""
    top: int = 10
    """Most keyphrases."""


def job(*arguments: str) -> Job:
    return parse_settings(Job, arguments, prog="job.py", description="Does a job.")


def files_job(*arguments: str) -> FilesJob:
    return parse_settings(FilesJob, arguments, prog="files", description="Reads files.", positional="files")


def message(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)
