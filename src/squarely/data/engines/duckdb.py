"""DuckDB relations: a query on the user's own connection, run again for each scan.

DuckDB ignores case in names, so columns go by their position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import duckdb
import narwhals as nw
import pyarrow as pa

from squarely.data.dtypes import Level
from squarely.data.engines.query_source import QuerySource, enum_values, translate_errors
from squarely.data.query import Engine, Row, keyboard_interrupts
from squarely.data.source import BATCH_ROWS, record_batches
from squarely.errors import DataError, first_line
from squarely.numerics import Array


class DuckDBSource(QuerySource):
    """A DuckDB relation. While its rows are read, its connection is busy.

    The rows have the same order in each scan only if the query determines it. A GROUP BY, DISTINCT or JOIN without an ORDER BY
    may change it, and then residuals and weights do not match their rows. `sort_by` sorts them by a column.
    """

    # 2 million rows of Parquet, CPU seconds in batches and by aggregates, for p columns: p = 1 .60 .24, 2 .76 .32, 3 .90 .47,
    # 4 1.12 .62, 6 1.06 .83, 9 1.36 1.16. Aggregates still need fold=: without an order of rows there is no Durbin-Watson.
    # Its optimizer puts an expression in each place of its column before it finds common ones: ten seconds for 16 columns.
    engine = Engine(name="DuckDB", max_aggregates=2_000, ordered=False, recomputes_expressions=True)

    def __init__(self, relation: duckdb.DuckDBPyRelation, *, order_by: str | None = None) -> None:
        self.label = "the DuckDB relation"
        self._relation, self._order_by = relation, order_by
        if order_by is not None:
            self.engine = replace(self.engine, ordered=True)
        with self._translate_errors():
            self._names, self._types = list(relation.columns), list(relation.types)
            aliases = ", ".join(f"#{i + 1} AS v{i}" for i in range(len(self._names)))
            self._schema = relation.project(aliases or "1 AS v0").limit(0).to_arrow_table().schema
        self.columns = {name: str(kind) for name, kind in zip(self._names, self._types, strict=True)}
        self.duplicate_names = frozenset(name for name in self._names if self._names.count(name) > 1)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        names = [*numbers, *labels]
        relation = self._relation if self._order_by is None else self._relation.order(self._position(self._order_by))
        with self._translate_errors(), keyboard_interrupts():
            rows = self._project(relation, {f"v{i}": name for i, name in enumerate(names)})
            with rows.to_arrow_reader(BATCH_ROWS) as reader:
                for batch in reader:
                    yield from record_batches(batch.columns[: len(names)], batch.num_rows)

    def head(self, names: Sequence[str], rows: int) -> pa.Table:
        with self._translate_errors(), keyboard_interrupts():
            table = self._project(self._relation, {f"v{i}": name for i, name in enumerate(names)}).limit(rows).to_arrow_table()
            return table.rename_columns(list(names)) if names else table.select([])

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        return enum_values(self._types[self._names.index(name)])

    def column(self, values: Array, name: str) -> pa.ChunkedArray:
        return pa.chunked_array([pa.array(values)])

    def from_table(self, table: pa.Table, rows: Any) -> pa.Table:
        return table

    def _position(self, name: str) -> str:
        return f"#{self._names.index(name) + 1}"

    def _project(self, relation: duckdb.DuckDBPyRelation, aliases: Mapping[str, str]) -> duckdb.DuckDBPyRelation:
        return relation.project(", ".join(f"{self._position(name)} AS {alias}" for alias, name in aliases.items()) or "1 AS v0")

    def _arrow_type(self, name: str) -> pa.DataType:
        return self._schema.field(self._names.index(name)).type

    def _select(self, aliases: Mapping[str, str]) -> nw.LazyFrame[Any]:
        return nw.from_native(self._project(self._relation, aliases))

    def _fetch_rows(self, frame: nw.LazyFrame[Any], keys: Sequence[str] = ()) -> list[Row]:
        return list(self._fetch_table(frame).to_pylist())

    def _fetch_table(self, frame: nw.LazyFrame[Any]) -> pa.Table:
        return frame.to_native().to_arrow_table()

    def _sorted(self, name: str) -> DuckDBSource:
        return DuckDBSource(self._relation, order_by=name)

    def _translate_errors(self) -> AbstractContextManager[None]:
        return translate_errors(
            lambda error: DataError(
                f"The DuckDB relation cannot be read: {first_line(error)}. Check that its connection is open and has no other "
                "result being read, and that its tables and files exist."
            ),
            (duckdb.Error, pa.ArrowException, OSError),
        )
