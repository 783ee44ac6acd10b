"""Rows that Arrow holds in memory: tables, batches, streams and whatever speaks Arrow's C interface.

A stream can be read once, a source is read often: so a stream is read into a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import pyarrow as pa

from squarely.data.dtypes import Kind, Level, declared_levels, index_columns, is_ordered, kind_of, schema_columns
from squarely.data.source import MEMORY_ROWS, RowRange, Source, read_ranges, record_batches, row_ranges
from squarely.errors import DataError, first_line
from squarely.numerics import Array


@runtime_checkable
class ArrowStream(Protocol):
    """Anything that gives its rows as a stream of Arrow batches."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


@runtime_checkable
class ArrowArray(Protocol):
    """Anything that gives its rows as one Arrow batch."""

    def __arrow_c_array__(self, requested_schema: object = None) -> object: ...


def to_arrow_table(data: ArrowStream | ArrowArray) -> pa.Table:
    """Read what speaks Arrow into a table.

    Raises
    ------
    DataError : it holds one column and not a table, or breaks while it is read.
    """
    try:
        if isinstance(data, ArrowStream):
            return pa.RecordBatchReader.from_stream(data).read_all()
        return pa.Table.from_batches([pa.record_batch(data)])
    except Exception as error:  # the object's own code runs here and may raise anything
        raise DataError(
            f"The Arrow data of type {type(data).__name__!r} cannot be read as a table with named columns: {first_line(error)}. "
            "Give a table; a single column goes into a dict under its name; a stream that was read once before is used up."
        ) from error


class ArrowSource(Source):
    """An Arrow table in memory."""

    def __init__(self, table: pa.Table, label: str = "the Arrow table") -> None:
        self.label = label
        self._table = table
        self.columns, self.duplicate_names = schema_columns(table.schema)
        self.index_columns = index_columns(table.schema)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self._table.num_rows)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, without a copy where a batch lies in one chunk."""
        yield from record_batches(self._select_columns(numbers, labels), self._table.num_rows, MEMORY_ROWS)

    def parts(self) -> tuple[RowRange, ...]:
        """Tell which rows are read together."""
        return row_ranges(self.rows)

    def read_parts(
        self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the named columns of some parts."""
        yield from read_ranges(self._select_columns(numbers, labels), self.rows, order)

    def _select_columns(self, numbers: Sequence[str], labels: Sequence[str]) -> list[pa.ChunkedArray]:
        return [self._table.column(self._table.schema.get_field_index(name)) for name in (*numbers, *labels)]

    def kind(self, name: str) -> Kind:
        """Tell what a column holds."""
        return kind_of(self._table.schema.field(name).type)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Give the categories of a dictionary that has an order."""
        return declared_levels(self._table.column(name).chunks) if is_ordered(self._table.schema, name) else None

    def column(self, values: Array, name: str) -> pa.ChunkedArray:
        """Give values, one for each row, as an Arrow column."""
        return pa.chunked_array([pa.array(values)])
