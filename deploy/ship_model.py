"""Put a trained predictor into kpray itself: weights in half precision, settings, tokenizer and a checksum.

    python deploy/ship_model.py best/

The folder `kpray/models/KIND` is replaced whole. Its README.md, the model card, is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from safetensors.torch import load_file, save_file

from kpray.errors import UserError
from kpray.hub import SHIPPED
from kpray.predictor import PREDICTOR_FILE
from kpray.storage import whole_folder

_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_MOST_BYTES = 50_000_000  # of the weights, which are in every wheel


def ship_model(trained: Path, shipped: Path = SHIPPED) -> Path:
    """Copy a trained predictor into the folder of the models that come with kpray.

    Args:
        trained: folder that a training job or `Predictor.save` wrote.
        shipped: folder of the models.

    Returns:
        The new folder.

    Raises:
        UserError: the folder has no predictor, names a path of this machine, or its weights are too large.
    """
    if not (trained / PREDICTOR_FILE).is_file():
        raise UserError(f"has no {PREDICTOR_FILE}", where=str(trained), fix="give a folder that a training job wrote")
    saved = json.loads((trained / PREDICTOR_FILE).read_text(encoding="utf-8"))
    output: Path = shipped / saved["kind"]
    saved["config"]["model"] = saved["kind"]
    run = trained.parent / "_config.yaml"
    if run.is_file():  # after a pretraining the backbone is a folder of the run: name the one that the run began with
        first = yaml.safe_load(run.read_text(encoding="utf-8"))["task"]["model"]["backbone"]
        saved["training"]["task"]["model"]["backbone"] = first
    if str(Path.home()) in json.dumps(saved) or '"/' in json.dumps(saved):
        raise UserError(
            "its settings name a path of this machine",
            where=str(trained / PREDICTOR_FILE),
            fix="train from a backbone that is named by its id on the hub",
        )
    card = output / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else None
    weights = {name: value.half().contiguous() for name, value in load_file(trained / "model.safetensors").items()}
    with whole_folder(output) as unfinished:
        save_file(weights, unfinished / "model.safetensors", metadata={"format": "pt"})
        size = (unfinished / "model.safetensors").stat().st_size
        if size > _MOST_BYTES:
            raise UserError(
                f"the weights have {size:,} bytes in half precision, more than {_MOST_BYTES:,}",
                where=str(trained / "model.safetensors"),
                fix="train a smaller model",
            )
        for name in _FILES:
            if (trained / name).is_file():
                shutil.copy(trained / name, unfinished / name)
        (unfinished / PREDICTOR_FILE).write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")
        if text is not None:
            (unfinished / "README.md").write_text(text, encoding="utf-8")
    return output


def main(arguments: Sequence[str]) -> int:
    """Copy the predictor, and print the size and the SHA-256 of its weights for the model card."""
    parser = argparse.ArgumentParser(prog="ship_model.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("trained", type=Path, help="folder that a training job wrote")
    try:
        weights = ship_model(parser.parse_args(arguments).trained) / "model.safetensors"
    except UserError as error:
        print(f"kpray: error: {error}", file=sys.stderr)
        return 2
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    print(f"{weights}: {weights.stat().st_size:,} bytes, SHA-256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
