"""Ibis tables: expressions on a database, which works out sums by itself; the rows stay there.

Columns go by their position and by numbered aliases: databases differ in what they think of names. DuckDB is asked by its own
relations, which know more of it than Ibis does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import ibis
import ibis.expr.operations as ops
import narwhals as nw
import pyarrow as pa

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
    map_values_by_cases,
    squared_differences,
    with_aliases,
)
from squarely.data.source import BATCH_ROWS, Source, record_batches, require_columns, require_unique_order
from squarely.errors import DataError, first_line

_NAMES = {"duckdb": "DuckDB", "sqlite": "SQLite", "mysql": "MySQL", "mssql": "SQL Server", "bigquery": "BigQuery",
          "clickhouse": "ClickHouse", "datafusion": "DataFusion"}  # fmt: skip
_MAX_AGGREGATES = 400  # SQLite takes 2,000 columns, Postgres 1,664; a query of many sums is long in coming


def _is_finite(x: nw.Expr) -> nw.Expr:
    """Tell whether a number is finite: times zero it is zero.

    No comparison with a bound: DuckDB takes it for true where the statistics of a Parquet file leave NaN out.
    """
    return x * 0.0 == 0.0


class IbisSource(Source):
    """An Ibis table. Its rows have no order until `sorted_by` gives them one, and are read only then, if somebody asks for them."""

    ordered = False
    label = "the Ibis table"

    def __init__(self, table: ibis.Table, *, by: str | None = None) -> None:
        self._table, self._order_by = table, by
        try:
            self._backend = table.get_backend()
            self._schema = table.schema()
            quantiles = self._backend.name == "duckdb" or bool(self._backend.has_operation(ops.Quantile))
        except Exception as error:  # a backend may raise anything
            self._fail(error)
        self.columns = {name: str(kind) for name, kind in self._schema.items()}
        self.ordered = by is not None
        name = _NAMES.get(self._backend.name, self._backend.name.capitalize())
        plain = Engine(name=name, max_aggregates=_MAX_AGGREGATES, ordered=self.ordered, aggregates_only=True, quantiles=quantiles)
        self.engine = (
            plain
            if self._is_duckdb
            else replace(plain, recomputes_expressions=True, is_finite=_is_finite, map_values=map_values_by_cases)
        )

    @property
    def _is_duckdb(self) -> bool:
        return bool(self._backend.name == "duckdb")

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order of the rows; without one they are not read."""
        if self._order_by is None:
            raise DataError(
                f"The rows of {self.label} stay in {self.require_engine().name}, and they have no order by which one could be told "
                "from another. For residuals, give ols order_by=, a column that puts them in order; for anything else that goes "
                "row by row, write them to a Parquet file and give its path."
            )
        names = [*numbers, *labels]
        rows = self._table.order_by(self._get_column(self._order_by)).select(
            self._alias_columns(names, "v") or {"v0": ibis.literal(1)}
        )
        try:
            if self._is_duckdb:
                batches = self._to_duckdb(rows).to_arrow_reader(BATCH_ROWS)
            else:
                batches = self._backend.to_pyarrow_batches(rows, chunk_size=BATCH_ROWS)
            for batch in batches:
                yield from record_batches(batch.columns[: len(names)], batch.num_rows)
        except Exception as error:
            self._fail(error)

    def kind(self, name: str) -> Kind:
        """Tell what a column holds."""
        return kind_of(self._arrow_type(name))

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Give the values of an ENUM, which Ibis takes for text: DuckDB alone tells them."""
        if not self._is_duckdb:
            return None
        kind = self._to_duckdb(self._table).types[list(self.columns).index(name)]
        levels = dict(kind.children)["values"] if kind.id == "enum" else None
        return tuple(levels) if isinstance(levels, list) else None

    def column_info(self, name: str) -> ColumnInfo:
        """Tell what a column holds."""
        return column_info_of(self._arrow_type(name), self.columns[name])

    def aggregate(self, query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str] = ()) -> list[Row]:
        """Work results out inside the database."""
        try:
            frames = aggregate_frames(
                apply_stages(self._build_frame(query), query, self.require_engine()),
                query,
                results,
                keys,
                self.require_engine().max_aggregates,
            )
            return join_answers(keys, [self._fetch_rows(frame, keys) for frame in frames])
        except Exception as error:
            self._fail(error)

    def sum_squared_differences(self, query: Query, column: str) -> float:
        """Sum the squared differences of a column of a query from row to row, once the rows are sorted."""
        if self._order_by is None:
            return math.nan
        try:
            return float(
                self._fetch_rows(
                    squared_differences(apply_stages(self._build_frame(query), query, self.require_engine()), column, "o0"), ()
                )[0]["s0"]
            )
        except Exception as error:
            self._fail(error)

    def sort_by(self, name: str) -> IbisSource:
        """Give the rows in the order of a column that differs in every one of them."""
        require_columns(self, [name])
        column = self._get_column(name)
        counts = self._table.aggregate(n0=self._table.count(), n1=column.count(), n2=column.nunique())
        try:
            row = self._fetch_rows(nw.from_native(counts), ())[0]
        except Exception as error:
            self._fail(error)
        require_unique_order(self, name, rows=int(row["n0"]), values=int(row["n1"]), distinct_values=int(row["n2"]))
        return IbisSource(self._table, by=name)

    def _arrow_type(self, name: str) -> pa.DataType:
        try:
            return self._schema[name].to_pyarrow()
        except (NotImplementedError, TypeError, pa.ArrowException):  # a type that Arrow has not
            return pa.binary()

    def _get_column(self, name: str) -> Any:
        return self._table[list(self.columns).index(name)]

    def _alias_columns(self, names: Sequence[str], letter: str) -> dict[str, Any]:
        return {f"{letter}{i}": self._get_column(name) for i, name in enumerate(names)}

    def _build_frame(self, query: Query) -> nw.LazyFrame[Any]:
        """Give the columns of a query under their aliases."""
        columns = self._alias_columns(query.numbers, "v") | self._alias_columns(query.labels, "l")
        for alias in [f"v{i}" for i, name in enumerate(query.numbers) if self._schema[name].is_boolean()]:
            flag = columns[alias]  # which Postgres does not cast to a double
            columns[alias] = ibis.cases((flag, 1), (~flag, 0)).cast("float64")
        columns |= {} if self._order_by is None else self._alias_columns([self._order_by], "o")
        table = self._table.select(columns or {"v0": ibis.literal(1)})
        frame = nw.from_native(self._to_duckdb(table) if self._is_duckdb else table)
        return with_aliases(frame, query, [self.column_info(name) for name in query.labels], self.require_engine())

    def _to_duckdb(self, table: ibis.Table) -> Any:
        """Give a table of DuckDB's as a relation of its connection."""
        self._backend.to_pyarrow(table.limit(0))  # brings tables in memory and extensions there, if it has some
        return self._backend.con.sql(self._backend.compile(table))

    def _fetch_rows(self, frame: nw.LazyFrame[Any], keys: Sequence[str]) -> list[Row]:
        native = frame.to_native()
        rows = (native.to_pyarrow() if isinstance(native, ibis.Table) else native.to_arrow_table()).to_pylist()
        return [{k: math.nan if v is None and k not in keys else v for k, v in row.items()} for row in rows]

    def _fail(self, error: Exception) -> NoReturn:
        """Say what the database could not do, which it names itself, and the way out."""
        if isinstance(error, DataError):
            raise error
        engine = self.engine.name if self.engine else "its database"
        if "NotDefined" in type(error).__name__ or "Unsupported" in type(error).__name__:
            said = f"{engine} cannot do what this needs of {self.label}: {first_line(error)}"
            raise DataError(f"{said.rstrip('.')}. {self.alternative}.") from error
        raise DataError(
            f"{self.label[0].upper()}{self.label[1:]} cannot be summed up in {engine}: {first_line(error)}. See that its "
            "connection is open and its tables are there. Some databases refuse arithmetic that has no value, such as a division "
            "by zero: leave such rows out with where=."
        ) from error
