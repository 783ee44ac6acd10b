"""Arrow tables, batches and streams in memory, and objects that support the Arrow C interface.

A source is read many times and a stream only once, so a stream is read into a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from squarely.data.dtypes import Kind, Level, declared_levels, is_ordered, kind_of, schema_columns
from squarely.data.frames.in_memory import InMemorySource
from squarely.errors import DataError, first_line
from squarely.numerics import Array


def exports_arrow(data: object) -> bool:
    """Return whether an object exports a stream of Arrow batches, or one batch."""
    return hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")


def to_arrow_table(data: Any) -> pa.Table:
    """Read an object that exports Arrow data into a table.

    Raises
    ------
    DataError : it exports a single column, or fails.
    """
    try:
        return pa.table(data)
    except Exception as error:  # code of the object runs here and may raise anything
        raise DataError(
            f"The Arrow data of type {type(data).__name__!r} cannot be read as a table with named columns: {first_line(error)}. "
            "Give a table that was not read before, or a single column in a dict under its name."
        ) from error


class ArrowSource(InMemorySource):
    """An Arrow table in memory."""

    def __init__(self, table: pa.Table, label: str = "the Arrow table") -> None:
        self.label = label
        self._table, self._rows = table, table.num_rows
        self.columns, self.duplicate_names, self.index_columns = schema_columns(table.schema)

    def select_columns(self, numbers: Sequence[str], labels: Sequence[str]) -> tuple[list[pa.ChunkedArray], int]:
        places = map(self._table.schema.get_field_index, (*numbers, *labels))
        return [self._table.column(place) for place in places], self._table.num_rows

    def kind(self, name: str) -> Kind:
        return kind_of(self._table.schema.field(name).type)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        return declared_levels(self._table.column(name).chunks) if is_ordered(self._table.schema, name) else None

    def column(self, values: Array, name: str) -> pa.ChunkedArray:
        return pa.chunked_array([pa.array(values)])
