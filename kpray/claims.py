"""An output folder has one owner at a time: the run that holds a claim on it. This works on local disks, NFS and S3.

A run announces itself with a file of its own and then lists the files of the others. It owns the folder if there are
none. Otherwise it takes its file back. Two runs cannot both own the folder: each run writes its file before it lists,
so that the run with the later file sees the earlier one. This needs no rename, no lock and no conditional write, which
object storage and NFS do not all have. It needs listings that show each earlier file. S3 and GCS promise this, and an
NFS client reads a folder again after it has changed it.

The owner renews its claim every few seconds. A claim ends when its run removes it, when its process is dead on this
machine, or when a run on another machine has watched it for a minute and a half without a renewal. No clocks are
compared. File names are never used again, so that no run removes a newer claim by mistake.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from kpray.errors import UserError
from kpray.log import say
from kpray.storage import Location, reason_of

SECONDS_BETWEEN_RENEWALS = 10.0
SECONDS_WITHOUT_RENEWAL = 90.0  # then the owner is dead, or it stops when it notices that its claim is gone
_CLAIM, _RENEWALS = ".owner", ".renewals"
_SURE = 3  # a run that only announces itself takes its file back, and is not seen so often


@contextmanager
def claimed(folder: Location, claims: Location | None = None, *, wait: bool = False) -> Iterator[None]:
    """Own an output folder while the block runs.

    Args:
        folder: the output folder.
        claims: folder for the claims, which is removed when it is empty. None: a folder inside the output folder.
        wait: wait for a living owner to end instead of refusing.

    Raises:
        UserError: another run owns the folder, the folder cannot be written, or the claim was lost meanwhile, because
            this process was suspended for too long.
    """
    claims = folder / "_kpray" / ".owner" if claims is None else claims
    made = _missing(claims) if isinstance(claims, Path) else []
    try:
        own = _take(folder, claims, wait)
    except OSError as error:
        raise UserError(f"cannot write: {reason_of(error)}", where=str(folder), fix="choose another path") from error
    renewer = _Renewer(own, folder)
    renewer.start()
    try:
        yield
    except KeyboardInterrupt:
        if renewer.lost:
            raise _lost(folder) from None
        raise
    finally:
        renewer.stop()
        _remove(own, claims)
        for empty in made:  # of a run that failed before it wrote anything
            with suppress(OSError):
                empty.rmdir()
    if renewer.lost:
        raise _lost(folder)


def _missing(folder: Path) -> list[Path]:
    """The parents of a folder that do not exist yet, the innermost first."""
    return [parent for parent in folder.parents if not parent.exists()]


def sibling(folder: Path) -> Path:
    """Folder for the claims of a folder that must not have other files in it."""
    return folder.with_name(f".{folder.name}.owner")


def _lost(folder: Location) -> UserError:
    return UserError(
        "another job has taken over the folder, or it was removed, while this job did not run",
        where=str(folder),
        fix="see whether another job is writing there, then enter the same command again",
    )


@dataclass(frozen=True, slots=True)
class _Claim:
    """The claim of another run: its file, its owner, and how often it was renewed ("": never)."""

    file: Location
    owner: dict[str, Any]
    renewals: str

    @property
    def here(self) -> bool:
        """Whether the owner's process can be seen from this one."""
        return bool(self.owner.get("machine") == _machine())

    @property
    def dead(self) -> bool:
        """Whether the owner is known to be dead: the process is gone, or another one has its number now."""
        return self.here and _started(self.owner["process"]) not in (self.owner["started"], None)


def _take(folder: Location, claims: Location, wait: bool) -> Location:
    """Announce this run until no other one has a claim, and return the file of its claim."""
    watched: dict[str, _Watched] = {}
    said = False
    while True:
        others = _living(claims, watched)
        if not others:
            claims.mkdir(parents=True, exist_ok=True)
            own = claims / f"{uuid4().hex}{_CLAIM}"
            try:
                own.write_text(json.dumps(_this_run()), encoding="utf-8")
                if not (others := _living(claims, watched, own)):
                    return own
            except FileNotFoundError:
                if isinstance(claims, Path):
                    continue  # another run has just removed the empty folder
                raise
            except BaseException:
                _remove(own, claims)
                raise
            _remove(own, claims)
        for other in others:
            if not wait and watched[other.file.name].alive:
                raise UserError(
                    f"another job is writing there: {_describe(other)}",
                    where=str(folder),
                    fix="wait for it or stop it, or give another output folder",
                )
        patient = wait or not any(other.here for other in others)
        if patient and not said and all(watched[other.file.name].looks >= _SURE for other in others):
            said = True
            end = "ends" if wait else f"ends, or shows no sign of life for {SECONDS_WITHOUT_RENEWAL:.0f} s"
            say("waiting", f"{folder}: waiting until another job {end}: {_describe(others[0])}")
        time.sleep(random.uniform(0.1, 0.3) if not said else 1.0)


class _Watched:
    """What this run has seen of another run's claim.

    Attributes:
        looks: how often the claim was seen.
        alive: whether the owner lives: its process does, or the claim was renewed since it was first seen.
    """

    def __init__(self, claim: _Claim) -> None:
        self.claim, self.since = claim, time.monotonic()
        self.looks, self.renewed = 0, False

    def look(self, claim: _Claim) -> None:
        self.looks += 1
        if claim.renewals != self.claim.renewals:
            self.since, self.renewed = time.monotonic(), True
        self.claim = claim  # the first look may have seen a file that was not yet complete

    @property
    def alive(self) -> bool:
        return self.looks >= _SURE and (self.claim.here or self.renewed)

    @property
    def dead(self) -> bool:
        """Whether the owner is dead. A process on this machine is alive while it is there, even if it is suspended."""
        return not self.claim.here and time.monotonic() - self.since > SECONDS_WITHOUT_RENEWAL


def _living(claims: Location, watched: dict[str, _Watched], own: Location | None = None) -> list[_Claim]:
    """The claims of other runs. Those of dead ones are removed."""
    found: list[_Claim] = []
    files: list[Location] = [*claims.glob(f"*{_CLAIM}")]
    for file in files:
        if own is not None and file.name == own.name:
            continue
        claim = _read(file)
        if claim is None:
            continue
        known = watched.setdefault(file.name, _Watched(claim))
        known.look(claim)
        if claim.dead or known.dead:
            _remove(file, claims)
            say("taken_over", f"{claims}: the job that wrote there is dead: {_describe(claim)}")
        else:
            found.append(claim)
    return found


def _read(file: Location) -> _Claim | None:
    """Read a claim; None if it was removed meanwhile."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        owner = {name: kind(values[name]) for name, kind in _KINDS.items()}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError):
        owner = {}  # not yet complete, or damaged: a run on an unknown machine
    if not all(str(value).isprintable() for value in owner.values()):
        owner = {}  # it must not write control characters to the terminal
    try:
        renewals = _renewals(file).read_text(encoding="utf-8")
    except (FileNotFoundError, ValueError):
        renewals = ""
    return _Claim(file, owner, renewals)


_KINDS = {"host": str, "machine": str, "process": int, "started": str, "since": str}


def _this_run() -> dict[str, Any]:
    since = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    process = os.getpid()
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "process": process,
        "started": _started(process),
        "since": since,
    }


def _describe(claim: _Claim) -> str:
    owner = claim.owner
    return f"process {owner['process']} on {owner['host']}, since {owner['since']}" if owner else "an unknown process"


def _machine() -> str:
    """Identify the processes that this one can see: those since this start of the machine, in the same container."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"


def _started(process: int) -> str | None:
    """When a process was started, in clock ticks of the machine; "": it is dead; None: it is hidden from this user.

    A zombie is dead.
    """
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        try:
            os.kill(process, 0)  # /proc may hide the processes of other users
        except (ProcessLookupError, OverflowError):
            return ""
        except PermissionError:
            pass
        return None
    fields = text.rpartition(")")[2].split()  # the name of the program may contain spaces and brackets
    return "" if fields[0] in "ZX" else fields[19]


def _renewals(file: Location) -> Location:
    return file.with_name(file.name.removesuffix(_CLAIM) + _RENEWALS)


def _remove(file: Location, claims: Location) -> None:
    """Remove a claim, and the folder of the claims if it is empty then."""
    file.unlink(missing_ok=True)
    _renewals(file).unlink(missing_ok=True)
    if isinstance(claims, Path):
        with suppress(OSError):  # another run has a claim there
            claims.rmdir()


class _Renewer(threading.Thread):
    """Renews a claim. It interrupts the main thread when the claim is gone.

    Attributes:
        lost: whether the claim is gone.
    """

    def __init__(self, own: Location, folder: Location) -> None:
        super().__init__(daemon=True)
        self._own, self._folder = own, folder
        self._ended = threading.Event()
        self.lost = False

    def run(self) -> None:
        """Renew every few seconds. A failed renewal is logged and tried again."""
        number = 0
        while not self._ended.wait(SECONDS_BETWEEN_RENEWALS):
            number += 1
            try:
                _renewals(self._own).write_text(str(number), encoding="utf-8")
                self._own.read_text(encoding="utf-8")  # the run that takes over removes this file. NFS caches exists().
            except FileNotFoundError:
                self.lost = True
            except OSError as error:
                reason = reason_of(error)
                say("not_renewed", f"{self._folder}: the claim was not renewed: {reason}", reason=reason)
            if self.lost:
                # A real signal, because `_thread.interrupt_main` does not end what the main thread waits for.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return

    def stop(self) -> None:
        """Stop after the renewal that is running."""
        self._ended.set()
        self.join()
