"""Settings of the RGIT job, apart from what needs PyTorch and Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kpray.batch.config import BatchConfig
from kpray.cluster.job import Folder, JobSettings
from kpray.corpus.limits import ReadingSettings
from kpray.ramkg.config import (
    EPOCHS_RUN,
    GENERATOR_OPTIM,
    RETRIEVER_OPTIM,
    GenerateConfig,
    GeneratorConfig,
    IndexConfig,
    RetrieverConfig,
    RGITConfig,
)
from kpray.rgit.planted import PlantedSettings, PlantedSize
from kpray.training import OptimConfig, RunConfig

System = Literal["generator", "ramkg", "rgit"]


class RGITSettings(ReadingSettings, JobSettings):
    """Settings of the RGIT job."""

    parallel: tuple[str, ...] = ()
    """Files of documents with keyphrases whose English passage is known. The field `english_ids` names it; without this
    field, it has the same id as the document."""
    parallel_documents: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of pairs of --parallel to train on, apart from held-out ones. If there are more, they are a sample
    that is balanced over languages. If null, all."""
    passages: tuple[str, ...] = ()
    """Files of documents with keyphrases whose English passage is not known. Some may have none."""
    english: tuple[str, ...] = ()
    """Files of English documents with keyphrases."""
    valid: tuple[str, ...] = ()
    """Files of documents with keyphrases, for choosing the best generators. Without them, those of --valid-pairs are
    used."""
    valid_pairs: tuple[str, ...] = ()
    """Files of documents like those of --parallel, for choosing the best retrievers. Without them, the documents of
    --valid that name their English passage in the field `english_ids` are used. If there are none, every tenth document
    of --parallel is held out."""
    test: tuple[str, ...] = ()
    """Files of documents with keyphrases to predict and report on. Without them, those of --valid are used."""
    answers: tuple[str, ...] = ()
    """Files of records that name the English passages (`english_ids`) of the documents of --passages. Only the report
    uses them."""
    plant: PlantedSize | None = None
    """Generate a synthetic corpus of this size with known answers, and small random models for it, instead of reading
    files."""
    planted: PlantedSettings = PlantedSettings()
    output: Folder
    """Output folder for the predictor, the predictions, the report and the finished steps. All nodes must see it; s3://
    and gs:// also work."""
    steps: Path | None = None
    """Folder of finished steps, which several runs may share. If null, the folder `steps` in the output folder."""
    systems: Annotated[tuple[System, ...], Field(min_length=1)] = ("rgit",)
    """Systems to train on --parallel and --passages and to compare. The last one is saved as the predictor."""
    compare: tuple[Path, ...] = ()
    """Output folders of finished runs to include in the report for comparison."""
    retriever: RetrieverConfig = RetrieverConfig()
    index: IndexConfig = IndexConfig()
    generator: GeneratorConfig = GeneratorConfig()
    generate: GenerateConfig = GenerateConfig()
    rgit: RGITConfig = RGITConfig()
    train_retriever: OptimConfig = RETRIEVER_OPTIM
    """Optimizer and schedule of the retriever."""
    train_generator: OptimConfig = GENERATOR_OPTIM
    """Optimizer and schedule of the generator."""
    run: RunConfig = EPOCHS_RUN
    local: bool = False
    """Train the models in this process with plain PyTorch, without Ray Train and DeepSpeed. Retrieval and mining still
    run on Ray Data."""
    batch: BatchConfig = BatchConfig()

    @model_validator(mode="after")
    def _documents(self) -> Self:
        given = [name for name in ("parallel", "passages", "english") if getattr(self, name)]
        if self.plant and given:
            raise ValueError(f"{given[0]} and plant cannot be combined")
        if not self.plant and len(given) < 3:
            missing = next(name for name in ("parallel", "passages", "english") if name not in given)
            raise ValueError(f"{missing} is needed: give --{missing} PATH, or --config planted")
        return self
