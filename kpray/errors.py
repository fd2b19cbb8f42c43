"""Errors that a user can cause. Each is shown as one line: what is wrong, where, and how to fix it."""

from __future__ import annotations

from functools import partial
from typing import Any

from kpray.escapes import escape_controls


class UserError(Exception):
    """A mistake of the user, shown as one line without a traceback; the exit code is 2.

    Args:
        what: what is wrong, as a full clause.
        where: file, line or field of the mistake; may be empty.
        fix: how to fix it; may be empty if `what` already says so.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(what, where, fix)

    def __reduce__(self) -> tuple[Any, ...]:
        """Make the error picklable: `Exception` would lose the keyword arguments."""
        return partial(type(self), where=self.where, fix=self.fix), (self.what,)

    def __str__(self) -> str:
        where = f"{escape_controls(self.where)}: " if self.where else ""
        fix = f" ({self.fix})" if self.fix else ""
        return escape_controls(f"{where}{self.what}{fix}".replace("\n", " "))


# Extra of the package -> modules that it installs.
_EXTRAS = {
    "cluster": (
        *("deepspeed", "fastapi", "fastapi_offline", "limits", "matplotlib", "optuna", "prometheus_client", "ray"),
        *("starlette", "tensorboardX", "uvicorn"),
    ),
    "cpu": ("faiss", "google", "sentencepiece"),
    "bitext": ("sentence_transformers",),
    "langchain": ("langchain_core",),
    "sklearn": ("sklearn",),
    "spacy": ("spacy",),
}


def missing_extra(error: ModuleNotFoundError) -> UserError | None:
    """The error that says which extra to install for a missing module; None if the module belongs to no extra."""
    module = str(error.name).partition(".")[0]
    extra = next((extra for extra, modules in _EXTRAS.items() if module in modules), None)
    return UserError(f"{module} is not installed", fix=f"pip install 'kpray[{extra}]'") if extra else None


class RejectedDocument(Exception):
    """One document cannot be processed. The others are processed all the same.

    A job writes the reason to its rejects file; `Predictor.predict` returns the exception in the document's position.

    Args:
        reason: why the document cannot be processed, in one line.
        document: id or position of the document, for the message; may be empty.
    """

    def __init__(self, reason: str, document: str = "") -> None:
        self.reason, self.document = reason, document
        super().__init__(reason, document)

    def __str__(self) -> str:
        return f"document {self.document}: {self.reason}" if self.document else self.reason
