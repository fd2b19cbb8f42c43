"""`kpray.json`, which makes a folder of a trained model a predictor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kpray.hub import PREDICTOR_FILE
from kpray.json_files import read_object


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
    training: dict[str, Any] = read_object(saved, "save it again").get("training", {}) if saved.exists() else {}
    return training
