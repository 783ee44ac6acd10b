"""Tables in this process: each gives columns as Arrow, which are cut into batches without a copy, as Arrow tables are.

A source is read many times and a stream of Arrow batches only once, so a stream is read into a table.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from squarely.data.dtypes import Kind, Level, declared_levels, is_ordered, kind_of, schema_columns
from squarely.data.source import BATCH_ROWS, PlacedBatch, RowRange, Source, record_batches
from squarely.numerics import Array

_MAX_ROWS = 4 * BATCH_ROWS  # of a batch that is a view of rows in memory: larger ones save time in Python


class InMemorySource(Source):
    """A table in this process."""

    @abstractmethod
    def select_columns(self, names: Sequence[str]) -> tuple[Sequence[pa.Array | pa.ChunkedArray], int]:
        """Return the named columns, and the number of rows."""

    def arrow_type(self, name: str) -> pa.DataType:
        """Return the Arrow type of a column."""
        return self.select_columns([name])[0][0].type

    def kind(self, name: str) -> Kind:
        return kind_of(self.arrow_type(name))

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, without a copy where the table and Arrow have the same layout."""
        yield from record_batches(*self.select_columns((*numbers, *labels)), _MAX_ROWS)

    def parts(self) -> tuple[RowRange, ...]:
        rows = self.select_columns([])[1]
        return tuple(RowRange(first, min(BATCH_ROWS, rows - first)) for first in range(0, rows, BATCH_ROWS))

    def read_parts(self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]) -> Iterator[PlacedBatch]:
        columns, rows = self.select_columns((*numbers, *labels))
        for first in (i * BATCH_ROWS for i in order):
            size = min(BATCH_ROWS, rows - first)
            yield from ((first, batch) for batch in record_batches([column.slice(first, size) for column in columns], size))


def is_in_memory(source: Source) -> bool:
    """Return whether the rows are in this process, decoded, so that a pass over them costs little."""
    return isinstance(source, InMemorySource)


class ArrowSource(InMemorySource):
    """An Arrow table in memory."""

    def __init__(self, table: pa.Table, label: str = "the Arrow table") -> None:
        self.label = label
        self._table, self._rows = table, table.num_rows
        self.columns, self.duplicate_names, self.index_columns = schema_columns(table.schema)

    def select_columns(self, names: Sequence[str]) -> tuple[list[pa.ChunkedArray], int]:
        places = map(self._table.schema.get_field_index, names)
        return [self._table.column(place) for place in places], self._table.num_rows

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        return declared_levels(self._table.column(name).chunks) if is_ordered(self._table.schema, name) else None

    def column(self, values: Array, name: str) -> pa.ChunkedArray:
        return pa.chunked_array([pa.array(values)])

    def from_table(self, table: pa.Table, rows: np.ndarray) -> Any:
        return table
