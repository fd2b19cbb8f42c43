"""The interface between trainable models and the training loop, and the settings of a training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, Field

from kpray.document import Record
from kpray.errors import UserError
from kpray.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch

    from kpray.metrics.protocols import Protocol


Model = TypeVar("Model", bound="torch.nn.Module")


def _check_installed(tracker: str) -> str:
    if tracker != "none" and find_spec(tracker) is None:
        raise ValueError(f"the package is not installed: pip install {tracker}, or choose none")
    return tracker


def _check_warmup(warmup: float) -> float:
    if warmup > 1 and warmup != int(warmup):
        raise ValueError("a number of steps must be whole")
    return warmup


class OptimConfig(Settings):
    """The optimizer and its schedule, which determine the result on any number of machines."""

    lr: Annotated[float, Field(gt=0)] = 1e-5
    """Peak learning rate of AdamW, reached at the end of the warm-up."""
    new_lr: Annotated[float, Field(gt=0)] = 1.0
    """Learning rate of weights that the backbone does not have (heads, relation layers), as a multiple of `lr`."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay of weight matrices. Biases and layer normalization have none."""
    warmup: Annotated[float, Field(ge=0), AfterValidator(_check_warmup)] = 0.1
    """Length of the warm-up: a number of steps (1 or more), or a fraction of all steps (below 1). After it, the
    learning rate falls linearly to 0."""
    epochs: Annotated[int, Field(ge=1)] = 100
    """Number of passes over the training documents."""
    batch: Annotated[int, Field(ge=1)] = 256
    """Number of documents in one optimizer step, over all workers."""
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Maximum norm of the gradient. If null, gradients are not clipped."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Random seed of the new weights, the order of the documents, the masks and dropout."""


class RunConfig(Settings):
    """How training uses the machines."""

    workers: Annotated[int, Field(ge=1)] | None = None
    """Number of worker processes. If null, one per GPU, or one without GPUs."""
    cpus: Annotated[float, Field(gt=0)] | None = None
    """Number of CPU cores per worker. If null, workers share all cores equally, apart from those for reading data."""
    precision: Literal["auto", "fp16", "bf16", "fp32"] = "auto"
    """Floating-point format of the computation. `auto` is fp16 with dynamic loss scaling on GPUs, and fp32 on CPUs."""
    zero: Literal[0, 1, 2, 3] = 1
    """ZeRO stage of DeepSpeed. Workers share the optimizer state (1), also the gradients (2), also the parameters (3),
    or nothing (0)."""
    micro_tokens: Annotated[int, Field(ge=1)] = 8192
    """Maximum number of tokens in one micro-batch of a worker, including padding."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of storing them. This saves memory and takes a third more
    time."""
    validate_every: Annotated[int, Field(ge=1)] | Literal["epoch"] = 1000
    """Number of steps between validations, or `epoch` for a validation after each epoch. Each validation also writes a
    checkpoint."""
    valid_documents: Annotated[int, Field(ge=1)] = 1000
    """Maximum number of documents in a validation. If --valid has more, they are a sample that is balanced over
    languages."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop training after this number of validations without a better score. If null, never stop early."""
    log_every: Annotated[int, Field(ge=1)] = 10
    """Number of steps between two entries in metrics.jsonl and TensorBoard."""
    most_skipped: Annotated[int, Field(ge=1)] = 50
    """Maximum number of consecutive steps that fp16 may skip because of overflow. More end the training with an
    error."""
    most_failures: Annotated[int, Field(ge=0)] = 3
    """Maximum number of times that lost workers are replaced. One more loss ends the job with an error."""
    tracker: Annotated[Literal["none", "mlflow", "wandb"], AfterValidator(_check_installed)] = "none"
    """Experiment tracker that also receives the metrics. Its package must be installed."""

    def validation_steps(self, per_epoch: int) -> int:
        """Number of steps between validations, if an epoch has `per_epoch` steps."""
        return per_epoch if self.validate_every == "epoch" else self.validate_every


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
    """True if the loss of a document depends on the other documents of its step, as with in-batch negatives. Then each
    worker takes its share of a step in one micro-batch of any size, and `run.micro_tokens` has no effect."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything that training depends on, as JSON values. An output folder with other values is refused."""

    @abstractmethod
    def describe_tokens(self) -> dict[str, Any]:
        """The part that `tokenize` depends on, as JSON values. When it changes, documents are tokenized again."""

    def backbones(self) -> tuple[str, ...]:
        """Folders or hub ids of the pretrained models that every worker reads."""
        return ()

    def check(self, valid: Sequence[Record]) -> None:  # noqa: B027  # most tasks have nothing to check
        """Check, before any worker starts, that training makes sense.

        Args:
            valid: the validation documents.

        Raises:
            UserError: the problem, and its fix.
        """

    @abstractmethod
    def schema(self) -> pa.Schema:
        """Columns of a tokenized row. `length`, int32, is the number of tokens of the row in a batch."""

    @abstractmethod
    def tokenize(self, records: Sequence[Record]) -> list[dict[str, Any] | str]:
        """For each record, a row of `schema`, or the reason why it cannot be used."""

    @abstractmethod
    def build(self) -> torch.nn.Module:
        """The model with its initial weights, float32, on the CPU. New weights come from torch's global generator."""

    @abstractmethod
    def collate(self, rows: Sequence[Mapping[str, np.ndarray]], seeds: Sequence[int]) -> dict[str, torch.Tensor]:
        """Pad rows to a batch on the CPU.

        Args:
            rows: columns of `schema`, numpy arrays each.
            seeds: one for each row. The random choices for a row, such as its masks, depend only on its seed.
        """

    @abstractmethod
    def losses(
        self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor], progress: float
    ) -> dict[str, torch.Tensor]:
        """Sums over the documents of a batch: `loss`, float32 [] with its graph, and its parts, detached.

        Args:
            model: the model from `build`, maybe wrapped. Only its forward pass is called.
            batch: from `collate`, on the model's device.
            progress: steps done / all steps, in [0, 1].
        """

    @abstractmethod
    def validate(self, model: torch.nn.Module, records: Sequence[Record]) -> dict[str, float]:
        """Sums over these documents, which are the share of one worker. The loop adds up the shares."""

    @abstractmethod
    def conclude(self, sums: Mapping[str, float]) -> Validation:
        """The score, metrics and decisions that follow from the sums over all validation documents."""

    @abstractmethod
    def save(self, model: torch.nn.Module, folder: Path, decisions: Mapping[str, Any]) -> None:
        """Write a folder that `open_predictor` opens."""


def valid_files(records: Sequence[Record]) -> str:
    """`--valid` and the first files of validation documents, for error messages."""
    files = list(dict.fromkeys(record.source for record in records))
    return f"--valid {', '.join(files[:3])}{', ...' * (len(files) > 3)}"


def check_keyphrases(valid: Sequence[Record], protocol: Protocol) -> None:
    """Check that validation documents have keyphrases, for `TrainingTask.check`.

    Raises:
        UserError: none has any.
    """
    from kpray.metrics.evaluate import gold_phrases  # not needed to read the options of a training

    if not any(gold_phrases(record, protocol) for record in valid):
        what = f"none of the {len(valid):,} validation documents has keyphrases"
        raise UserError(what, where=valid_files(valid), fix="give files with a field `keyphrases`")


def unwrap(model: torch.nn.Module, kind: type[Model]) -> Model:
    """The model inside a wrapper such as DeepSpeed's engine or DistributedDataParallel, or the model itself."""
    while not isinstance(model, kind):
        model = model.get_submodule("module")
    return model
