"""Settings of the sweeps, apart from what needs PyTorch and Ray."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from kpray.cluster.job import Folder, JobSettings
from kpray.corpus.limits import ReadingSettings
from kpray.pretrained import absolute_if_folder
from kpray.rgit.config import RGITSettings
from kpray.samrank.config import SAMRankConfig
from kpray.settings import Settings
from kpray.storage import absolute
from kpray.sweep.search import SearchConfig, SweepConfig
from kpray.train.config import TrainSettings

if TYPE_CHECKING:
    from kpray.samrank.heads import Mode


class HeadSpace(Settings):
    """The combinations to evaluate. Each one is evaluated for all heads."""

    model: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Models. If null, `samrank.model`."""
    candidates: Annotated[tuple[Literal["paper", "extended"], ...], Field(min_length=1)] = ("paper", "extended")
    """Rules for candidate phrases."""
    score: Annotated[tuple[Literal["both", "global", "proportional"], ...], Field(min_length=1)] = (
        "both",
        "global",
        "proportional",
    )
    """Score of a token: Eq. 6 (`both`), or one of its two parts."""
    redistribution: Annotated[tuple[Literal["backward", "forward"], ...], Field(min_length=1)] = ("backward", "forward")
    """Directions in which the global score is redistributed."""
    weighting: Annotated[tuple[Literal["unit", "global"], ...], Field(min_length=1)] | None = None
    """Weight that a token redistributes backward. If null, `samrank.weighting`."""


class HeadSweepSettings(ReadingSettings, JobSettings):
    """Settings of the sweep over SAMRank's heads."""

    valid: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files and folders of documents with keyphrases for choosing heads. All of them have the same weight."""
    test: tuple[str, ...] = ()
    """Files and folders of documents with keyphrases for the comparison. They have no influence on the choice."""
    output: Folder
    """Output folder for the report, the best configuration and the trials. All nodes must see it."""
    samrank: SAMRankConfig = SAMRankConfig()
    """Settings that all trials share. `heads` has no effect."""
    space: HeadSpace = HeadSpace()
    most_heads: Annotated[int, Field(ge=1)] = 10
    """Maximum number of heads to combine."""
    cutoff: Literal[5, 10, 15] = 15
    """Choose heads by F1 at this cutoff."""
    shard_documents: Annotated[int, Field(ge=1)] = 100
    """Number of documents in one trial."""
    seed: int = 0
    """Random seed of the bootstrap."""
    sweep: SweepConfig = SweepConfig()

    @model_validator(mode="after")
    def _different_data(self) -> HeadSweepSettings:
        both = {absolute(path) for path in self.valid} & {absolute(path) for path in self.test}
        if both:
            raise ValueError(f"{sorted(both)[0]} is in valid and in test: use different documents")
        return self

    @property
    def modes(self) -> list[Mode]:
        """Ways to redistribute global scores. Forward redistribution does not depend on the weighting."""
        weightings = self.space.weighting or (self.samrank.weighting,)
        return [
            (redistribution, weighting)
            for redistribution, weighting in product(self.space.redistribution, weightings)
            if redistribution == "backward" or weighting == weightings[0]
        ]

    @property
    def models(self) -> tuple[str, ...]:
        """Hub ids or absolute folders of the models."""
        names = self.space.model or (self.samrank.model,)
        return tuple(map(absolute_if_folder, names))


class TrainingSweepConfig(SearchConfig):
    """Which settings are tried, and for how long."""

    asha: bool = False
    """Stop trials early whose validation score is worse than that of others after as many steps (ASHA)."""
    grace: Annotated[int, Field(ge=1)] = 2
    """Number of validations before ASHA may stop a trial."""
    reduction: Annotated[int, Field(ge=2)] = 3
    """ASHA keeps the best 1/N of the trials at each rung; rungs are N times further apart each time."""


class TrainingSweepSettings(TrainSettings):
    """Settings of every sweep over trainings: those of the training job, and the sweep's."""

    sweep: TrainingSweepConfig = TrainingSweepConfig()


class ThresholdSpace(Settings):
    """The values to try."""

    tau: Annotated[tuple[Annotated[float, Field(ge=0, lt=100)], ...], Field(min_length=1)] = (0.0, 5.0, 10.0, 15.0)
    """Values of `rgit.tau`: the F1 gain, in percentage points, that a pair needs to be accepted."""


class RGITSweepSettings(RGITSettings):
    """Settings of the sweep over RGIT's threshold: those of the RGIT job, and the sweep's.

    A trial's seed replaces `train_retriever.seed` and `train_generator.seed`. With `plant` it also replaces
    `planted.seed`, so that each seed has its own corpus.
    """

    space: ThresholdSpace = ThresholdSpace()
    sweep: SearchConfig = SearchConfig(seeds=(0,), at_once=1)

    @model_validator(mode="after")
    def _one_at_a_time(self) -> Self:
        if self.sweep.at_once != 1:
            raise ValueError("sweep.at_once should be 1: trials share their steps")
        if "rgit" not in self.systems:
            raise ValueError("systems should include rgit: the others do not use tau")
        return self
