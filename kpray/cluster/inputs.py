"""Recognises the input files of an output folder: nothing is made from a changed file or twice from a renamed one.

A file is known by its path inside the given folder, so that the folder itself may be renamed or moved. Its identity is
its size, its modification time, and a checksum of blocks of 64 KiB: the first, the last, and others in between, at most
16. The blocks of a file of up to 1 MiB are the whole file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kpray.corpus.reading import bundle, is_small
from kpray.corpus.sources import Source, find_sources
from kpray.errors import UserError
from kpray.storage import CONCURRENT_READS, Location, location, modified, reason_of

_BLOCK, _BLOCKS = 1 << 16, 16
_BUNDLE_BYTES = 1 << 20
_FIX = "give another --output, or the input as it was"


def identify(sources: Sequence[Source], option: str = "") -> dict[str, dict[str, Any]]:
    """Identity of each file, by its path inside the given folder: `bytes`, `modified` (in ns) and `sha256`.

    Args:
        sources: the files.
        option: the option that gives them, such as `--train`, if a job has several. It precedes the path.

    Raises:
        UserError: a file cannot be read.
    """
    names = [f"{option} {source.inside}" if option else source.inside for source in sources]
    with ThreadPoolExecutor(CONCURRENT_READS) as readers:
        return dict(zip(names, readers.map(_identity, sources), strict=True))


def bundles(
    sources: Sequence[Source], now: dict[str, dict[str, Any]], before: Mapping[str, Any], most_files: int
) -> list[Source]:
    """Put small files together, so that each bundle gives one file of output.

    The bundle of a file never changes, because an existing output means that the whole bundle is finished. Files that
    are added later get new bundles.

    Args:
        sources: the files.
        now: their identities; the number of each file's bundle is added under `bundle`.
        before: identities that an earlier run recorded.
        most_files: maximum number of files in a bundle.
    """
    known = [about["bundle"] for about in before.values()]
    number = max(known, default=-1)
    files = size = 0  # of the last new bundle; 0: another file needs a new one
    members: dict[int, list[Source]] = {}
    for source in sources:
        recorded = before.get(source.inside)
        if recorded is not None:
            chosen = recorded["bundle"]
        else:
            fits = is_small(source) and 0 < files < most_files and size + source.bytes <= _BUNDLE_BYTES
            files, size = (files + 1, size + source.bytes) if fits else (int(is_small(source)), source.bytes)
            number += not fits
            chosen = number
        now[source.inside]["bundle"] = chosen
        members.setdefault(chosen, []).append(source)
    return [bundle(files) for files in members.values()]


def identify_options(options: Mapping[str, Sequence[str]], *, follow_links: bool = False) -> dict[str, dict[str, Any]]:
    """Identities of the files of several options: name of an option, without `--` -> its files and folders.

    Raises:
        UserError: a file cannot be read.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, paths in options.items():
        if paths:
            found |= identify(find_sources(paths, follow_links=follow_links), f"--{name}")
    return found


def step_inputs(identities: Mapping[str, Any]) -> list[list[Any]]:
    """What files contain, in order, for the inputs of a step (`kpray.cluster.step_cache`).

    The modification time of a file counts only if the checksum does not cover all of it.
    """
    return [
        [name, each["bytes"], each["sha256"], *([] if _covered(each) else [each["modified"]])]
        for name, each in identities.items()
    ]


def check_inputs(before: Mapping[str, Any], now: Mapping[str, Any], folder: Location, *, may_add: bool = True) -> None:
    """Check that the files of earlier runs are still given, unchanged.

    Args:
        before: identities in the manifest.
        now: identities of this run's files.
        folder: the output folder, for the error message.
        may_add: whether other files may be added. Otherwise, the order of the files counts too.

    Raises:
        UserError: a file is missing or added, has changed, or has another position. The error names the first one.
    """
    for name, old in before.items():
        new = now.get(name)
        if new is None:
            raise UserError(f"holds output of the input {name}, which is not given now", where=str(folder), fix=_FIX)
        if (old["bytes"], old["sha256"]) != (new["bytes"], new["sha256"]):
            raise UserError("the input has changed since this output was started", where=name, fix=_FIX)
        if old["modified"] != new["modified"] and not _covered(new):
            raise UserError(
                "the input may have changed since this output was started: its modification time has",
                where=name,
                fix=_FIX,
            )
    if may_add:
        return
    for name in now:
        if name not in before:
            raise UserError(f"was started without the input {name}", where=str(folder), fix=_FIX)
    for old, new in zip(before, now, strict=True):
        if old != new:
            raise UserError(f"was started with the input {old} before {new}", where=str(folder), fix=_FIX)


def check_apart(inputs: Iterable[str], output: Location) -> None:
    """Check that no input contains the output and that the output contains no input.

    Raises:
        UserError: one does. The job would read its own output, or write among its inputs.
    """
    there = _parts(output)
    for name in inputs:
        here = _parts(location(name))
        shared = min(len(here), len(there))
        if here[:shared] == there[:shared]:
            inner, outer = (output, name) if len(here) <= len(there) else (name, output)
            what = f"the input and the output must not contain each other, but this is inside {outer}"
            raise UserError(what, where=str(inner), fix="give another --output")


def _parts(path: Location) -> tuple[str, ...]:
    return path.resolve().parts if isinstance(path, Path) else tuple(path.uri.split("/"))


def _covered(identity: Mapping[str, Any]) -> bool:
    """Whether the checksum of a file covers all of it."""
    return bool(identity["bytes"] <= _BLOCK * _BLOCKS)


def _identity(source: Source) -> dict[str, Any]:
    if source.problem:  # it is not read: opening a pipe would wait forever
        return {"bytes": 0, "modified": 0, "sha256": ""}
    path = location(source.path)
    digest = hashlib.sha256()
    last = max(source.bytes - _BLOCK, 0)
    count = min(-(-source.bytes // _BLOCK), _BLOCKS)
    try:
        with path.open("rb") as file:
            for index in range(count):
                file.seek(last * index // max(count - 1, 1))
                digest.update(file.read(_BLOCK))
        return {"bytes": source.bytes, "modified": modified(path), "sha256": digest.hexdigest()}
    except OSError as error:
        raise UserError(
            f"cannot be read: {reason_of(error)}", where=source.name, fix="check its permissions"
        ) from error
