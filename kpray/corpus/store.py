"""Records in one memory-mapped file: workers share its memory, and only the path of the folder is sent to them."""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kpray.checksums import check_file, checksum
from kpray.claims import claimed, sibling
from kpray.corpus.limits import Reading
from kpray.corpus.records import Reject, read_records
from kpray.corpus.writing import write_rejects, write_text
from kpray.document import Document, Record
from kpray.errors import UserError
from kpray.storage import whole_folder

_PASSAGES, _KEYS, _ROWS, _INFO = "passages.arrow", "keys.npy", "rows.npy", "store.json"
_REJECTS = "rejects.jsonl"
_AGAIN = "remove the folder and build it again"
_BATCH_ROWS = 256  #: rows of an Arrow record batch; reading a row reads only its batch
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("lang", pa.string()),
        ("title", pa.large_string()),  # a batch of the longest documents exceeds 2 GiB
        ("body", pa.large_string()),
        ("keyphrases", pa.list_(pa.string())),
        ("stemmed", pa.list_(pa.string())),  # null if the dataset has none
        ("english_ids", pa.list_(pa.string())),
        ("source", pa.string()),
        ("line", pa.int64()),
    ]
)


class PassageStore:
    """The records in a folder that `build_store` wrote. Opening is fast, and pickling only passes the folder.

    Attributes:
        folder: absolute path.
        sha256: SHA-256 of the records in order, without their files and lines.
        rejected: number of records that could not be read; `rejects.jsonl` in the folder lists them.

    Raises:
        UserError: the folder is not a store, or one of its files is missing or not as it was written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.abspath(folder))
        try:
            info = json.loads((self.folder / _INFO).read_text(encoding="utf-8"))
            self.sha256: str = info["sha256"]
            self.rejected: int = info["rejected"]
            self._records: int = info["records"]
            if "bytes" in info:
                what = "the store has no checksums: an earlier version of kpray built it"
                fix = "remove the folder and run the command again that made it"
                raise UserError(what, where=str(folder), fix=fix)
            files = [(self.folder / name, *info["files"][name]) for name in (_PASSAGES, _KEYS, _ROWS)]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            fix = "give a folder that was built from files of passages"
            raise UserError("the folder has no valid store.json", where=str(folder), fix=fix) from error
        for path, size, expected in files:
            check_file(path, size, expected, _AGAIN)
        try:
            self._passages = pa.ipc.open_file(pa.memory_map(str(self.folder / _PASSAGES)))
            self._keys = np.load(self.folder / _KEYS, mmap_mode="r")
            self._rows = np.load(self.folder / _ROWS, mmap_mode="r")
            self._batch_rows: int = self._passages.get_batch(0).num_rows
            types = (self._passages.schema, self._keys.dtype, self._rows.dtype)
            fits = types == (_SCHEMA, np.uint64, np.int64) and len(self._keys) == len(self._rows) == self._records
        except ValueError as error:  # of numpy or Arrow
            raise UserError(f"cannot be read: {error}", where=str(folder), fix=_AGAIN) from error
        if not fits:
            raise UserError("store.json does not fit its files", where=str(folder), fix=_AGAIN)

    def __reduce__(self) -> tuple[type[PassageStore], tuple[Path]]:
        return PassageStore, (self.folder,)

    def __len__(self) -> int:
        return self._records

    def record(self, row: int) -> Record:
        """Record of a row, counted from 0.

        Raises:
            IndexError: there is no such row.
        """
        fields = self._values(row)
        return Record(
            Document(fields["id"], fields["body"], fields["title"], fields["lang"]),
            tuple(fields["keyphrases"]),
            None if fields["stemmed"] is None else tuple(fields["stemmed"]),
            fields["source"],
            fields["line"],
            tuple(fields["english_ids"]),
        )

    def rows(self, lang: str, ids: Sequence[str]) -> np.ndarray:
        """Row of each id in a language, int64 [ids]; -1 for unknown ids."""
        keys = np.array([_key(lang, id) for id in ids], dtype=np.uint64)
        found = np.full(len(ids), -1, dtype=np.int64)
        for index, first in enumerate(np.searchsorted(self._keys, keys).tolist()):
            slot = first
            while slot < len(self) and self._keys[slot] == keys[index]:
                row = int(self._rows[slot])
                if self._name(row) == (lang, ids[index]):  # another name may have the same hash
                    found[index] = row
                    break
                slot += 1
        return found

    def _values(self, row: int, columns: Sequence[str] = tuple(_SCHEMA.names)) -> dict[str, Any]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} is out of range for a store of {len(self)} records")
        batch_index, offset = divmod(int(row), self._batch_rows)
        batch = self._passages.get_batch(batch_index)
        return {name: batch.column(name)[offset].as_py() for name in columns}

    def _name(self, row: int) -> tuple[str, str]:
        fields = self._values(row, ("lang", "id"))
        return fields["lang"], fields["id"]


def build_store(paths: Sequence[str], folder: Path, reading: Reading | None = None) -> PassageStore:
    """Write the records of files into a new folder. The folder appears only when it is complete.

    Args:
        paths: files and folders; see `read_records`.
        folder: output folder; it must be empty or absent.
        reading: how records are read. None: the defaults.

    Raises:
        UserError: a path cannot be read, the folder is not empty, another process builds it, two records have the
            same language and id, or no record can be read.
    """
    folder = Path(os.path.abspath(folder))
    with claimed(folder, sibling(folder)):
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise UserError("the folder is not empty", where=str(folder), fix="give another folder, or remove this one")
        items = read_records(paths, reading)
        with whole_folder(folder) as unfinished:
            _write(items, unfinished, paths)
    return PassageStore(folder)


def _write(items: Iterable[Record | Reject], folder: Path, paths: Sequence[str]) -> None:
    with pa.OSFile(str(folder / _PASSAGES), "wb") as file, pa.ipc.new_file(file, _SCHEMA) as writer:
        passages = _Passages(writer)
        write_rejects(passages.add_all(items), folder / _REJECTS)
    if not passages.keys:
        first = passages.first_reject
        if first is None:
            raise UserError("the input has no records", where=", ".join(paths), fix="give files with documents")
        what = f"none of the {passages.rejected} records can be read; the first one: {first.reason}"
        raise UserError(what, where=f"{first.source}:{first.line}")
    keys = np.frombuffer(passages.keys, dtype=np.uint64)
    order = np.argsort(keys, kind="stable")  # stable: rows with the same key stay in ascending order
    keys = keys[order]
    np.save(folder / _KEYS, keys)
    np.save(folder / _ROWS, order.astype(np.int64))
    info = {
        "records": len(keys),
        "rejected": passages.rejected,
        "sha256": passages.contents.hexdigest(),
        "files": {name: _size_and_checksum(folder / name) for name in (_PASSAGES, _KEYS, _ROWS)},
    }
    write_text(json.dumps(info, indent=2) + "\n", folder / _INFO)
    _refuse_duplicates(PassageStore(folder), keys, order)


class _Passages:
    """Writes records in batches, and collects the keys, the checksum and the rejects."""

    def __init__(self, writer: pa.RecordBatchFileWriter) -> None:
        self._writer = writer
        self._batch: list[dict[str, Any]] = []
        self.keys = array("Q")
        self.contents = hashlib.sha256()
        self.rejected = 0
        self.first_reject: Reject | None = None

    def add_all(self, items: Iterable[Record | Reject]) -> Iterator[Reject]:
        """Write the records among the items, and yield the rejects."""
        for item in items:
            if isinstance(item, Record):
                self._add(item)
            else:
                self.rejected += 1
                self.first_reject = self.first_reject or item
                yield item
        self._flush()

    def _add(self, record: Record) -> None:
        document = record.document
        fields = {
            "id": document.id,
            "lang": document.lang,
            "title": document.title,
            "body": document.body,
            "keyphrases": record.keyphrases,
            "stemmed": record.stemmed,
            "english_ids": record.english_ids,
        }
        self.contents.update(json.dumps(fields).encode("ascii") + b"\n")
        self.keys.append(_key(document.lang, document.id))
        self._batch.append({**fields, "source": record.source, "line": record.line})
        if len(self._batch) == _BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._batch:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._batch, schema=_SCHEMA))
            self._batch = []


def _refuse_duplicates(store: PassageStore, keys: np.ndarray, rows: np.ndarray) -> None:
    """Raise `UserError` for the first record with the language and id of an earlier one."""
    repeated = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    for slot in repeated[np.argsort(rows[repeated])].tolist():
        later = store.record(int(rows[slot]))
        before = slot - 1
        while before >= 0 and keys[before] == keys[slot]:
            earlier = store.record(int(rows[before]))
            if (earlier.document.lang, earlier.document.id) == (later.document.lang, later.document.id):
                raise UserError(
                    f"the id {later.document.id!r} of language {later.document.lang} was already used in "
                    f"{earlier.source}:{earlier.line}",
                    where=f"{later.source}:{later.line}",
                    fix="give every document of a language a unique id",
                )
            before -= 1


def _size_and_checksum(path: Path) -> tuple[int, str]:
    return path.stat().st_size, checksum(path)


def _key(lang: str, id: str) -> int:
    """64-bit hash of a language and an id. A query may have an id that is not valid Unicode; no record has one."""
    name = f"{lang}\0{id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
