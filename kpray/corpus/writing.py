"""Writing and reading of predictions and rejects. Files appear only when they are complete (`whole_file`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kpray.corpus.records import Reject
from kpray.document import Keyphrase, Record, predictions_schema
from kpray.errors import UserError
from kpray.storage import Location, parquet_file, whole_file

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 1000
REJECTS_FILE = "_rejects.jsonl"  # next to the Parquet parts of an output folder; readers skip the "_"


def write_rejects(rejects: Iterable[Reject], path: Location) -> None:
    """Write rejects as JSON lines with the fields `source`, `line` and `reason`."""
    with whole_file(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="\n") as file:
        for reject in rejects:
            file.write(json.dumps(asdict(reject), ensure_ascii=False) + "\n")


def write_text(text: str, path: Location) -> None:
    """Write a UTF-8 text file."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="\n")


def write_predictions(
    rows: Iterable[tuple[str, str, list[Keyphrase]]], path: Location, made_by: Mapping[str, Any] | None = None
) -> None:
    """Write predictions as Parquet, see `predictions_table`.

    Args:
        rows: see `predictions_table`.
        path: the file; its folder must exist.
        made_by: see `predictions_table`.
    """
    import pyarrow.parquet as pq

    with whole_file(path) as unfinished:
        pq.write_table(predictions_table(rows, made_by), unfinished, compression="zstd")


def predictions_table(
    rows: Iterable[tuple[str, str, list[Keyphrase]]],
    made_by: Mapping[str, Any] | None = None,
    *,
    records: Sequence[Record] | None = None,
    metadata: bool = False,
) -> pa.Table:
    """Predictions as a table with `predictions_schema`.

    Args:
        rows: (id, language, keyphrases in rank order) of each document.
        made_by: `Predictor.describe()`; stored as JSON in the table's metadata under the key `kpray`.
        records: the records of the rows. Their `source` and `line` become columns, too.
        metadata: whether the metadata of the records becomes a column, as JSON.
    """
    import pyarrow as pa

    values: list[dict[str, Any]] = [
        {"id": id, "lang": lang, "keyphrases": [asdict(keyphrase) for keyphrase in keyphrases]}
        for id, lang, keyphrases in rows
    ]
    schema = predictions_schema()
    if records is not None:
        schema = schema.append(pa.field("source", pa.string())).append(pa.field("line", pa.int64()))
        if metadata:
            schema = schema.append(pa.field("metadata", pa.string()))
        values = [{**value, **_origin(record)} for value, record in zip(values, records, strict=True)]
    return pa.Table.from_pylist(values, schema=schema.with_metadata({"kpray": json.dumps(made_by or {})}))


def _origin(record: Record) -> dict[str, Any]:
    metadata = json.dumps(record.metadata, ensure_ascii=False)
    return {"source": record.source, "line": record.line, "metadata": metadata}


def read_predictions(folder: Location) -> dict[tuple[str, str], list[Keyphrase]]:
    """Read the predictions of all Parquet files in a folder and its subfolders.

    Names that start with "_" or "." are left out.

    Returns:
        (language, id) -> keyphrases in rank order. Ids are unique only within a language.

    Raises:
        UserError: there is no Parquet file, a file is damaged or has another schema, or a document occurs twice.
    """
    predictions: dict[tuple[str, str], list[Keyphrase]] = {}
    for file in _prediction_files(folder):
        for row in _prediction_rows(file):
            key = (row["lang"], row["id"])
            if key in predictions:
                raise UserError(
                    f"there are two predictions for the document {row['id']!r} of language {row['lang']}",
                    where=str(file),
                    fix="use one folder for each run, and unique ids within a language",
                )
            predictions[key] = [_keyphrase(**keyphrase) for keyphrase in row["keyphrases"]]
    return predictions


def _keyphrase(text: str, score: float, present: bool, offsets: Sequence[Sequence[int]] = ()) -> Keyphrase:
    return Keyphrase(text, score, present, tuple((start, end) for start, end in offsets))


def read_made_by(folder: Location) -> dict[str, Any]:
    """Read the `made_by` of `write_predictions` from the first file in a folder of predictions."""
    import pyarrow.parquet as pq

    with _prediction_files(folder)[0].open("rb") as file:
        metadata = pq.read_metadata(file).metadata or {}
    made_by: dict[str, Any] = json.loads(metadata.get(b"kpray", b"{}"))
    return made_by


def _prediction_files(folder: Location) -> list[Location]:
    begin = len(str(folder)) + 1
    files: list[Location] = sorted(
        file
        for file in folder.rglob("*.parquet")
        if not any(part.startswith(("_", ".")) for part in str(file)[begin:].split("/"))
    )
    if not files:
        raise UserError(
            "the folder has no predictions (*.parquet)", where=str(folder), fix="give the --output of an extract job"
        )
    return files


def _prediction_rows(file: Location) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    schema = predictions_schema()
    without_offsets = pa.list_(pa.struct(list(schema.field("keyphrases").type.value_type)[:-1]))
    try:
        with file.open("rb") as opened, parquet_file(opened) as parquet:
            found = parquet.schema_arrow
            for field in schema:
                # Version 0.1 wrote no offsets.
                types = (field.type, without_offsets) if field.name == "keyphrases" else (field.type,)
                if field.name not in found.names or found.field(field.name).type not in types:
                    raise UserError(
                        f"not a file of predictions: it has no column {field.name} of type {field.type}",
                        where=str(file),
                        fix="give the --output of an extract job",
                    )
            for batch in parquet.iter_batches(_BATCH_ROWS, columns=schema.names, use_threads=False):
                if any(column.null_count for column in batch.columns):
                    raise UserError(
                        "a row has no id, lang or keyphrases",
                        where=str(file),
                        fix="give the --output of an extract job",
                    )
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"the file cannot be read: {error}", where=str(file)) from error
