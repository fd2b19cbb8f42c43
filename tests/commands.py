"""What a command of a user leaves behind, in this process or in one of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Finished:
    """A command that ended: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Of `kpray extract --format json`."""
        documents: list[dict[str, Any]] = json.loads(self.out)["documents"]
        return documents


RunHere = Callable[..., Finished]
