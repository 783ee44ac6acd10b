"""Polars LazyFrames: a plan that Polars carries out again for each scan, in batches and in the order of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import narwhals as nw
import pyarrow as pa

from squarely.data.dtypes import Kind, Level
from squarely.data.frames.dataframe import DataFrameSource
from squarely.data.query import (
    ColumnInfo,
    Engine,
    Query,
    Row,
    aggregate_frames,
    apply_stages,
    column_info_of,
    join_answers,
    with_aliases,
)
from squarely.data.source import BATCH_ROWS, Source, record_batches, require_columns, require_unique_order
from squarely.errors import DataError, SquarelyError, first_line


class PolarsLazySource(Source):
    """A Polars LazyFrame. It is never collected as a whole.

    The rows come in the same order each time only if the plan says which: a group_by, unique or join that does not maintain
    the order gives them in another one each time, until a sort follows.
    """

    # 2 million rows of Parquet, CPU seconds in batches and by aggregates, for p columns: p = 1 .57 .28, 2 .66 .35, 3 .81 .43,
    # 4 1.00 .51, 6 .92 .73, 9 1.39 1.08.
    engine = Engine(name="Polars", max_aggregates=2_000, ordered=True, preferred_up_to=4)

    def __init__(self, frame: nw.LazyFrame[Any]) -> None:
        self.label = "the LazyFrame"
        self._native = frame.to_native()
        self._polars = nw.get_native_namespace(frame)
        try:
            schema = self._native.collect_schema()
        except Exception as error:  # the user's own plan runs here and may raise anything
            raise _collect_error(error) from error
        self.columns = {name: str(kind) for name, kind in schema.items()}
        empty = nw.from_native(self._polars.DataFrame(schema=schema), eager_only=True)
        self._schema_source = DataFrameSource(empty, self.label)  # knows kinds and levels from the schema alone

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order in which Polars gives the rows."""
        names = list(dict.fromkeys((*numbers, *labels))) or list(self.columns)[:1]
        select = self._polars.selectors.by_name(*names)  # a name in a plain select may be taken for a pattern
        try:
            for frame in self._native.select(select).collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
                if numbers or labels:
                    yield from DataFrameSource(nw.from_native(frame, eager_only=True), self.label).read(numbers, labels)
                else:
                    yield from record_batches([], len(frame))
        except SquarelyError:
            raise
        except Exception as error:
            raise _collect_error(error) from error

    def kind(self, name: str) -> Kind:
        """Tell what a column holds."""
        return self._schema_source.kind(name)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Give the categories of an Enum."""
        return self._schema_source.category_order(name)

    def column_info(self, name: str) -> ColumnInfo:
        """Tell what a column holds."""
        return column_info_of(self._schema_source.arrow_type(name), self.columns[name])

    def aggregate(self, query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str] = ()) -> list[Row]:
        """Work results out inside Polars."""
        try:
            frames = aggregate_frames(
                apply_stages(self._build_frame(query), query, self.engine), query, results, keys, self.engine.max_aggregates
            )
            return join_answers(keys, [_collect_rows(frame.to_native()) for frame in frames])
        except Exception as error:
            raise _collect_error(error, "summed up") from error

    def sum_squared_differences(self, query: Query, column: str) -> float:
        """Sum the squared differences of a column of a query from row to row."""
        pl = self._polars
        try:
            frame = apply_stages(self._build_frame(query), query, self.engine).to_native()
            return float(_collect_rows(frame.select(s0=(pl.col(column) - pl.col(column).shift(1)).pow(2).sum()))[0]["s0"])
        except Exception as error:
            raise _collect_error(error, "summed up") from error

    def sort_by(self, name: str) -> PolarsLazySource:
        """Give the rows in the order of a column that differs in every one of them."""
        require_columns(self, [name])
        pl, column = self._polars, self._polars.selectors.by_name(name).as_expr()
        try:
            counts = self._native.select(n0=pl.len(), n1=column.count(), n2=column.n_unique())
            row = _collect_rows(counts)[0]
        except Exception as error:
            raise _collect_error(error, "summed up") from error
        require_unique_order(self, name, rows=row["n0"], values=row["n1"], distinct_values=row["n2"])
        return PolarsLazySource(nw.from_native(self._native.sort(column)))

    def _build_frame(self, query: Query) -> nw.LazyFrame[Any]:
        aliases = [
            *((f"v{i}", name) for i, name in enumerate(query.numbers)),
            *((f"l{i}", name) for i, name in enumerate(query.labels)),
        ]
        columns = [self._polars.selectors.by_name(name).as_expr().alias(alias) for alias, name in aliases]
        frame = nw.from_native(self._native.select(*columns) if columns else self._native)
        return with_aliases(frame, query, [self.column_info(name) for name in query.labels], self.engine)

    def column(self, values: Any, name: str) -> Any:
        """Give values, one for each row, as a Polars series."""
        return self._polars.Series(name, values)


def _collect_rows(frame: Any) -> list[Row]:
    rows: list[Row] = frame.collect(engine="streaming").to_dicts()
    return rows


def _collect_error(error: Exception, done: str = "collected in batches") -> DataError:
    return DataError(
        f"The LazyFrame cannot be {done}: {first_line(error)}. "
        "See that its collect() works and that its files are there; batches need Polars 1.34 or newer."
    )
