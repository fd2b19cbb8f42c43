"""Ids that occur more than once in the input."""

from __future__ import annotations

from kpray.log import say
from kpray.storage import Location, parquet_file


def say_repeated_ids(number: int, where: str) -> None:
    """Say once how many documents have the id of an earlier one, and where their source and line are."""
    if number:
        documents = "1 document has" if number == 1 else f"{number:,} documents have"
        say(
            "repeated_ids",
            f"{documents} the id of an earlier one; source and line ({where}) tell them apart",
            documents=number,
        )


def count_repeated_ids(folder: Location) -> int:
    """Number of predictions in a folder of Parquet files that have the id of another one."""
    seen: set[int] = set()
    rows = 0
    for path in folder.glob("*.parquet"):
        with path.open("rb") as file, parquet_file(file) as parquet:
            ids = parquet.read(["id"], use_threads=False).column("id").to_pylist()
        rows += len(ids)
        seen.update(map(hash, ids))
    return rows - len(seen)
