"""Keyphrase prediction: a `Predictor` takes `Document`s and returns ranked `Keyphrase`s."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kpray.corpus.records import read_records
    from kpray.document import Document, Keyphrase
    from kpray.errors import RejectedDocument, UserError
    from kpray.metrics.evaluate import evaluate
    from kpray.predictor import Predictor
    from kpray.registry import open_predictor

__all__ = [
    "Document",
    "Keyphrase",
    "Predictor",
    "RejectedDocument",
    "UserError",
    "__version__",
    "evaluate",
    "open_predictor",
    "read_records",
]

__version__ = "0.1.0"

# Public name -> its module, imported at first use, so that `import kpray` does not import torch.
_MODULES = {
    "Document": "kpray.document",
    "Keyphrase": "kpray.document",
    "Predictor": "kpray.predictor",
    "RejectedDocument": "kpray.errors",
    "UserError": "kpray.errors",
    "evaluate": "kpray.metrics.evaluate",
    "open_predictor": "kpray.registry",
    "read_records": "kpray.corpus.records",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
