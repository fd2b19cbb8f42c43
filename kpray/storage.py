"""Files in folders and in object storage (`s3://`, `gs://`), by the few calls of pathlib that kpray needs.

A `Location` is a `Path`, or an `ObjectPath` that answers to the same calls through pyarrow's file systems. In object
storage a file appears whole when its upload ends, and there are no renames: what is written is made on this machine's
disk first, and uploaded in one piece (`whole_file`).

They are pyarrow's file systems and not fsspec's: pyarrow brings S3 and GCS with it, where fsspec needs s3fs and gcsfs
with the cloud's SDK in fixed versions; and Ray Data reads Parquet by the same ones.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit
from uuid import uuid4

from kpray.errors import UserError

_SCHEMES = ("s3", "gs")
_SECONDS_TO_ANSWER = 60.0  # Arrow itself gives up after three
_SMALL = 1 << 24  # bytes
#: Where a store other than the provider's own is, as other tools read it, too; every node needs the same.
VARIABLES = ("AWS_ENDPOINT_URL", "AWS_REGION", "STORAGE_EMULATOR_HOST")


def is_object(name: str | os.PathLike[str]) -> bool:
    """Whether a name is one in object storage."""
    return str(name).partition("://")[0] in _SCHEMES and "://" in str(name)


def location(name: str | os.PathLike[str] | ObjectPath) -> Location:
    """The place of a name: `s3://bucket/key`, `gs://bucket/key`, or a path.

    Raises:
        UserError: it is a URI of another kind, or of no bucket.
    """
    text = str(name)
    if not is_object(text):
        scheme, separator, _ = text.partition("://")
        if separator and scheme.isalnum():
            raise UserError(f"there is no storage of the kind {scheme}://", where=text, fix="known: s3:// and gs://")
        return Path(text)
    if not urlsplit(text).netloc:
        raise UserError("the bucket is missing", where=text, fix="write s3://BUCKET/FOLDER")
    return ObjectPath(text.rstrip("/"))


@dataclass(frozen=True, slots=True, order=True)
class ObjectPath:
    """A name in object storage, with as much of pathlib's interface as kpray uses.

    Attributes:
        uri: `scheme://bucket/key`, without a slash at its end.
    """

    uri: str

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(f"{self.uri}/{name}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.uri.rpartition("/")[2]

    @property
    def key(self) -> str:
        """`bucket/key`, as pyarrow's file systems name it."""
        return self.uri.partition("://")[2]

    def with_name(self, name: str) -> ObjectPath:
        """The same place with another last part."""
        return ObjectPath(f"{self.uri.rpartition('/')[0]}/{name}")

    def resolve(self) -> ObjectPath:
        """Itself: it is the same on every machine."""
        return self

    def mkdir(self, parents: bool = True, exist_ok: bool = True) -> None:
        """Nothing: there are no folders, only names with slashes."""

    def exists(self) -> bool:
        """Whether there is a file or a folder of the name."""
        return _info(self) is not None

    def is_file(self) -> bool:
        """Whether there is a file of the name."""
        info = _info(self)
        return info is not None and bool(info.is_file)

    def is_dir(self) -> bool:
        """Whether there are names that begin with this one and a slash."""
        info = _info(self)
        return info is not None and not info.is_file

    def size(self) -> int:
        """Bytes of the file."""
        info = _info(self)
        if info is None or not info.is_file:
            raise FileNotFoundError(2, "no such object", self.uri)
        return int(info.size)

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open the file for reading; ranges of it are read as they are needed."""
        assert mode == "rb", "writing is whole_file's"
        return cast(BinaryIO, io.BufferedReader(_file_system(self).open_input_file(self.key)))

    def read_text(self, encoding: str = "utf-8") -> str:
        """All of the file."""
        with self.open() as file:
            return file.read().decode(encoding)

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Upload a small file."""
        with _file_system(self).open_output_stream(self.key, compression=None) as file:
            file.write(text.encode(encoding))

    def upload(self, file: Path) -> None:
        """Upload a file of this machine; it appears when all of it has arrived."""
        from pyarrow import memory_map

        # Not pyarrow's copy_files, which lets an upload fail without a word. One write: a stream that is closed between
        # two would make half a file whole. A small file may be one that others append to, or cut, meanwhile.
        # What is called .gz is not to be compressed again.
        contents = memory_map(str(file)).read_buffer() if file.stat().st_size > _SMALL else file.read_bytes()
        with _file_system(self).open_output_stream(self.key, compression=None) as stream:
            stream.write(contents)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        try:
            _file_system(self).delete_file(self.key)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """Files directly in the folder whose name fits, in order."""
        return (file for file in self._files(recursive=False) if fnmatch(file.name, pattern))

    def rglob(self, pattern: str) -> Iterator[ObjectPath]:
        """Files in the folder and below whose name fits, in order."""
        return (file for file in self._files(recursive=True) if fnmatch(file.name, pattern))

    def _files(self, recursive: bool) -> list[ObjectPath]:
        return [file for file, _ in _list(self, recursive)]


Location = Path | ObjectPath


def file_sizes(folder: ObjectPath) -> list[tuple[ObjectPath, int]]:
    """Files in a folder and below, in order, each with its bytes."""
    return [(file, int(info.size)) for file, info in _list(folder, recursive=True)]


def local_folder(name: str) -> str:
    """A folder's name; of one in object storage that of its copy on this machine (`near`)."""
    place = location(name) if is_object(name) else None
    return str(near(place)) if isinstance(place, ObjectPath) else name


def absolute(name: str) -> str:
    """A name for workers, which have other current folders: an absolute path, or one in object storage as it is."""
    return name if is_object(name) else str(Path(name).resolve())


def near(folder: ObjectPath) -> Path:
    """A copy of a folder on this machine's disk, made once for all processes that ask for the same contents.

    It stands below `KPRAY_CACHE` (`~/.cache/kpray`), under a checksum of the names, sizes and times of the files.

    Raises:
        UserError: there is no such folder, or it cannot be read.
    """
    with reading_objects(folder):
        files = _list(folder, recursive=True)
    if not files:
        raise UserError("there is no such folder", where=str(folder))
    listing = [(str(file), info.size, info.mtime_ns) for file, info in files]
    copies = cache_folder() / "folders"
    copy = copies / f"{folder.name}-{hashlib.sha256(repr(listing).encode()).hexdigest()[:16]}"
    copies.mkdir(parents=True, exist_ok=True)
    with (copies / f"{copy.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first process of the machine fetches it, the others wait
        if not copy.exists():
            with whole_folder(copy) as unfinished, reading_objects(folder):
                _copy(folder, [file for file, _ in files], unfinished)
    return copy


def cache_folder() -> Path:
    """Folder of this machine for what can be fetched again: `KPRAY_CACHE`, or `~/.cache/kpray`."""
    return Path(os.environ.get("KPRAY_CACHE") or Path.home() / ".cache/kpray").resolve()


def copy_folder(folder: ObjectPath, target: Path) -> None:
    """Copy all files of a folder, and of those below, to this machine.

    Raises:
        OSError: the storage or this machine refuses.
    """
    _copy(folder, [file for file, _ in _list(folder, recursive=True)], target)


def _copy(folder: ObjectPath, files: Sequence[ObjectPath], target: Path) -> None:
    for file in files:
        copy = target / file.uri.removeprefix(f"{folder.uri}/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        with file.open() as source, copy.open("wb") as copied:
            shutil.copyfileobj(source, copied, 1 << 20)


@contextmanager
def whole_file(path: Location) -> Iterator[Path]:
    """Give a hidden name beside `path`, which becomes `path` when all went well and vanishes otherwise.

    For a file in object storage it is one on this machine's disk, which is uploaded in the end.
    """
    if isinstance(path, ObjectPath):
        with tempfile.TemporaryDirectory(prefix="kpray-") as folder:
            made = Path(folder) / path.name
            yield made
            path.upload(made)
        return
    unfinished = _hidden(path)
    try:
        yield unfinished
        sync_file(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a new hidden folder beside `folder`, which becomes `folder` when all went well and vanishes otherwise.

    A folder that has the name already is as it was until then, and is replaced. After a kill between the two renames
    of that, `recover_folder` has it back. One process at a time writes a folder.
    """
    recover_folder(folder)
    unfinished, old = _hidden(folder), _old(folder)
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        for path in unfinished.rglob("*"):
            if path.is_file():
                sync_file(path)
        if folder.exists():
            folder.rename(old)
        unfinished.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Make good what a kill in `whole_folder` left: the folder has its name again, and nothing unfinished is left."""
    old = _old(folder)
    if old.exists() and not folder.exists():
        old.rename(folder)
    for left in (old, *folder.parent.glob(f".{glob.escape(folder.name)}.*.tmp")):
        shutil.rmtree(left, ignore_errors=True)


def sync_file(path: Path) -> None:
    """Wait until a file is on the disk: its name must not outlive its contents when the machine goes down."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid4().hex}.tmp")


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


@contextmanager
def reading_objects(place: ObjectPath) -> Iterator[None]:
    """Turn the refusal of object storage to be read into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot be read: {reason_of(error)}",
            where=str(place),
            fix="see to the credentials, AWS_REGION, and AWS_ENDPOINT_URL if the store is not AWS",
        ) from error


def reason_of(error: OSError) -> str:
    """What the system or the store says, without the number of the request."""
    return (error.strerror or str(error)).partition(" (Request ID")[0]


def _info(place: ObjectPath) -> Any:
    from pyarrow import fs

    info = _file_system(place).get_file_info(place.key)
    return None if info.type == fs.FileType.NotFound else info


def _list(folder: ObjectPath, recursive: bool) -> list[tuple[ObjectPath, Any]]:
    from pyarrow import fs

    scheme = folder.uri.partition("://")[0]
    selector = fs.FileSelector(folder.key, recursive=recursive, allow_not_found=True)
    found = [(ObjectPath(f"{scheme}://{i.path}"), i) for i in _file_system(folder).get_file_info(selector) if i.is_file]
    return sorted(found, key=lambda pair: pair[0])


def _file_system(place: ObjectPath) -> Any:
    parts = urlsplit(place.uri)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return _connect(parts.scheme, parts.netloc, os.environ.get("AWS_ENDPOINT_URL"), region)


@cache
def _connect(scheme: str, bucket: str, endpoint: str | None, region: str | None) -> Any:
    from pyarrow import fs

    if scheme == "gs":
        return fs.FileSystem.from_uri(f"gs://{bucket}")[0]
    if not region:
        region = "us-east-1" if endpoint else fs.resolve_s3_region(bucket)
    # A small file is then one request, and no upload in parts that a kill could leave behind.
    return fs.S3FileSystem(
        endpoint_override=endpoint,
        region=region,
        allow_delayed_open=True,
        connect_timeout=_SECONDS_TO_ANSWER,
        request_timeout=_SECONDS_TO_ANSWER,
    )
