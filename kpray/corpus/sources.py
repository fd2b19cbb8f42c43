"""Which files there are to read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kpray.errors import UserError
from kpray.storage import ObjectPath, file_sizes, is_object, location, reading_objects

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl.gz",
    ".ndjson.gz": "jsonl.gz",
    ".json": "json",
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".pdf": "pdf",
}
UNKNOWN = "unknown"
_KNOWN_TYPES = "known types: " + " ".join(FORMATS)


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read.

    Attributes:
        path: absolute path, so that a worker with another current folder finds it; or a name in object storage.
        name: what the user sees: the path as given, or the folder as given, "/" and the path inside it.
        format: one of the values of `FORMATS`, or "unknown".
        bytes: size of the file.
    """

    path: str
    name: str
    format: str
    bytes: int


def find_sources(paths: Sequence[str]) -> list[Source]:
    """List the files that `paths` name, folders in depth and in sorted order.

    Inside a folder, names that start with "." or "_" are left out, and a file of unknown type is listed with the
    format "unknown", so that it is rejected by name and not passed over.

    Raises:
        UserError: a path is absent or of unknown type, a folder has no file that can be read, or a file comes twice.
    """
    sources: list[Source] = []
    for path in paths:
        if is_object(path):
            sources += _objects(path)
        elif os.path.isdir(path):
            found = [_source(file, name) for file, name in _walk(path)]
            if all(source.format == UNKNOWN for source in found):
                raise UserError("the folder has no file that can be read", where=path, fix=_KNOWN_TYPES)
            sources += found
        else:
            source = _source(path, path)
            if source.format == UNKNOWN:
                raise UserError(unknown_type(path), where=path, fix=_KNOWN_TYPES)
            sources.append(source)
    names: dict[str, str] = {}
    for source in sources:
        if source.path in names:
            raise UserError(f"the file comes twice in the input (also as {names[source.path]})", where=source.name)
        names[source.path] = source.name
    return sources


def _objects(uri: str) -> list[Source]:
    """The file of a name in object storage, or the files of a folder there."""
    place = location(uri)
    assert isinstance(place, ObjectPath)
    with reading_objects(place):
        if place.is_file():
            files = [(place, place.size())]
        else:
            begin = len(str(place))
            files = [
                (file, size)
                for file, size in file_sizes(place)
                if not any(part.startswith((".", "_")) for part in str(file)[begin:].split("/"))
            ]
    sources = [Source(str(file), str(file), FORMATS.get(_suffix(str(file)), UNKNOWN), size) for file, size in files]
    if not sources:
        raise UserError("no such file or folder", where=uri, fix=_KNOWN_TYPES)
    if all(source.format == UNKNOWN for source in sources):
        raise UserError("there is no file that can be read", where=uri, fix=_KNOWN_TYPES)
    return sources


def short_names(paths: Sequence[str]) -> list[str]:
    """The shortest ends of paths that tell them apart, suffixes of files left out where they are known.

    `data/inspec/test.jsonl` and `data/nus/test.jsonl.gz` become `inspec/test` and `nus/test`; alone each is `test`.

    Raises:
        UserError: a path is given twice.
    """
    whole = [os.path.abspath(path) if os.path.exists(path) else path for path in paths]
    for place, path in enumerate(whole):
        if path in whole[:place]:
            raise UserError("is given twice", where=paths[place])
    parts = [path[: len(path) - len(_suffix(path))].strip("/").split("/") for path in whole]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(paths)  # they differ in their suffixes alone


def unknown_type(name: str) -> str:
    """Say why a file cannot be read that has none of the known suffixes."""
    suffix = os.path.splitext(name)[1]
    return f"unknown file type {suffix}" if suffix else "unknown file type (the name has no suffix)"


def _walk(folder: str) -> Iterator[tuple[str, str]]:
    """Path and name of each visible file; links to folders are followed, each folder is entered once."""

    def fail(error: OSError) -> None:
        raise UserError(f"the folder cannot be read: {error.strerror}", where=str(error.filename)) from error

    entered = {os.path.realpath(folder)}
    files: list[str] = []
    for parent, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        visible = [name for name in folders if not name.startswith((".", "_"))]
        folders[:] = []
        for name in sorted(visible):
            real = os.path.realpath(os.path.join(parent, name))
            if real not in entered:
                entered.add(real)
                folders.append(name)
        files += [os.path.join(parent, name) for name in names if not name.startswith((".", "_"))]
    prefix = folder.rstrip("/")
    for inside in sorted(os.path.relpath(file, folder) for file in files):
        yield os.path.join(folder, inside), f"{prefix}/{inside}"


def _source(path: str, name: str) -> Source:
    if not os.path.exists(path):
        raise UserError("no such file or folder", where=name, fix=_KNOWN_TYPES)
    if not os.path.isfile(path):
        raise UserError("not a regular file", where=name, fix=_KNOWN_TYPES)
    return Source(
        path=os.path.abspath(path),
        # A name that is not UTF-8 could not be stored in JSON or Parquet.
        name=os.fsencode(name).decode("utf-8", "backslashreplace"),
        format=FORMATS.get(_suffix(path), UNKNOWN),
        bytes=os.path.getsize(path),
    )


def _suffix(path: str) -> str:
    """The longest known suffix of a path, in small letters: .jsonl.gz is one, .gz alone is not; empty for none."""
    return max((suffix for suffix in FORMATS if path.lower().endswith(suffix)), key=len, default="")
