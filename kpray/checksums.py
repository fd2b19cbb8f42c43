"""Checksums of large files, which take no longer than reading the files."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kpray.errors import UserError
from kpray.storage import reason_of

_BLOCK, _READ = 1 << 26, 1 << 20  # bytes
_THREADS = 8  # more would compete with other processes of the same machine


def checksum(path: Path) -> str:
    """Checksum of all bytes of a file: the SHA-256 of the SHA-256s of its blocks of 64 MiB.

    Threads hash several blocks at once.

    Raises:
        OSError: the file cannot be read.
    """

    def digest(start: int) -> bytes:
        found, left = hashlib.sha256(), _BLOCK
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while left and (part := file.read(min(left, _READ))):
                found.update(part)
                left -= len(part)
        return found.digest()

    starts = range(0, path.stat().st_size, _BLOCK)
    with ThreadPoolExecutor(min(_THREADS, len(os.sched_getaffinity(0)))) as threads:
        return hashlib.sha256(b"".join(threads.map(digest, starts))).hexdigest()


def check_file(path: Path, size: int, expected: str, fix: str) -> None:
    """Check that a file is as it was written.

    Args:
        path: the file.
        size: its number of bytes when it was written.
        expected: its checksum when it was written.
        fix: what to do otherwise, for the message.

    Raises:
        UserError: the file is missing, incomplete or damaged, or cannot be read.
    """
    try:
        if not path.is_file() or path.stat().st_size != size:
            raise UserError("the file is missing or incomplete", where=str(path), fix=fix)
        if checksum(path) != expected:
            raise UserError("the file is damaged: its checksum has changed", where=str(path), fix=fix)
    except OSError as error:
        raise UserError(f"cannot be read: {reason_of(error)}", where=str(path), fix=fix) from error
