"""`Predictor`, the interface of all methods: it takes `Document`s and returns ranked `Keyphrase`s."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, overload

from kpray.document import Document, Keyphrase

if TYPE_CHECKING:
    import numpy as np

PREDICTOR_FILE = "kpray.json"

Prepared = TypeVar("Prepared")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A retrieved English passage whose keyphrases the generator read.

    Attributes:
        document: the passage.
        keyphrases: the keyphrases of the passage.
        score: retrieval score; higher is more similar.
    """

    document: Document
    keyphrases: tuple[str, ...]
    score: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a document got its keyphrases.

    Attributes:
        keyphrases: same as `predict` returns without `explain`.
        spans: int32 [tokens, 2], character span of each token in `Document.text`, in order; empty if the method does
            not score tokens.
        scores: float64 [tokens], score of each token.
        evidence: retrieved passages, most similar first.
    """

    keyphrases: list[Keyphrase]
    spans: np.ndarray
    scores: np.ndarray
    evidence: tuple[Evidence, ...] = ()


class Predictor(ABC, Generic[Prepared]):
    """Predicts ranked keyphrases in two steps, which a batch job may run in different processes.

    `prepare` preprocesses one document on the CPU (words, tags, token ids); its result can be pickled.
    `predict_prepared` runs the model on many documents at once.
    """

    kind: ClassVar[str]
    """Name of the method in the registry and in saved folders."""

    @abstractmethod
    def prepare(self, document: Document) -> Prepared:
        """Preprocess one document for the model.

        Raises:
            RejectedDocument: the document cannot be processed, for example because of its language or size.
        """

    @abstractmethod
    def tokens(self, prepared: Prepared) -> int:
        """Number of tokens of a prepared document that the model reads."""

    @abstractmethod
    def predict_prepared(self, prepared: Sequence[Prepared], top: int) -> list[Explanation]:
        """Rank the keyphrases of each prepared document; return at most `top` for each, in the order of `prepared`."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything that the predictions depend on (configuration, weights, tagger), as JSON values."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write a folder that `kpray.open_predictor(folder)` can open."""

    @overload
    def predict(
        self, documents: Sequence[Document], *, top: int = ..., explain: Literal[False] = ...
    ) -> list[list[Keyphrase]]: ...

    @overload
    def predict(
        self, documents: Sequence[Document], *, top: int = ..., explain: Literal[True]
    ) -> list[Explanation]: ...

    def predict(
        self, documents: Sequence[Document], *, top: int = 10, explain: bool = False
    ) -> list[list[Keyphrase]] | list[Explanation]:
        """Rank the keyphrases of each document.

        Args:
            documents: any number, in any order. A document's result does not depend on the other documents.
            top: maximum number of keyphrases for one document.
            explain: return `Explanation`s, with the score of every token, instead of lists of keyphrases.

        Returns:
            One list of keyphrases, best first, or one `Explanation` per document, in the order of `documents`.

        Raises:
            RejectedDocument: a document cannot be processed.
        """
        explanations = self.predict_prepared([self.prepare(document) for document in documents], top)
        return explanations if explain else [explanation.keyphrases for explanation in explanations]


def write_predictor_file(folder: Path, kind: str, config: Mapping[str, Any], training: Mapping[str, Any]) -> None:
    """Write `kpray.json`, which `kpray.open_predictor` needs to open the folder of a trained model.

    Args:
        folder: folder of the model.
        kind: `Predictor.kind`.
        config: configuration of the predictor, JSON values. `model` and `weights` are not written, because the folder
            may be moved.
        training: configuration of the training, JSON values.
    """
    kept = {name: value for name, value in config.items() if name not in ("model", "weights")}
    contents = {"kind": kind, "config": kept, "training": dict(training)}
    (folder / PREDICTOR_FILE).write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")


def read_training(folder: Path) -> dict[str, Any]:
    """The `training` that `write_predictor_file` wrote; empty if there is no such file."""
    saved = folder / PREDICTOR_FILE
    training: dict[str, Any] = json.loads(saved.read_text("utf-8")).get("training", {}) if saved.exists() else {}
    return training
