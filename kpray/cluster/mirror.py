"""Output folders in object storage: the job works in a local folder, and its files are uploaded.

Trainings, rounds and sweeps rename folders and append to files, which object storage cannot do. A job can resume from
the storage at any time, because files are uploaded in the order in which they were written. A file that refers to
others (a checkpoint's manifest, `finished.json`) therefore arrives after them. Files that were deleted locally are
deleted from the storage last.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kpray.claims import claimed
from kpray.cluster.job import writing
from kpray.log import say
from kpray.storage import ObjectPath, cache_folder, copy_folder, location, reading_objects, reason_of

_SECONDS_BETWEEN_UPLOADS = 5.0


def working_folder(output: str) -> Path:
    """The local folder that a job writes to, as an absolute path, because the current folder of workers differs.

    For a local output folder, it is the same folder. For one in object storage, it is a folder in `KPRAY_CACHE`
    (default `~/.cache/kpray`), which all nodes of a cluster must share.
    """
    target = location(output)
    if isinstance(target, Path):
        return target.resolve()
    return cache_folder() / "work" / f"{target.name}-{hashlib.sha256(target.uri.encode()).hexdigest()[:16]}"


@contextmanager
def mirrored(output: str, dry_run: bool = False) -> Iterator[None]:
    """Own the output folder of a job while the block runs, and mirror the working folder to it if it is in a store.

    The contents of the storage are downloaded first, so that a job can resume on any machine. The working folder is
    removed at the end. A local output folder is its own working folder, and nothing is copied.

    Args:
        output: output folder of the job.
        dry_run: do nothing.

    Raises:
        UserError: the output cannot be read or written, or another job writes to it. If the upload at the end fails,
            the working folder is kept.
    """
    target = location(output)
    if dry_run:
        yield
        return
    if isinstance(target, Path):
        with claimed(target.resolve()):
            yield
        return
    folder = working_folder(output)
    with claimed(target):  # it also shows now, rather than after hours of work, that the storage can be written
        shutil.rmtree(folder, ignore_errors=True)  # left by a killed job; the storage may be newer
        folder.mkdir(parents=True)
        with reading_objects(target):
            copy_folder(target, folder)
        mirror = _Mirror(folder, target)
        mirror.start()
        try:
            yield
        finally:
            mirror.stop()
            with writing(target):
                mirror.upload()
        shutil.rmtree(folder)


class _Mirror(threading.Thread):
    """Uploads the changes in a folder.

    Args:
        folder: local folder. It starts as a copy of `target`.
        target: folder in object storage.
    """

    def __init__(self, folder: Path, target: ObjectPath) -> None:
        super().__init__(daemon=True)
        self.folder, self.target = folder, target
        self.uploaded = self._scan()
        self.stopped = threading.Event()

    def run(self) -> None:
        """Upload every few seconds. A failed upload is logged and tried again."""
        while not self.stopped.wait(_SECONDS_BETWEEN_UPLOADS):
            try:
                self.upload()
            except OSError as error:
                reason = reason_of(error)
                text = f"{self.target}: the upload failed and will be retried: {reason}"
                say("not_uploaded", text, target=str(self.target), reason=reason)

    def stop(self) -> None:
        """Stop after the upload that is running."""
        self.stopped.set()
        self.join()

    def upload(self) -> None:
        """Upload the files that changed since the last call, oldest first. Then delete files that no longer exist.

        Raises:
            OSError: the storage refuses a file. The next call skips the files that were already uploaded.
        """
        found = self._scan()
        changed = [name for name, stamp in found.items() if self.uploaded.get(name) != stamp]
        for name in sorted(changed, key=lambda name: found[name]):
            try:
                (self.target / name).upload(self.folder / name)
            except FileNotFoundError:
                if (self.folder / name).exists():
                    raise  # the bucket does not exist
                continue  # renamed meanwhile; the next scan finds it under its new name
            self.uploaded[name] = found[name]
        for name in self.uploaded.keys() - found.keys():
            (self.target / name).unlink(missing_ok=True)
            del self.uploaded[name]

    def _scan(self) -> dict[str, tuple[int, int]]:
        """Map the relative path of each finished file to its modification time in nanoseconds and its size in bytes."""
        found: dict[str, tuple[int, int]] = {}
        for parent, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".")]  # hidden names are unfinished
            for name in files:
                path = os.path.join(parent, name)
                try:
                    state = os.stat(path)
                except FileNotFoundError:
                    continue
                if not name.startswith("."):
                    found[os.path.relpath(path, self.folder)] = (state.st_mtime_ns, state.st_size)
        return found
