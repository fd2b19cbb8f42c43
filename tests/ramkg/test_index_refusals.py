"""Folders that are no index, and vectors that an index cannot store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kpray.errors import UserError
from kpray.ramkg.config import IndexConfig
from kpray.ramkg.index import PassageIndex, build_index
from tests.ramkg.index_data import FLOAT16, FLOAT32, SHARD, batches, random_vectors


def test_index_without_checksums(tmp_path: Path) -> None:
    build_index([random_vectors(10)], tmp_path, FLOAT16, "checksum", SHARD)
    stored = json.loads((tmp_path / "index.json").read_text())
    for shard in stored["shards"]:
        del shard["checksum"]
    (tmp_path / "index.json").write_text(json.dumps(stored))
    with pytest.raises(UserError) as caught:
        PassageIndex(tmp_path, None)
    assert str(caught.value) == (
        f"{tmp_path}: the index has no checksums: an earlier version of kpray built it "
        "(remove the folder and run the command again that made it)"
    )


@pytest.mark.parametrize("contents", [None, "", "[]", "{}", "1"])
def test_other_folders_are_refused(contents: str | None, tmp_path: Path) -> None:
    if contents is not None:
        (tmp_path / "index.json").write_text(contents)
    with pytest.raises(
        UserError, match=rf"^{tmp_path}(/index\.json)?: (the folder has no valid index\.json|encoder is required)"
    ):
        PassageIndex(tmp_path, None)


@pytest.mark.parametrize("vectors", [[], [np.empty((0, 8), np.float32)]])
def test_empty_input(vectors: list[np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^{tmp_path}: there are no passages to index \(give files with passages\)$"):
        build_index(vectors, tmp_path, FLOAT16, "checksum", SHARD)


@pytest.mark.parametrize(
    ("value", "config", "message"),
    [
        (np.nan, FLOAT32, "the vector of passage 130 has NaN or infinite values (check the encoder)"),
        (-np.inf, FLOAT16, "the vector of passage 130 has NaN or infinite values (check the encoder)"),
        (7e4, FLOAT16, "index.storage: the vector of passage 130 exceeds float16 (choose float32)"),
    ],
)
def test_vectors_that_cannot_be_stored(value: float, config: IndexConfig, message: str, tmp_path: Path) -> None:
    """The old index is kept, and no file of the new one is left."""
    old = build_index([random_vectors(30)], tmp_path, FLOAT16, "old", SHARD)
    vectors = random_vectors(150)
    vectors[130, 3] = value
    with pytest.raises(UserError) as caught:
        build_index(batches(vectors, 70), tmp_path, config, "new", SHARD)
    assert str(caught.value) == message
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["index.json", old.shards[0].file])
    assert len(PassageIndex(tmp_path, "old")) == 30
