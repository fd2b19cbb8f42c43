"""What a trainable model owes the training loop, and what a user can set about training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, Field

from kpray.document import Record
from kpray.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch


Model = TypeVar("Model", bound="torch.nn.Module")


def _check_installed(tracker: str) -> str:
    if tracker != "none" and find_spec(tracker) is None:
        raise ValueError(f"the package is not installed: pip install {tracker}, or choose none")
    return tracker


class OptimConfig(Settings):
    """The optimizer and its schedule: all that the result depends on, whatever machines it runs on."""

    lr: Annotated[float, Field(gt=0)] = 1e-5
    """Highest learning rate of AdamW, reached at the end of the warm-up."""
    new_lr: Annotated[float, Field(gt=0)] = 1.0
    """Learning rate of weights that the backbone does not have (heads, relation layers), as a multiple of `lr`."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Of weight matrices; biases and layer normalization have none."""
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of all steps over which the learning rate rises; then it falls to 0 in a straight line."""
    epochs: Annotated[int, Field(ge=1)] = 100
    """Times that every document is seen."""
    batch: Annotated[int, Field(ge=1)] = 256
    """Documents of one optimizer step, over all workers."""
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Most norm of a step's gradient; null: not clipped."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the new weights, the order of the documents, masks and dropout."""


class RunConfig(Settings):
    """How training runs on the machines at hand."""

    workers: Annotated[int, Field(ge=1)] | None = None
    """Processes; null: one for each GPU, or one where there is none."""
    cpus: Annotated[float, Field(gt=0)] | None = None
    """Cores of one worker; null: an equal share of the cores that are there, less what reading takes."""
    precision: Literal["auto", "fp16", "bf16", "fp32"] = "auto"
    """`auto`: fp16 with dynamic loss scaling on GPUs, fp32 elsewhere."""
    zero: Literal[0, 1, 2, 3] = 1
    """Stage of ZeRO: what DeepSpeed shards over workers (1 optimizer, 2 also gradients, 3 also parameters)."""
    micro_tokens: Annotated[int, Field(ge=1)] = 8192
    """Most tokens of one forward and backward pass of one worker, padding included."""
    gradient_checkpointing: bool = False
    """Compute activations anew in the backward pass instead of keeping them: less memory, a third more time."""
    validate_every: Annotated[int, Field(ge=1)] = 1000
    """Steps between validations, each of which writes a checkpoint."""
    valid_documents: Annotated[int, Field(ge=1)] = 1000
    """Most documents of a validation: the first of --valid."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Validations without a better score after which training stops; null: it goes to its end."""
    log_every: Annotated[int, Field(ge=1)] = 10
    """Steps between two lines of metrics.jsonl and TensorBoard."""
    most_skipped: Annotated[int, Field(ge=1)] = 50
    """Steps in a row that fp16 may skip for overflow before training gives up."""
    most_failures: Annotated[int, Field(ge=0)] = 3
    """Times that lost workers are replaced before the job ends with an error."""
    tracker: Annotated[Literal["none", "mlflow", "wandb"], AfterValidator(_check_installed)] = "none"
    """Also send the metrics there, where that package is installed."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What the validation documents say of a model.

    Attributes:
        score: what the best checkpoint is chosen by; higher is better.
        metrics: numbers to report, by name.
        decisions: what was chosen on these documents and is saved with the model.
    """

    score: float
    metrics: dict[str, float]
    decisions: dict[str, Any]


class TrainingTask(ABC):
    """A model to be trained. Holds configuration only, so that it can be sent to every worker.

    Documents become rows of tokens once (`tokenize`); rows become tensors (`collate`), tensors become losses
    (`losses`). A loss is always the *sum* over the documents of the batch: the loop divides by the number of
    documents of the whole step, so that the split into micro-batches and over workers does not change the result.
    """

    kind: ClassVar[str]
    """Kind of the predictor that training writes."""

    whole_steps: ClassVar[bool] = False
    """The loss of a document depends on the others of its step: each worker takes its share of a step in one
    micro-batch, however large it is, and `run.micro_tokens` does not count."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything that training depends on, as JSON values: an output folder begun with others is refused."""

    @abstractmethod
    def describe_tokens(self) -> dict[str, Any]:
        """The part of `describe` that `tokenize` depends on: where it differs, documents are tokenized anew."""

    def backbones(self) -> tuple[str, ...]:
        """Folders or hub ids of the pretrained models that every worker reads."""
        return ()

    def check(self, valid: Sequence[Record]) -> None:  # noqa: B027  # most tasks have nothing to find
        """Find, before any worker starts, what would make training useless.

        Args:
            valid: the validation documents.

        Raises:
            UserError: what is wrong, and how to mend it.
        """

    @abstractmethod
    def schema(self) -> pa.Schema:
        """Columns of a tokenized row; `length`, int32, is the number of tokens that the row takes in a batch."""

    @abstractmethod
    def tokenize(self, records: Sequence[Record]) -> list[dict[str, Any] | str]:
        """One row of `schema` for each record, or the reason why it cannot be trained on."""

    @abstractmethod
    def build(self) -> torch.nn.Module:
        """The model with its starting weights, float32, on the CPU; new weights come from torch's global seed."""

    @abstractmethod
    def collate(self, rows: Sequence[Mapping[str, np.ndarray]], seeds: Sequence[int]) -> dict[str, torch.Tensor]:
        """Pad rows to a batch on the CPU.

        Args:
            rows: columns of `schema`, numpy arrays each.
            seeds: one for each row: what is random about a row (its masks) comes from it alone.
        """

    @abstractmethod
    def losses(
        self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor], progress: float
    ) -> dict[str, torch.Tensor]:
        """Sums over the documents of a batch: `loss`, float32 [] with its graph, and its parts, detached.

        Args:
            model: what `build` returned, maybe wrapped; only its forward is called.
            batch: from `collate`, on the model's device.
            progress: steps done / all steps, in [0, 1].
        """

    @abstractmethod
    def validate(self, model: torch.nn.Module, records: Sequence[Record]) -> dict[str, float]:
        """Sums over these documents, which are a worker's share; the loop adds up the shares."""

    @abstractmethod
    def conclude(self, sums: Mapping[str, float]) -> Validation:
        """What the sums over all validation documents say."""

    @abstractmethod
    def save(self, model: torch.nn.Module, folder: Path, decisions: Mapping[str, Any]) -> None:
        """Write a folder that `open_predictor` opens."""


def unwrap(model: torch.nn.Module, kind: type[Model]) -> Model:
    """The model inside what may be wrapped around it (DeepSpeed's engine, DistributedDataParallel)."""
    while not isinstance(model, kind):
        model = model.get_submodule("module")
    return model
