"""A job's output folder in object storage: the job works in a folder of this machine, whose files are uploaded.

Trainings, rounds and sweeps rename folders, append to files and read them again, which object storage does not do. What
appears there is always something to go on from: files are uploaded in the order in which they were written, so that
whatever names others (a checkpoint's manifest, `finished.json`) comes after them; what is gone here goes there last.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kpray.cluster.job import writing
from kpray.errors import UserError
from kpray.log import say
from kpray.storage import ObjectPath, cache_folder, copy_folder, location, reading_objects, reason_of

_SECONDS_BETWEEN_LOOKS = 5.0


def working_folder(output: str) -> Path:
    """Where a job with this output folder writes, as an absolute path: workers have other current folders.

    It is the output folder itself, or for one in object storage a folder below `KPRAY_CACHE` (`~/.cache/kpray`), which
    on several nodes must be a folder that all of them see.
    """
    place = location(output)
    if isinstance(place, Path):
        return place.resolve()
    return cache_folder() / "work" / f"{place.name}-{hashlib.sha256(place.uri.encode()).hexdigest()[:16]}"


@contextmanager
def mirrored(output: str, dry_run: bool = False) -> Iterator[None]:
    """Keep an output folder in object storage like the working folder, from the block's begin to its end.

    What the storage has is fetched first, and a job goes on from there, on whatever machine. Afterwards the working
    folder is removed. For a folder that is none in object storage nothing is done.

    Args:
        output: a job's output folder.
        dry_run: nothing is done either.

    Raises:
        UserError: the storage cannot be read or written (at the end, then the working folder is left), or another job
            on this machine writes to the same place.
    """
    place = location(output)
    if isinstance(place, Path) or dry_run:
        yield
        return
    folder = working_folder(output)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("another job writes there", where=output, fix="wait for it, or stop it") from error
        shutil.rmtree(folder, ignore_errors=True)  # of a job that was killed: the storage may have gone on elsewhere
        folder.mkdir()
        with reading_objects(place):
            copy_folder(place, folder)
        with writing(place):  # what refuses a small file now would refuse the result after hours
            (place / ".writable").write_text("kpray")
            (place / ".writable").unlink()
        mirror = _Mirror(folder, place)
        mirror.start()
        try:
            yield
        finally:
            mirror.stop()
            with writing(place):
                mirror.upload()
        shutil.rmtree(folder)


class _Mirror(threading.Thread):
    """Uploads what changes in a folder.

    Args:
        folder: of this machine, in which all that the place has is found.
        place: in object storage.
    """

    def __init__(self, folder: Path, place: ObjectPath) -> None:
        super().__init__(daemon=True)
        self.folder, self.place = folder, place
        self.uploaded = self._look()
        self.stopped = threading.Event()

    def run(self) -> None:
        """Upload from time to time; what the storage refuses is tried again."""
        while not self.stopped.wait(_SECONDS_BETWEEN_LOOKS):
            try:
                self.upload()
            except OSError as error:
                reason = reason_of(error)
                say("not_uploaded", f"{self.place}: not uploaded yet: {reason}", place=str(self.place), reason=reason)

    def stop(self) -> None:
        """Wait for what is being uploaded."""
        self.stopped.set()
        self.join()

    def upload(self) -> None:
        """Upload what has changed since the last time, oldest first, then remove what is gone.

        Raises:
            OSError: the storage refuses something; what was uploaded by then is not uploaded again.
        """
        found = self._look()
        changed = [name for name, stamp in found.items() if self.uploaded.get(name) != stamp]
        for name in sorted(changed, key=lambda name: found[name]):
            try:
                (self.place / name).upload(self.folder / name)
            except FileNotFoundError:
                if (self.folder / name).exists():
                    raise  # it is the bucket that is not there
                continue  # renamed meanwhile: the next look finds it
            self.uploaded[name] = found[name]
        for name in self.uploaded.keys() - found.keys():
            (self.place / name).unlink(missing_ok=True)
            del self.uploaded[name]

    def _look(self) -> dict[str, tuple[int, int]]:
        """Time of the last change, in nanoseconds, and bytes of each finished file, by its name in the folder."""
        found: dict[str, tuple[int, int]] = {}
        for parent, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".")]  # hidden: unfinished
            for name in files:
                path = os.path.join(parent, name)
                try:
                    state = os.stat(path)
                except FileNotFoundError:
                    continue
                if not name.startswith("."):
                    found[os.path.relpath(path, self.folder)] = (state.st_mtime_ns, state.st_size)
        return found
