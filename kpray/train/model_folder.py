"""Folders of models, which are whole or as they were before."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from kpray.corpus.writing import write_text


def write_model(folder: Path, save: Callable[[Path], None], about: Mapping[str, Any]) -> None:
    """Write the folder of a model, with training.json, such that it is always whole.

    Raises:
        OSError: it could not be written; the old one is as it was.
    """
    unfinished, old = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.tmp"), folder.with_name(f".{folder.name}.old")
    try:
        unfinished.mkdir()
        save(unfinished)
        write_text(json.dumps(about, indent=2) + "\n", unfinished / "training.json")
        for path in unfinished.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        unfinished.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def recover_model(folder: Path) -> None:
    """Put the old model back when a run was killed between the two renames of `write_model`."""
    old = folder.with_name(f".{folder.name}.old")
    if old.exists() and not folder.exists():
        old.rename(folder)
