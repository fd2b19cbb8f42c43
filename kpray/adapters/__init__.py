"""Keyphrases inside other libraries: scikit-learn, spaCy and LangChain. Each module needs the library of its name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from kpray.document import Keyphrase
from kpray.errors import RejectedDocument
from kpray.predictor import Predictor
from kpray.registry import open_predictor


def opened(predictor: str | Predictor[Any], config: Mapping[str, Any] | None) -> Predictor[Any]:
    """Open a predictor by its name, unless it is one.

    Raises:
        UserError: as `open_predictor`.
    """
    return predictor if isinstance(predictor, Predictor) else open_predictor(predictor, config)


def keyphrases_or_none(predictor: Predictor[Any], documents: Iterable[Any], top: int) -> list[list[Keyphrase]]:
    """The keyphrases of each document, in order. A document that is rejected has none, and a warning says why."""
    found = predictor.predict(documents, top=top)
    for each in found:
        if isinstance(each, RejectedDocument):
            warnings.warn(f"no keyphrases for {each}", stacklevel=3)
    return [[] if isinstance(each, RejectedDocument) else each for each in found]
