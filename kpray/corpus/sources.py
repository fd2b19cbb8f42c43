"""The list of input files and their formats."""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kpray.errors import UserError
from kpray.escapes import escape_controls
from kpray.storage import ObjectPath, file_sizes, is_object, location, reading_objects

_STREAMED = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
}
_TEXTS = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".rst": "rst",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
}
_PLAIN = {**_STREAMED, **_TEXTS}
_BINARY = {".parquet": "parquet", ".pdf": "pdf", ".docx": "docx", ".epub": "epub"}
GZIP = ".gz"  #: also the end of the format of a compressed file
FORMATS = {**_PLAIN, **_BINARY, **{suffix + GZIP: format + GZIP for suffix, format in _PLAIN.items()}}
TEXT_FORMATS = frozenset(_PLAIN.values())  #: formats that have an encoding
UNKNOWN = "unknown"
_KNOWN_TYPES = f"known file types: {' '.join([*_PLAIN, *_BINARY])}, and the first {len(_PLAIN)} with {GZIP}"


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read.

    Attributes:
        path: absolute path, because workers have other current folders, or a URI in object storage.
        name: name shown to the user: the given path, or the given folder, "/" and the path inside it. Control
            characters are escaped.
        format: one of the values of `FORMATS`, or "unknown".
        bytes: size of the file in bytes.
        inside: path inside the given folder, or the name of the given file; unique among the files of a job.
        problem: why the file is not read, although it is listed; its format is "unknown" then.
        members: the files of a bundle, which are read as one chunk; empty for a file.
    """

    path: str
    name: str
    format: str
    bytes: int
    inside: str = ""
    problem: str = ""
    members: tuple[Source, ...] = ()


def find_sources(paths: Sequence[str], *, follow_links: bool = False) -> list[Source]:
    """List the given files and, recursively and in sorted order, the files of the given folders.

    Names inside a folder that start with "." or "_" are left out. What cannot be read inside a folder is listed with
    the format "unknown", so that it appears among the rejects: files of unknown type, pipes, sockets, devices, links to
    nothing or to themselves, and links out of the folder.

    Args:
        paths: files and folders.
        follow_links: whether links out of a given folder are followed.

    Raises:
        UserError: a path does not exist or has an unknown type, a folder has no readable file, or a file is given
            twice.
    """
    sources: list[Source] = []
    starts: list[int] = []
    for path in paths:
        starts.append(len(sources))
        if is_object(path):
            sources += _objects(path)
        elif os.path.isdir(path):
            found = [_found(path, file, name, follow_links) for file, name in _walk(path, follow_links)]
            if all(source.format == UNKNOWN for source in found):
                raise UserError("the folder has no file of a known type", where=path, fix=_KNOWN_TYPES)
            sources += found
        else:
            source = _source(path, path, os.path.basename(os.path.realpath(path)))
            if source.format == UNKNOWN:
                raise UserError(unknown_type(path), where=path, fix=_KNOWN_TYPES)
            sources.append(source)
    names: dict[str, str] = {}
    for source in sources:
        if source.path in names:
            raise UserError(
                f"the file is given twice, also as {names[source.path]}", where=source.name, fix="give each file once"
            )
        names[source.path] = source.name
    return _unique(sources, starts)


def _unique(sources: list[Source], starts: Sequence[int]) -> list[Source]:
    """Make the attributes `inside` unique: the third given path changes `a.jsonl` to `3:a.jsonl` if there is another.

    Args:
        sources: the files, in the order of the given paths.
        starts: index of the first file of each given path.
    """
    found: set[str] = set()
    unique = []
    for index, source in enumerate(sources):
        inside = source.inside
        if inside in found:
            inside = f"{bisect_right(starts, index)}:{inside}"
        found.add(inside)
        unique.append(replace(source, inside=inside))
    return unique


def _objects(uri: str) -> list[Source]:
    """The file with this URI in object storage, or the files of the folder with this URI."""
    path = location(uri)
    assert isinstance(path, ObjectPath)
    with reading_objects(path):
        if path.is_file():
            files = [(path, path.size())]
        else:
            begin = len(str(path))
            files = [
                (file, size)
                for file, size in file_sizes(path)
                if not any(part.startswith((".", "_")) for part in str(file)[begin:].split("/"))
            ]
    sources = [
        Source(
            path=str(file),
            name=escape_controls(str(file)),
            format=FORMATS.get(_suffix(str(file)), UNKNOWN),
            bytes=size,
            inside=str(file).removeprefix(f"{path}/") if file != path else file.name,
        )
        for file, size in files
    ]
    if not sources:
        raise UserError("no such file or folder", where=uri, fix=_KNOWN_TYPES)
    if all(source.format == UNKNOWN for source in sources):
        raise UserError("the folder has no file of a known type", where=uri, fix=_KNOWN_TYPES)
    return sources


def short_names(paths: Sequence[str]) -> list[str]:
    """The shortest ends of paths that are unique, without known suffixes.

    `data/inspec/test.jsonl` and `data/nus/test.jsonl.gz` become `inspec/test` and `nus/test`. A single path becomes
    `test`.

    Raises:
        UserError: a path is given twice.
    """
    whole = [os.path.abspath(path) if os.path.exists(path) else path for path in paths]
    for index, path in enumerate(whole):
        if path in whole[:index]:
            raise UserError("the path is given twice", where=paths[index], fix="give each path once")
    parts = [path[: len(path) - len(_suffix(path))].strip("/").split("/") for path in whole]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(paths)  # they differ only in their suffixes


def unknown_type(name: str) -> str:
    """Error message for a file without a known suffix."""
    suffix = os.path.splitext(name)[1]
    return f"unknown file type {suffix}" if suffix else "unknown file type (the name has no suffix)"


def _walk(folder: str, follow_links: bool) -> Iterator[tuple[str, str]]:
    """Path and name of each file that is not hidden. Links to folders are followed; each folder is entered once.

    A link to a folder that may not be followed is listed like a file.
    """

    def fail(error: OSError) -> None:
        raise UserError(f"the folder cannot be read: {error.strerror}", where=str(error.filename)) from error

    entered = {os.path.realpath(folder)}
    files: list[str] = []
    for parent, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        visible = [name for name in folders if not name.startswith((".", "_"))]
        folders[:] = []
        for name in sorted(visible):
            path = os.path.join(parent, name)
            real = os.path.realpath(path)
            if not follow_links and _leads_out(path, folder):
                files.append(path)
            elif real not in entered:
                entered.add(real)
                folders.append(name)
        files += [os.path.join(parent, name) for name in names if not name.startswith((".", "_"))]
    prefix = folder.rstrip("/")
    for inside in sorted(os.path.relpath(file, folder) for file in files):
        yield os.path.join(folder, inside), f"{prefix}/{inside}"


def _leads_out(path: str, folder: str) -> bool:
    """Whether a path inside a folder is a link to something outside of it."""
    if not os.path.islink(path):
        return False  # what it contains was reached by a link that may be followed
    root = os.path.realpath(folder)
    return os.path.commonpath([root, os.path.realpath(path)]) != root


def _found(folder: str, path: str, name: str, follow_links: bool) -> Source:
    """The source of something that `_walk` found in a folder."""
    problem = _problem(path)
    if not problem and not follow_links and _leads_out(path, folder):
        problem = "a link out of the folder (--follow-links reads it)"
    inside = name.removeprefix(f"{folder.rstrip('/')}/")
    if not problem:
        return _source(path, name, inside)
    return Source(os.path.abspath(path), _shown(name), UNKNOWN, 0, _identity(inside), problem)


def _problem(path: str) -> str:
    """Why a path cannot be read; empty if it is a file, or a link to one."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if not os.path.islink(path):
            return f"cannot be read: {error.strerror}"
        return "a link that leads to itself" if error.errno == errno.ELOOP else f"a broken link: {error.strerror}"
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return f"{kinds.get(stat.S_IFMT(mode), 'neither a file nor a folder')}, not a file"


def _identity(inside: str) -> str:
    """A path inside a folder as valid UTF-8, which the manifest of a job stores."""
    return os.fsencode(inside).decode("utf-8", "backslashreplace")


def _shown(name: str) -> str:
    """A name for messages, JSON and Parquet: it is valid UTF-8 and has no control characters."""
    return escape_controls(os.fsencode(name).decode("utf-8", "backslashreplace"))


def _source(path: str, name: str, inside: str) -> Source:
    if not os.path.exists(path):
        raise UserError("no such file or folder", where=name, fix=_KNOWN_TYPES)
    if not os.path.isfile(path):
        raise UserError("neither a regular file nor a folder", where=name, fix=_KNOWN_TYPES)
    return Source(
        path=os.path.abspath(path),
        name=_shown(name),
        format=FORMATS.get(_suffix(path), UNKNOWN),
        bytes=os.path.getsize(path),
        inside=_identity(inside),
    )


def _suffix(path: str) -> str:
    """The longest known suffix of a path, in lower case, such as .jsonl.gz; empty if it has none."""
    return max((suffix for suffix in FORMATS if path.lower().endswith(suffix)), key=len, default="")
