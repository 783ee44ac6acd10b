"""Polars LazyFrames: a plan that Polars runs again for each scan, in batches and in the order of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import narwhals as nw
import pyarrow as pa

from squarely.data.dtypes import Level
from squarely.data.engines.query_source import QuerySource, translate_errors
from squarely.data.frames.dataframe import DataFrameSource
from squarely.data.query import Engine, Query, Row
from squarely.data.source import BATCH_ROWS, record_batches
from squarely.errors import DataError, first_line


class PolarsLazySource(QuerySource):
    """A Polars LazyFrame. It is never collected as a whole.

    The rows have the same order in each scan only if the plan determines it. A group_by, unique or join that does not maintain
    the order may change it, until a sort follows.
    """

    # 2 million rows of Parquet, CPU seconds in batches and by aggregates, for p columns: p = 1 .57 .28, 2 .66 .35, 3 .81 .43,
    # 4 1.00 .51, 6 .92 .73, 9 1.39 1.08.
    engine = Engine(name="Polars", max_aggregates=2_000, ordered=True, preferred_up_to=4)

    def __init__(self, frame: nw.LazyFrame[Any]) -> None:
        self.label = "the LazyFrame"
        self._native = frame.to_native()
        self._polars = nw.get_native_namespace(frame)
        with self._translate_errors():
            schema = self._native.collect_schema()
        self.columns = {name: str(kind) for name, kind in schema.items()}
        empty = nw.from_native(self._polars.DataFrame(schema=schema), eager_only=True)
        self._schema_source = DataFrameSource(empty, self.label)  # has kinds and levels, from the schema alone

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        names = list(dict.fromkeys((*numbers, *labels))) or list(self.columns)[:1]
        select = self._polars.selectors.by_name(*names)  # a plain select may take a name for a pattern
        with self._translate_errors():
            for frame in self._native.select(select).collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
                if numbers or labels:
                    yield from DataFrameSource(nw.from_native(frame, eager_only=True), self.label).read(numbers, labels)
                else:
                    yield from record_batches([], len(frame))

    def head(self, names: Sequence[str], rows: int) -> pa.Table:
        with self._translate_errors():
            frame = self._native.select(self._polars.selectors.by_name(*names)).head(rows).collect()
        return DataFrameSource(nw.from_native(frame, eager_only=True), self.label).head(names, rows)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        return self._schema_source.category_order(name)

    def column(self, values: Any, name: str) -> Any:
        return self._polars.Series(name, values)

    def from_table(self, table: pa.Table, rows: Any) -> Any:
        return self._polars.from_arrow(table)

    def sum_squared_differences(self, query: Query, column: str) -> float:
        difference = self._polars.col(column) - self._polars.col(column).shift(1)
        with self._translate_errors():
            frame = self._run(query).to_native().select(s0=difference.pow(2).sum())
            return float(self._fetch_rows(nw.from_native(frame))[0]["s0"])

    def _arrow_type(self, name: str) -> pa.DataType:
        return self._schema_source.arrow_type(name)

    def _select(self, aliases: Mapping[str, str]) -> nw.LazyFrame[Any]:
        by_name = self._polars.selectors.by_name
        columns = [by_name(name).as_expr().alias(alias) for alias, name in aliases.items()]
        return nw.from_native(self._native.select(*columns) if columns else self._native)

    def _fetch_rows(self, frame: nw.LazyFrame[Any], keys: Sequence[str] = ()) -> list[Row]:
        return list(frame.to_native().collect(engine="streaming").to_dicts())

    def _fetch_table(self, frame: nw.LazyFrame[Any]) -> pa.Table:
        return frame.to_native().collect(engine="streaming").to_arrow()

    def _number_rows(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        return nw.from_native(frame.to_native().with_row_index("o0"))

    def _sorted(self, name: str) -> PolarsLazySource:
        return PolarsLazySource(nw.from_native(self._native.sort(self._polars.selectors.by_name(name))))

    def _translate_errors(self) -> AbstractContextManager[None]:
        return translate_errors(
            lambda error: DataError(
                f"The LazyFrame cannot be collected: {first_line(error)}. Check that its collect() works and that its files exist; "
                "batches need Polars 1.34 or newer."
            )
        )
