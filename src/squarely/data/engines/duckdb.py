"""DuckDB relations: a query on the user's own connection, run again for each scan.

DuckDB finds names without regard to case, so columns go by their position.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import narwhals as nw
import pyarrow as pa
from duckdb import DuckDBPyRelation

from squarely.data.dtypes import Kind, Level, kind_of
from squarely.data.query import (
    ColumnInfo,
    Engine,
    Query,
    Row,
    aggregate_frames,
    apply_stages,
    column_info_of,
    join_answers,
    keyboard_interrupts,
    squared_differences,
    with_aliases,
)
from squarely.data.source import BATCH_ROWS, Source, record_batches, require_columns, require_unique_order
from squarely.errors import DataError, first_line
from squarely.numerics import Array

__all__ = ["DuckDBPyRelation", "DuckDBSource"]

_ENGINE_ERRORS = (duckdb.Error, pa.ArrowException, OSError)


class DuckDBSource(Source):
    """A DuckDB relation. While its rows are read its connection can do nothing else.

    The rows come in the same order each time only if the query says which: a GROUP BY, DISTINCT or JOIN without an ORDER BY
    gives them in another order now and then, and what belongs to a row (residuals, weights) is then out of step with it.
    `sorted_by` puts them in the order of a column.
    """

    # 2 million rows of Parquet, CPU seconds in batches and by aggregates, for p columns: p = 1 .60 .24, 2 .76 .32, 3 .90 .47,
    # 4 1.12 .62, 6 1.06 .83, 9 1.36 1.16. Never unasked all the same: without an order of rows there is no Durbin-Watson.
    engine = Engine(name="DuckDB", max_aggregates=2_000, ordered=False, preferred_up_to=0)

    def __init__(self, relation: DuckDBPyRelation, *, by: str | None = None) -> None:
        self.label = "the DuckDB relation"
        self._relation, self._order_by = relation, by
        if by is not None:
            self.engine = replace(self.engine, ordered=True)
        try:
            self._names, self._types = list(relation.columns), list(relation.types)
            self._schema = relation.project(_select(range(len(self._names)), "v") or "1 AS v0").limit(0).to_arrow_table().schema
        except _ENGINE_ERRORS as error:
            raise _read_error(error) from error
        self.columns = {name: str(kind) for name, kind in zip(self._names, self._types, strict=True)}
        self.duplicate_names = frozenset(name for name in self._names if self._names.count(name) > 1)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order in which DuckDB gives the rows."""
        places = [self._names.index(name) for name in (*numbers, *labels)]
        try:
            with (
                keyboard_interrupts(),
                self._sort_rows().project(_select(places, "v") or "1 AS v0").to_arrow_reader(BATCH_ROWS) as reader,
            ):
                for batch in reader:
                    yield from record_batches(batch.columns[: len(places)], batch.num_rows)
        except _ENGINE_ERRORS as error:
            raise _read_error(error) from error

    def sort_by(self, name: str) -> DuckDBSource:
        """Give the rows in the order of a column that differs in every one of them."""
        require_columns(self, [name])
        at = f"#{self._names.index(name) + 1}"
        try:
            counts = self._relation.project(f"{at} AS v0").aggregate("count(*) AS n0, count(v0) AS n1, count(DISTINCT v0) AS n2")
            row = counts.to_arrow_table().to_pylist()[0]
        except _ENGINE_ERRORS as error:
            raise _read_error(error) from error
        require_unique_order(self, name, rows=row["n0"], values=row["n1"], distinct_values=row["n2"])
        return DuckDBSource(self._relation, by=name)

    def _sort_rows(self) -> DuckDBPyRelation:
        return self._relation if self._order_by is None else self._relation.order(f"#{self._names.index(self._order_by) + 1}")

    def kind(self, name: str) -> Kind:
        """Tell what a column holds."""
        return kind_of(self._schema.field(self._names.index(name)).type)

    def column_info(self, name: str) -> ColumnInfo:
        """Tell what a column holds."""
        return column_info_of(self._schema.field(self._names.index(name)).type, self.columns[name])

    def aggregate(self, query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str] = ()) -> list[Row]:
        """Work results out inside DuckDB."""
        try:
            frames = aggregate_frames(
                apply_stages(self._build_frame(query), query, self.engine), query, results, keys, self.engine.max_aggregates
            )
            return join_answers(keys, [frame.to_native().to_arrow_table().to_pylist() for frame in frames])
        except _ENGINE_ERRORS as error:
            raise _read_error(error) from error

    def sum_squared_differences(self, query: Query, column: str) -> float:
        """Sum the squared differences of a column of a query from row to row, once the rows are sorted."""
        if self._order_by is None:
            return math.nan
        try:
            frame = squared_differences(apply_stages(self._build_frame(query), query, self.engine), column, "o0")
            return float(frame.to_native().to_arrow_table().to_pylist()[0]["s0"])
        except _ENGINE_ERRORS as error:
            raise _read_error(error) from error

    def _build_frame(self, query: Query) -> nw.LazyFrame[Any]:
        numbers = _select([self._names.index(name) for name in query.numbers], "v")
        labels = _select([self._names.index(name) for name in query.labels], "l")
        order = "" if self._order_by is None else _select([self._names.index(self._order_by)], "o")
        relation = self._relation.project(", ".join(part for part in (numbers, labels, order) if part) or "1 AS v0")
        return with_aliases(nw.from_native(relation), query, [self.column_info(name) for name in query.labels], self.engine)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Give the values of an ENUM."""
        kind = self._types[self._names.index(name)]
        levels = dict(kind.children)["values"] if kind.id == "enum" else None
        return tuple(levels) if isinstance(levels, list) else None

    def column(self, values: Array, name: str) -> pa.ChunkedArray:
        """Give values, one for each row, as an Arrow column."""
        return pa.chunked_array([pa.array(values)])


def _select(places: Sequence[int], letter: str) -> str:
    return ", ".join(f"#{place + 1} AS {letter}{i}" for i, place in enumerate(places))


def _read_error(error: Exception) -> DataError:
    return DataError(
        f"The DuckDB relation cannot be read: {first_line(error)}. See that its connection is open and has no other result "
        "being read, and that its tables and files are there."
    )
