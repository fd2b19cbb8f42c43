"""Planted corpora with small random models, which replace the files and models that a user gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from kpray.cluster.job import writing
from kpray.corpus.planted import PlantedConfig, PlantedFiles, write_planted
from kpray.ramkg.backbones import BackboneSizes, Size, write_backbones
from kpray.settings import Settings

PlantedSize = Literal["full", "small"]

# On two CPU cores, three rounds of `full` take about twenty minutes, and two rounds of `small` a few minutes.
_CORPORA: dict[PlantedSize, PlantedConfig] = {
    "full": PlantedConfig(topic_phrases=24, parallel=300, passages=800),
    "small": PlantedConfig(
        topics=3,
        topic_words=6,
        borrowed_words=4,
        topic_phrases=6,
        words=6,
        stray_words=1,
        absent_phrases=(1, 2),
        parallel=48,
        passages=40,
        dev=16,
        test=16,
        distractors=8,
    ),
}
_MODELS: dict[PlantedSize, BackboneSizes] = {
    "full": BackboneSizes(),
    "small": BackboneSizes(
        encoder=Size(layers=1, hidden=32, dropout=0.0), generator=Size(layers=1, hidden=64, dropout=0.0)
    ),
}


class PlantedSettings(Settings):
    """What can be chosen of a planted corpus beside its size."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Random seed of the corpus, its invented language and the weights of its models."""
    parallel: Annotated[int, Field(ge=1)] | None = None
    """Seed pairs: documents whose English passage is given; null: 300 of the full corpus, 48 of the small one."""


@dataclass(frozen=True, slots=True)
class Planted:
    """A planted corpus: its files, and the folders of an encoder and a generator."""

    files: PlantedFiles
    encoder: Path
    generator: Path


def plant(size: PlantedSize, settings: PlantedSettings, folder: Path) -> Planted:
    """Write a planted corpus and its models. The same settings give the same bytes.

    Raises:
        UserError: the folder cannot be written.
    """
    with writing(folder):
        files = write_planted(_corpus(size, settings), folder)
        return Planted(files, *write_backbones(files, folder, _MODELS[size], settings.seed))


def describe_planted(size: PlantedSize, settings: PlantedSettings) -> str:
    """Describe the planted documents for a dry run."""
    config = _corpus(size, settings)
    return f"{config.parallel:,} pairs, {config.passages:,} records without a pair"


def _corpus(size: PlantedSize, settings: PlantedSettings) -> PlantedConfig:
    return _CORPORA[size].model_copy(update=settings.model_dump(exclude_none=True))
