"""Local folders and object storage (`s3://`, `gs://`) behind one interface: the pathlib methods that kpray needs.

A `Location` is a `Path` or an `ObjectPath`. `ObjectPath` implements the same methods on pyarrow's file systems. Object
storage has no renames, and a file appears there when its upload ends. `whole_file` therefore writes to the local disk
first and uploads the file in one request.

kpray uses pyarrow's file systems instead of fsspec's. pyarrow includes S3 and GCS, and Ray Data reads Parquet with the
same file systems. fsspec would need s3fs and gcsfs, which pin the versions of the cloud SDKs.
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

CONCURRENT_READS = 32  # threads that read many small files: an object store needs about 20 ms for each
_SCHEMES = ("s3", "gs")
_SECONDS_TO_ANSWER = 60.0  # Arrow's default is 3
_SMALL = 1 << 24  # bytes
#: Environment variables that select a store other than the provider's. Every node needs the same values.
VARIABLES = ("AWS_ENDPOINT_URL", "AWS_REGION", "STORAGE_EMULATOR_HOST")


def is_object(name: str | os.PathLike[str]) -> bool:
    """Whether a name is a URI in object storage."""
    return str(name).partition("://")[0] in _SCHEMES and "://" in str(name)


def location(name: str | os.PathLike[str] | ObjectPath) -> Location:
    """Parse `s3://bucket/key`, `gs://bucket/key` or a local path.

    Raises:
        UserError: the URI has another scheme or no bucket.
    """
    text = str(name)
    if not is_object(text):
        scheme, separator, _ = text.partition("://")
        if separator and scheme.isalnum():
            raise UserError(f"{scheme}:// is not supported", where=text, fix="use s3://, gs:// or a local path")
        return Path(text)
    if not urlsplit(text).netloc:
        raise UserError("the bucket is missing", where=text, fix="write s3://BUCKET/FOLDER")
    return ObjectPath(text.rstrip("/"))


@dataclass(frozen=True, slots=True, order=True)
class ObjectPath:
    """A file or folder in object storage, with the pathlib methods that kpray uses.

    Attributes:
        uri: `scheme://bucket/key`, without a trailing slash.
    """

    uri: str

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(f"{self.uri}/{name}")

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.uri.rpartition("/")[2]

    @property
    def key(self) -> str:
        """`bucket/key`, the form that pyarrow's file systems take."""
        return self.uri.partition("://")[2]

    def with_name(self, name: str) -> ObjectPath:
        """The same location with another last part."""
        return ObjectPath(f"{self.uri.rpartition('/')[0]}/{name}")

    def resolve(self) -> ObjectPath:
        """Return itself: a URI is the same on every machine."""
        return self

    def mkdir(self, parents: bool = True, exist_ok: bool = True) -> None:
        """Do nothing: object storage has no folders, only keys with slashes."""

    def exists(self) -> bool:
        """Whether a file or folder has this name."""
        return _info(self) is not None

    def is_file(self) -> bool:
        """Whether a file has this name."""
        info = _info(self)
        return info is not None and bool(info.is_file)

    def is_dir(self) -> bool:
        """Whether any key begins with this one and a slash."""
        info = _info(self)
        return info is not None and not info.is_file

    def size(self) -> int:
        """Size of the file in bytes.

        Raises:
            FileNotFoundError: there is no such file.
        """
        info = _info(self)
        if info is None or not info.is_file:
            raise FileNotFoundError(2, "no such object", self.uri)
        return int(info.size)

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open the file for reading. Byte ranges are fetched when they are read."""
        assert mode == "rb", "write with whole_file"
        return cast(BinaryIO, io.BufferedReader(_file_system(self).open_input_file(self.key)))

    def read_text(self, encoding: str = "utf-8") -> str:
        """Read the whole file."""
        with self.open() as file:
            return file.read().decode(encoding)

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Upload a small file."""
        with _file_system(self).open_output_stream(self.key, compression=None) as file:
            file.write(text.encode(encoding))

    def upload(self, file: Path) -> None:
        """Upload a local file. It appears in the storage when the upload is complete."""
        from pyarrow import memory_map

        # pyarrow's copy_files hides failed uploads. There is only one write: if the stream were closed between two
        # writes, half a file would appear as a whole one. Small files are read, not mapped, because another process may
        # append to them or truncate them meanwhile. compression=None: pyarrow would compress a .gz file again.
        contents = memory_map(str(file)).read_buffer() if file.stat().st_size > _SMALL else file.read_bytes()
        with _file_system(self).open_output_stream(self.key, compression=None) as stream:
            stream.write(contents)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file.

        Raises:
            FileNotFoundError: there is no such file, and `missing_ok` is false.
        """
        try:
            _file_system(self).delete_file(self.key)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """Files in the folder itself whose name matches the pattern, sorted."""
        return (file for file in self._files(recursive=False) if fnmatch(file.name, pattern))

    def rglob(self, pattern: str) -> Iterator[ObjectPath]:
        """Files in the folder and its subfolders whose name matches the pattern, sorted."""
        return (file for file in self._files(recursive=True) if fnmatch(file.name, pattern))

    def _files(self, recursive: bool) -> list[ObjectPath]:
        return [file for file, _ in _list(self, recursive)]


Location = Path | ObjectPath


def file_sizes(folder: ObjectPath) -> list[tuple[ObjectPath, int]]:
    """Files in a folder and its subfolders, sorted, each with its size in bytes."""
    return [(file, int(info.size)) for file, info in _list(folder, recursive=True)]


def local_folder(name: str) -> str:
    """The path of a folder on this machine. A folder in object storage is copied first (`local_copy`)."""
    folder = location(name) if is_object(name) else None
    return str(local_copy(folder)) if isinstance(folder, ObjectPath) else name


def absolute(name: str) -> str:
    """The absolute path of a name, for workers, whose current folder differs. A URI is returned unchanged."""
    return name if is_object(name) else str(Path(name).resolve())


def local_copy(folder: ObjectPath) -> Path:
    """Copy a folder to this machine's disk, once for all processes that ask for the same contents.

    The copy is in `KPRAY_CACHE` (default `~/.cache/kpray`), in a folder named after a checksum of the file names, sizes
    and modification times.

    Raises:
        UserError: the folder does not exist or cannot be read.
    """
    with reading_objects(folder):
        files = _list(folder, recursive=True)
    if not files:
        raise UserError("the folder does not exist or is empty", where=str(folder), fix="check the bucket and the key")
    listing = [(str(file), info.size, info.mtime_ns) for file, info in files]
    copies = cache_folder() / "folders"
    copy = copies / f"{folder.name}-{hashlib.sha256(repr(listing).encode()).hexdigest()[:16]}"
    copies.mkdir(parents=True, exist_ok=True)
    with (copies / f"{copy.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first process on this machine copies, the others wait
        if not copy.exists():
            with whole_folder(copy) as unfinished, reading_objects(folder):
                _copy(folder, [file for file, _ in files], unfinished)
    return copy


def cache_folder() -> Path:
    """Local folder for files that can be downloaded again: `KPRAY_CACHE`, or `~/.cache/kpray`."""
    return Path(os.environ.get("KPRAY_CACHE") or Path.home() / ".cache/kpray").resolve()


def copy_folder(folder: ObjectPath, target: Path) -> None:
    """Copy all files of a folder and its subfolders to this machine.

    Raises:
        OSError: a file cannot be read or written.
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
    """Yield a hidden temporary path next to `path`. It is renamed to `path` on success and removed on an error.

    For a file in object storage the temporary path is on the local disk, and it is uploaded on success.
    """
    if isinstance(path, ObjectPath):
        with tempfile.TemporaryDirectory(prefix="kpray-") as folder:
            temporary = Path(folder) / path.name
            yield temporary
            path.upload(temporary)
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
    """Yield a new hidden folder next to `folder`. It is renamed to `folder` on success and removed on an error.

    An existing `folder` stays unchanged until then and is replaced. Replacing it takes two renames; `recover_folder`
    repairs the result of a kill between them. Only one process may write a folder at a time.
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
    """Repair what a kill in `whole_folder` left behind: restore the folder's name and remove unfinished folders."""
    old = _old(folder)
    if old.exists() and not folder.exists():
        old.rename(folder)
    for leftover in (old, *folder.parent.glob(f".{glob.escape(folder.name)}.*.tmp")):
        shutil.rmtree(leftover, ignore_errors=True)


def sync_file(path: Path) -> None:
    """Flush a file to the disk. Otherwise a crash of the machine could keep its new name but lose its contents."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid4().hex}.tmp")


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


@contextmanager
def reading_objects(path: ObjectPath) -> Iterator[None]:
    """Turn an error of reading object storage into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot be read: {reason_of(error)}",
            where=str(path),
            fix="check the credentials, AWS_REGION, and AWS_ENDPOINT_URL if the store is not AWS",
        ) from error


def modified(path: Location) -> int:
    """Modification time of a file, in nanoseconds since 1970.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if isinstance(path, Path):
        return path.stat().st_mtime_ns
    info = _info(path)
    if info is None:
        raise FileNotFoundError(2, "no such object", path.uri)
    return int(info.mtime_ns or 0)


def reason_of(error: OSError) -> str:
    """The message of the operating system or the store, without the request id."""
    return (error.strerror or str(error)).partition(" (Request ID")[0]


def parquet_file(file: BinaryIO) -> Any:
    """Open a Parquet file, a `pyarrow.parquet.ParquetFile`, that is read in the calling thread only.

    By default, Arrow's threads read ahead. They may still hold what they read when Python ends, and then Arrow aborts
    the process.
    """
    import pyarrow.parquet as pq

    return pq.ParquetFile(file, pre_buffer=False)


def _info(path: ObjectPath) -> Any:
    from pyarrow import fs

    info = _file_system(path).get_file_info(path.key)
    return None if info.type == fs.FileType.NotFound else info


def _list(folder: ObjectPath, recursive: bool) -> list[tuple[ObjectPath, Any]]:
    from pyarrow import fs

    scheme = folder.uri.partition("://")[0]
    selector = fs.FileSelector(folder.key, recursive=recursive, allow_not_found=True)
    found = [(ObjectPath(f"{scheme}://{i.path}"), i) for i in _file_system(folder).get_file_info(selector) if i.is_file]
    return sorted(found, key=lambda pair: pair[0])


def _file_system(path: ObjectPath) -> Any:
    parts = urlsplit(path.uri)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return _connect(parts.scheme, parts.netloc, os.environ.get("AWS_ENDPOINT_URL"), region)


@cache
def _connect(scheme: str, bucket: str, endpoint: str | None, region: str | None) -> Any:
    from pyarrow import fs

    if scheme == "gs":
        return fs.FileSystem.from_uri(f"gs://{bucket}")[0]
    if not region:
        region = "us-east-1" if endpoint else fs.resolve_s3_region(bucket)
    # With allow_delayed_open a small file is one request, not a multipart upload that a kill could leave behind.
    return fs.S3FileSystem(
        endpoint_override=endpoint,
        region=region,
        allow_delayed_open=True,
        connect_timeout=_SECONDS_TO_ANSWER,
        request_timeout=_SECONDS_TO_ANSWER,
    )
