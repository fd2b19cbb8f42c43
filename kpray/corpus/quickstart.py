"""The corpus that ships with kpray: 60 short texts from several fields, in five languages, written for kpray."""

from __future__ import annotations

from importlib.resources import files

from kpray.corpus.records import Reject, read_records
from kpray.document import Record


def quickstart_text() -> str:
    """The corpus as JSON lines with the fields `id`, `lang`, `title`, `abstract` and `keyphrases`."""
    return files("kpray.corpus").joinpath("quickstart.jsonl").read_text(encoding="utf-8")


def quickstart_records() -> list[Record]:
    """The corpus as records."""
    path = str(files("kpray.corpus").joinpath("quickstart.jsonl"))
    return [record for record in read_records([path]) if not isinstance(record, Reject)]
