"""A tokenized training set in the memory of a worker, with access to rows by index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

ORDER = "order"  # column of the position of a row in the training set


class Rows:
    """Rows as flat NumPy arrays: the values of a column for all rows, and the offset of each row's first value.

    Attributes:
        lengths: column `length`: number of tokens of each row, int32 [rows].
    """

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        """Copy the rows of the tables, sorted by the column `order`. Columns of text are skipped."""
        kept = [table.select(number_columns(table.schema)) for table in tables]
        table = pa.concat_tables(kept).sort_by(ORDER).drop_columns([ORDER]) if kept else pa.table({"length": []})
        del kept
        self._values: dict[str, np.ndarray] = {}
        self._starts: dict[str, np.ndarray] = {}
        for name in table.column_names:
            column = table[name].combine_chunks()
            if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
                self._starts[name] = np.concatenate([[0], np.cumsum(_row_lengths(column))])
                column = column.flatten()
            self._values[name] = column.to_numpy(zero_copy_only=False)
        self.lengths: np.ndarray = self._values["length"].astype(np.int32)

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, indices: Sequence[int] | np.ndarray) -> list[dict[str, np.ndarray]]:
        """Return the rows at these indices. A list becomes an array [values], a number an array without dimensions."""
        return [{name: self._cell(name, int(index)) for name in self._values} for index in indices]

    def _cell(self, name: str, index: int) -> np.ndarray:
        values = self._values[name]
        if name not in self._starts:
            return np.asarray(values[index])
        starts = self._starts[name]
        return values[starts[index] : starts[index + 1]]


def number_columns(schema: pa.Schema) -> list[str]:
    """Names of the columns that training needs: `order`, and all columns of numbers or lists of numbers."""
    return [ORDER, *(field.name for field in schema if field.name != ORDER and _is_number(field.type))]


def _is_number(type_: pa.DataType) -> bool:
    inner = type_.value_type if pa.types.is_list(type_) or pa.types.is_large_list(type_) else type_
    return bool(pa.types.is_integer(inner) or pa.types.is_floating(inner) or pa.types.is_boolean(inner))


def _row_lengths(column: pa.Array) -> np.ndarray:
    import pyarrow.compute as pc

    lengths: np.ndarray = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    return lengths.astype(np.int64)
