"""Documents in one memory-mapped file, so that millions of them cost no private memory and a worker gets a path."""

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

from kpray.corpus.limits import Limits
from kpray.corpus.records import Reject, read_records
from kpray.corpus.writing import write_rejects, write_text
from kpray.document import Document, Record
from kpray.errors import UserError
from kpray.storage import whole_folder

_PASSAGES, _KEYS, _ROWS, _INFO = "passages.arrow", "keys.npy", "rows.npy", "store.json"
_REJECTS = "rejects.jsonl"
_BATCH_ROWS = 256  #: rows of a record batch: one is found by division, and reading a row touches its own batch only
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("lang", pa.string()),
        ("title", pa.large_string()),  # a batch of the longest documents has more than 2 GiB
        ("body", pa.large_string()),
        ("keyphrases", pa.list_(pa.string())),
        ("stemmed", pa.list_(pa.string())),  # null where the data set has none
        ("english_ids", pa.list_(pa.string())),
        ("source", pa.string()),
        ("line", pa.int64()),
    ]
)


class PassageStore:
    """Records of a folder that `build_store` wrote; opening is cheap, and pickling passes the folder only.

    Attributes:
        folder: absolute.
        sha256: of what the records say, in their order; files and lines they came from do not count.
        rejected: records that could not be read; they stand in the folder's `rejects.jsonl`.

    Raises:
        UserError: there is no such store, or a file of it is missing or not as it was written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.abspath(folder))
        try:
            info = json.loads((self.folder / _INFO).read_text(encoding="utf-8"))
            self.sha256: str = info["sha256"]
            self.rejected: int = info["rejected"]
            self._records: int = info["records"]
            self._batch_rows: int = info["batch_rows"]
            sizes: dict[str, int] = info["bytes"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            fix = "give a folder that was built from files of passages"
            raise UserError("no passage store (store.json)", where=str(folder), fix=fix) from error
        for name, size in sizes.items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != size:
                what = "the file is missing, or not as it was written"
                raise UserError(what, where=str(path), fix="remove the folder and build it again")
        self._passages = pa.ipc.open_file(pa.memory_map(str(self.folder / _PASSAGES)))
        self._keys = np.load(self.folder / _KEYS, mmap_mode="r")
        self._rows = np.load(self.folder / _ROWS, mmap_mode="r")

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
        """Row of each id in a language, int64 [ids]; -1 where there is none."""
        keys = np.array([_key(lang, id) for id in ids], dtype=np.uint64)
        found = np.full(len(ids), -1, dtype=np.int64)
        for index, place in enumerate(np.searchsorted(self._keys, keys).tolist()):
            while place < len(self) and self._keys[place] == keys[index]:
                row = int(self._rows[place])
                if self._name(row) == (lang, ids[index]):  # another name may have the same hash
                    found[index] = row
                    break
                place += 1  # noqa: PLW2901
        return found

    def _values(self, row: int, columns: Sequence[str] = tuple(_SCHEMA.names)) -> dict[str, Any]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a store of {len(self)}")
        index, place = divmod(int(row), self._batch_rows)
        batch = self._passages.get_batch(index)
        return {name: batch.column(name)[place].as_py() for name in columns}

    def _name(self, row: int) -> tuple[str, str]:
        fields = self._values(row, ("lang", "id"))
        return fields["lang"], fields["id"]


def build_store(paths: Sequence[str], folder: Path, lang: str = "en", limits: Limits | None = None) -> PassageStore:
    """Write the records of files into a new folder; it appears when it is whole.

    Args:
        paths: files and folders, as `read_records` takes them.
        folder: where to; it must not have anything in it.
        lang: language of records that name none.
        limits: sizes beyond which a record is rejected; None for the defaults.

    Raises:
        UserError: a path or the folder is not as needed, two records have the same language and id, or no record can
            be read.
    """
    folder = Path(os.path.abspath(folder))
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError("there is something already", where=str(folder), fix="give another folder, or remove it")
    items = read_records(paths, lang, limits)
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
            raise UserError("there is no record", where=", ".join(paths))
        what = f"none of {passages.rejected} records can be read: {first.reason}"
        raise UserError(what, where=f"{first.source}:{first.line}")
    keys = np.frombuffer(passages.keys, dtype=np.uint64)
    order = np.argsort(keys, kind="stable")  # rows of the same key rise
    keys = keys[order]
    np.save(folder / _KEYS, keys)
    np.save(folder / _ROWS, order.astype(np.int64))
    info = {
        "records": len(keys),
        "rejected": passages.rejected,
        "sha256": passages.contents.hexdigest(),
        "batch_rows": _BATCH_ROWS,
        "bytes": {name: (folder / name).stat().st_size for name in (_PASSAGES, _KEYS, _ROWS)},
    }
    write_text(json.dumps(info, indent=2) + "\n", folder / _INFO)
    _refuse_duplicates(PassageStore(folder), keys, order)


class _Passages:
    """What is being written: batch by batch, with what there is to say of all of them."""

    def __init__(self, writer: pa.RecordBatchFileWriter) -> None:
        self._writer = writer
        self._batch: list[dict[str, Any]] = []
        self.keys = array("Q")
        self.contents = hashlib.sha256()
        self.rejected = 0
        self.first_reject: Reject | None = None

    def add_all(self, items: Iterable[Record | Reject]) -> Iterator[Reject]:
        """Write the records among the items, and give the rejects."""
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
    """Look at rows of the same key, in the order in which they were read."""
    repeated = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    for place in repeated[np.argsort(rows[repeated])].tolist():
        later = store.record(int(rows[place]))
        before = place - 1
        while before >= 0 and keys[before] == keys[place]:
            earlier = store.record(int(rows[before]))
            if (earlier.document.lang, earlier.document.id) == (later.document.lang, later.document.id):
                raise UserError(
                    f"document {later.document.id!r} ({later.document.lang}) is there already: "
                    f"{earlier.source}:{earlier.line}",
                    where=f"{later.source}:{later.line}",
                    fix="an id stands once in its language",
                )
            before -= 1


def _key(lang: str, id: str) -> int:
    """Hash of a name, 64 bits; an id that is not Unicode has one too, though no record has such an id."""
    name = f"{lang}\0{id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
