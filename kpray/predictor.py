"""The one door to every method: `Document` in, ranked `Keyphrase`s out."""

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
    """An English passage whose keyphrases helped.

    Attributes:
        document: the passage.
        keyphrases: its own.
        score: of the retrieval; higher is nearer.
    """

    document: Document
    keyphrases: tuple[str, ...]
    score: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a document got its keyphrases.

    Attributes:
        keyphrases: what `predict` returns without `explain`.
        spans: int32 [tokens, 2], the character span in `Document.text` of each token, in order; none where a method
            scores no tokens.
        scores: float64 [tokens], the score of each token.
        evidence: what was retrieved, the nearest first.
    """

    keyphrases: list[Keyphrase]
    spans: np.ndarray
    scores: np.ndarray
    evidence: tuple[Evidence, ...] = ()


class Predictor(ABC, Generic[Prepared]):
    """Turns documents into ranked keyphrases, in two steps that a batch job can place apart.

    `prepare` is the work of one document on the CPU (words, tags, token ids); its result can be pickled.
    `predict_prepared` is the work of the model on many documents at once.
    """

    kind: ClassVar[str]
    """Name of the method in the registry and in the saved folder."""

    @abstractmethod
    def prepare(self, document: Document) -> Prepared:
        """Do what one document needs before the model.

        Raises:
            RejectedDocument: when the document cannot be processed (its language, its size).
        """

    @abstractmethod
    def tokens(self, prepared: Prepared) -> int:
        """How many tokens of a prepared document the model reads."""

    @abstractmethod
    def predict_prepared(self, prepared: Sequence[Prepared], top: int) -> list[Explanation]:
        """Rank keyphrases for prepared documents, in their order, at most `top` each."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything the predictions depend on (configuration, weights, tagger), as JSON values."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write a folder that `kpray.open_predictor(folder)` opens."""

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
        """Rank keyphrases for each document.

        Args:
            documents: any number, in any order; the result does not depend on either.
            top: the most keyphrases to return for one document.
            explain: return `Explanation`s (keyphrases with the score of every token) instead of lists.

        Raises:
            RejectedDocument: for the first document that cannot be processed.
        """
        explanations = self.predict_prepared([self.prepare(document) for document in documents], top)
        return explanations if explain else [explanation.keyphrases for explanation in explanations]


def write_predictor_file(folder: Path, kind: str, config: Mapping[str, Any], training: Mapping[str, Any]) -> None:
    """Write what makes a folder with a trained model one that `kpray.open_predictor` opens.

    Args:
        folder: where the model is.
        kind: of the predictor.
        config: JSON values of its configuration; which model it is, is left out, since folders may be moved.
        training: what it was made with, JSON values.
    """
    kept = {name: value for name, value in config.items() if name not in ("model", "weights")}
    contents = {"kind": kind, "config": kept, "training": dict(training)}
    (folder / PREDICTOR_FILE).write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")


def read_training(folder: Path) -> dict[str, Any]:
    """What `write_predictor_file` wrote of a model's training; nothing where there is no such file."""
    saved = folder / PREDICTOR_FILE
    training: dict[str, Any] = json.loads(saved.read_text("utf-8")).get("training", {}) if saved.exists() else {}
    return training
