"""What a user can get wrong. Each error is one line that says what, where, and how to mend it."""

from __future__ import annotations

from functools import partial
from typing import Any


class UserError(Exception):
    """A mistake of the user: shown as one line, without a traceback, with exit code 2.

    Args:
        what: what is wrong, as a full clause.
        where: the file, line or field it is about; empty when there is none.
        fix: what to do about it; empty when `what` already says so.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(what, where, fix)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the error survive pickling between processes, in spite of its keyword arguments."""
        return partial(type(self), where=self.where, fix=self.fix), (self.what,)

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        fix = f" ({self.fix})" if self.fix else ""
        return f"{where}{self.what}{fix}".replace("\n", " ")


# Modules that come with an extra of the package.
_EXTRAS = {
    "cluster": (
        *("deepspeed", "fastapi", "fastapi_offline", "limits", "matplotlib", "optuna", "prometheus_client", "ray"),
        *("starlette", "tensorboardX"),
    ),
    "cpu": ("faiss", "google", "sentencepiece"),
    "bitext": ("sentence_transformers",),
}


def missing_extra(error: ModuleNotFoundError) -> UserError | None:
    """What to install where a module of an extra is missing; None where it is another module."""
    module = str(error.name).partition(".")[0]
    extra = next((extra for extra, modules in _EXTRAS.items() if module in modules), None)
    return UserError(f"{module} is not installed", fix=f"pip install 'kpray[{extra}]'") if extra else None


class RejectedDocument(Exception):
    """One document that cannot be processed. The run goes on; the reason goes to the rejects file."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
