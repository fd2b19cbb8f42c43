"""Checksums of files: every byte counts, in blocks that are hashed at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import kpray.checksums
from kpray.checksums import check_file, checksum
from kpray.errors import UserError


@pytest.mark.parametrize("size", [0, 1, 8, 9, 16, 25])
def test_checksum_of_blocks(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kpray.checksums, "_BLOCK", 8)
    monkeypatch.setattr(kpray.checksums, "_READ", 3)
    contents = bytes(range(size))
    (tmp_path / "file").write_bytes(contents)
    blocks = [contents[start : start + 8] for start in range(0, size, 8)]
    expected = hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks)).hexdigest()
    assert checksum(tmp_path / "file") == expected
    check_file(tmp_path / "file", size, expected, "fix")
    for position in range(size):
        changed = bytearray(contents)
        changed[position] ^= 1
        (tmp_path / "file").write_bytes(changed)
        with pytest.raises(UserError, match=r"file: the file is damaged: its checksum has changed \(mend it\)$"):
            check_file(tmp_path / "file", size, expected, "mend it")
    with pytest.raises(UserError, match=r"file: the file is missing or incomplete \(mend it\)$"):
        check_file(tmp_path / "file", size + 1, expected, "mend it")


def test_checksum_of_many_blocks(tmp_path: Path) -> None:
    """A file of three blocks has the same checksum each time, whichever thread is the first."""
    with (tmp_path / "file").open("wb") as file:
        file.truncate(130 << 20)
        file.write(b"1")
    first = checksum(tmp_path / "file")
    assert {checksum(tmp_path / "file") for _ in range(2)} == {first}
    with (tmp_path / "file").open("rb+") as file:
        file.seek(129 << 20)
        file.write(b"1")
    assert checksum(tmp_path / "file") != first
