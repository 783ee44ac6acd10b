"""Ibis tables: expressions on a database, which computes sums itself; the rows stay there.

Columns go by their position and by numbered aliases, because databases differ in which names they accept. DuckDB is queried through
its own relations, which have functions that Ibis lacks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import ibis
import ibis.expr.operations as ops
import narwhals as nw
import pyarrow as pa

from squarely.data.dtypes import Level
from squarely.data.engines.query_source import QuerySource, enum_values, translate_errors
from squarely.data.query import Engine, Row, map_values_by_cases
from squarely.data.source import BATCH_ROWS, record_batches
from squarely.errors import DataError, first_line

_NAMES = {"duckdb": "DuckDB", "sqlite": "SQLite", "mysql": "MySQL", "mssql": "SQL Server", "bigquery": "BigQuery",
          "clickhouse": "ClickHouse", "datafusion": "DataFusion"}  # fmt: skip
_MAX_AGGREGATES = 400  # SQLite accepts 2,000 columns, Postgres 1,664; a query of many sums is slow


def _is_finite(x: nw.Expr) -> nw.Expr:
    """Return whether a number is finite: times zero it is zero.

    A comparison with a bound does not do: in DuckDB it is true where the statistics of a Parquet file leave NaN out.
    """
    return x * 0.0 == 0.0


class IbisSource(QuerySource):
    """An Ibis table. Its rows have no order until `sort_by` sorts them, and only then can they be read."""

    label = "the Ibis table"

    def __init__(self, table: ibis.Table, *, order_by: str | None = None) -> None:
        self._table, self._order_by = table, order_by
        with self._translate_errors():
            self._backend = table.get_backend()
            self._schema = table.schema()
            self._is_duckdb = bool(self._backend.name == "duckdb")
            quantiles = self._is_duckdb or bool(self._backend.has_operation(ops.Quantile))
        self.columns = {name: str(kind) for name, kind in self._schema.items()}
        self.ordered = order_by is not None
        name = _NAMES.get(self._backend.name, self._backend.name.capitalize())
        engine = Engine(name=name, max_aggregates=_MAX_AGGREGATES, ordered=self.ordered, aggregates_only=True, quantiles=quantiles)
        if not self._is_duckdb:
            engine = replace(engine, recomputes_expressions=True, is_finite=_is_finite, map_values=map_values_by_cases)
        self.engine = engine

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, sorted; rows without an order are not read."""
        if self._order_by is None:
            raise DataError(
                f"The rows of {self.label} stay in {self.require_engine().name}, and they have no order to match results to rows. "
                "For residuals, give ols order_by= a column that sorts them; for predictions, write them to a Parquet file first."
            )
        names = [*numbers, *labels]
        with self._translate_errors():
            columns = {f"v{i}": self._get_column(name) for i, name in enumerate(names)}
            rows = self._table.order_by(self._get_column(self._order_by)).select(columns or {"v0": ibis.literal(1)})
            if self._is_duckdb:
                batches = self._to_duckdb(rows).to_arrow_reader(BATCH_ROWS)
            else:
                batches = self._backend.to_pyarrow_batches(rows, chunk_size=BATCH_ROWS)
            for batch in batches:
                yield from record_batches(batch.columns[: len(names)], batch.num_rows)

    def head(self, names: Sequence[str], rows: int) -> pa.Table:
        with self._translate_errors():
            columns = {f"v{i}": self._get_column(name) for i, name in enumerate(names)}
            return self._table.select(columns or {"v0": ibis.literal(1)}).limit(rows).to_pyarrow().rename_columns(list(names))

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Return the values of an ENUM of DuckDB; Ibis takes it for text."""
        if not self._is_duckdb:
            return None
        return enum_values(self._to_duckdb(self._table).types[list(self.columns).index(name)])

    def _arrow_type(self, name: str) -> pa.DataType:
        try:
            return self._schema[name].to_pyarrow()
        except (NotImplementedError, TypeError, pa.ArrowException):
            return pa.binary()

    def _get_column(self, name: str) -> Any:
        return self._table[list(self.columns).index(name)]

    def _select(self, aliases: Mapping[str, str]) -> nw.LazyFrame[Any]:
        columns = {alias: self._get_column(name) for alias, name in aliases.items()}
        for alias, name in aliases.items():
            if alias.startswith("v") and self._schema[name].is_boolean():  # which Postgres does not cast to a double
                columns[alias] = ibis.cases((columns[alias], 1), (~columns[alias], 0)).cast("float64")
        table = self._table.select(columns or {"v0": ibis.literal(1)})
        return nw.from_native(self._to_duckdb(table) if self._is_duckdb else table)

    def _count_values(self, name: str) -> nw.LazyFrame[Any]:
        column = self._get_column(name)  # narwhals casts a boolean to an integer here, which Postgres refuses
        return nw.from_native(self._table.aggregate(n0=self._table.count(), n1=column.count(), n2=column.nunique()))

    def _to_duckdb(self, table: ibis.Table) -> Any:
        """Return a table in DuckDB as a relation of its connection."""
        self._backend.to_pyarrow(table.limit(0))  # registers its tables in memory and loads its extensions
        return self._backend.con.sql(self._backend.compile(table))

    def _fetch_rows(self, frame: nw.LazyFrame[Any], keys: Sequence[str] = ()) -> list[Row]:
        rows = self._fetch_table(frame).to_pylist()
        return [{k: math.nan if v is None and k not in keys else v for k, v in row.items()} for row in rows]

    def _fetch_table(self, frame: nw.LazyFrame[Any]) -> pa.Table:
        native = frame.to_native()
        return native.to_pyarrow() if isinstance(native, ibis.Table) else native.to_arrow_table()

    def _sorted(self, name: str) -> IbisSource:
        return IbisSource(self._table, order_by=name)

    def _translate_errors(self) -> AbstractContextManager[None]:
        return translate_errors(self._database_error)

    def _database_error(self, error: Exception) -> DataError:
        engine, reason = self.engine.name if self.engine else "its database", first_line(error)
        if "NotDefined" in type(error).__name__ or "Unsupported" in type(error).__name__:
            return DataError(f"{engine} lacks an operation that {self.label} needs: {reason}. {self.alternative}.")
        return DataError(
            f"{self.label[0].upper()}{self.label[1:]} cannot be aggregated in {engine}: {reason}. Check its connection and tables; "
            "if an operation has no value for some rows, such as a division by zero, leave them out with where=."
        )
