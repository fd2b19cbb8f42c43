"""The description of an index of passages, `index.json` in its folder."""

from __future__ import annotations

import json
from pathlib import Path

from kpray.errors import UserError
from kpray.ramkg.config import IndexConfig
from kpray.settings import Settings, validate_settings

INFO = "index.json"


class ShardFile(Settings):
    """One file of an index."""

    file: str
    """Name in the index's folder."""
    vectors: int
    """Vectors in it; it goes on where the one before it ends."""
    bytes: int
    """Size of the file."""
    checksum: str
    """Its `kpray.checksums.checksum`."""


class IndexInfo(Settings):
    """What `index.json` says of an index."""

    encoder: str
    """Checksum of the encoder that made the vectors."""
    dimension: int
    """Size of a vector."""
    vectors: int
    """How many; vector i is of row i of the `PassageStore`."""
    config: IndexConfig
    """What it was built with."""
    shards: tuple[ShardFile, ...]
    """Its files, in the order of their rows."""
    recall: float | None = None
    """Of `ivfpq`: share of the exact 10 neighbours of a passage, itself left out, that it finds; the mean of up to
    1,000 passages. None for an exact index."""


def read_index_info(folder: Path) -> IndexInfo:
    """Read the description of an index without opening it.

    Raises:
        UserError: there is no index, `index.json` is damaged, or it has no checksums.
    """
    path = folder / INFO
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            "the folder has no valid index.json", where=str(folder), fix="build the index of passages first"
        ) from error
    values = values if isinstance(values, dict) else {}
    if values.get("shards") and "checksum" not in str(values["shards"]):
        what = "the index has no checksums: an earlier version of kpray built it"
        raise UserError(what, where=str(folder), fix="remove the folder and run the command again that made it")
    return validate_settings(IndexInfo, values, where=str(path))
