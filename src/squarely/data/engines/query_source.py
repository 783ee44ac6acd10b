"""The contract that DuckDB, Ibis, Polars and Spark share: each selects columns, and fetches the rows of a result."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import reduce
from typing import Any

import narwhals as nw
import pyarrow as pa

from squarely.data.dtypes import Kind, Level, kind_of
from squarely.data.query import ColumnInfo, Query, Row, apply_stages, column_info_of, with_aliases
from squarely.data.source import Source, require_columns
from squarely.errors import DataError, SquarelyError, pluralize


class QuerySource(Source):
    """A table whose engine runs queries. `_order_by` is the column that sorts its rows, None if nothing does."""

    _order_by: str | None = None

    @abstractmethod
    def _arrow_type(self, name: str) -> pa.DataType:
        """Return the Arrow type of a column, binary for a type that Arrow lacks."""

    @abstractmethod
    def _select(self, aliases: Mapping[str, str]) -> nw.LazyFrame[Any]:
        """Return columns under aliases (alias -> name); without any, a frame of the same rows."""

    @abstractmethod
    def _fetch_rows(self, frame: nw.LazyFrame[Any], keys: Sequence[str] = ()) -> list[Row]:
        """Run the query of a frame and return its rows; `keys` are its groups."""

    @abstractmethod
    def _fetch_table(self, frame: nw.LazyFrame[Any]) -> pa.Table:
        """Run the query of a frame and return its rows as a table."""

    @abstractmethod
    def _sorted(self, name: str) -> Source:
        """Return the same rows sorted by a column."""

    @abstractmethod
    def _translate_errors(self) -> AbstractContextManager[None]:
        """Turn the engine's errors into a DataError."""

    def kind(self, name: str) -> Kind:
        return kind_of(self._arrow_type(name))

    def column_info(self, name: str) -> ColumnInfo:
        return column_info_of(self._arrow_type(name), self.columns[name])

    def aggregate(self, query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str] = ()) -> list[Row]:
        expressions, size = [result.alias(name) for name, result in results.items()], self.require_engine().max_aggregates
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        with self._translate_errors():
            frame = self._run(query)
            for start in range(0, len(expressions), size):
                some = expressions[start : start + size]
                answer = frame.group_by(*keys).agg(*some) if keys else frame.select(*some)
                if query.group_limit is not None:
                    answer = answer.head(query.group_limit)
                for row in self._fetch_rows(answer, keys):
                    rows.setdefault(tuple(row[key] for key in keys), {}).update(row)
        return list(rows.values())

    def aggregate_table(self, query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str]) -> pa.Table:
        expressions, size = [result.alias(name) for name, result in results.items()], self.require_engine().max_aggregates
        parts: list[pa.Table] = []
        with self._translate_errors():
            groups = self._run(query).group_by(*keys)
            for start in range(0, len(expressions), size):
                frame = groups.agg(*expressions[start : start + size])
                parts.append(self._fetch_table(frame if query.group_limit is None else frame.head(query.group_limit)))
                if len(parts[0]) == query.group_limit:
                    return parts[0]
        return reduce(lambda a, b: a.join(b, list(keys), join_type="inner"), parts)

    def sum_squared_differences(self, query: Query, column: str) -> float:
        if self._order_by is None:
            return math.nan
        difference = nw.col(column) - nw.col(column).shift(1).over(order_by="o0")
        with self._translate_errors():
            frame = self._run(query).with_columns(d0=difference).select(s0=(nw.col("d0") * nw.col("d0")).sum())
            return float(self._fetch_rows(frame)[0]["s0"])

    def sort_by(self, name: str) -> Source:
        require_columns(self, [name])
        with self._translate_errors():
            row = self._fetch_rows(self._count_values(name))[0]
        rows, values, distinct_values = (int(row[count]) for count in ("n0", "n1", "n2"))
        if values < rows:
            raise DataError(
                f"{name!r} of {self.label} is empty in {pluralize(rows - values, 'row')}, so order_by={name!r} does not place "
                "these rows. Leave them out of the table, or order by a column without gaps."
            )
        if distinct_values < rows:
            raise DataError(
                f"{name!r} of {self.label} has {pluralize(distinct_values, 'distinct value')} in {pluralize(rows, 'row')}, so "
                f"order_by={name!r} does not determine their order. Order by a column whose values are all different."
            )
        return self._sorted(name)

    def _count_values(self, name: str) -> nw.LazyFrame[Any]:
        """Return the frame of n0, n1 and n2: the numbers of rows, of values and of distinct values of a column."""
        column = nw.col("v0")
        return self._select({"v0": name}).select(n0=nw.len(), n1=column.count(), n2=column.n_unique())

    def _run(self, query: Query) -> nw.LazyFrame[Any]:
        """Return the frame of a query, with its stages applied; o0 is the column that sorts the rows."""
        aliases = {f"v{i}": name for i, name in enumerate(query.numbers)} | {f"l{i}": name for i, name in enumerate(query.labels)}
        if self._order_by is not None:
            aliases["o0"] = self._order_by
        frame = self._select(aliases)
        if query.is_ordered and self._order_by is None:
            frame = self._number_rows(frame)
        engine, label_info = self.require_engine(), [self.column_info(name) for name in query.labels]
        return apply_stages(with_aliases(frame, query, label_info, engine), query, engine)

    def _number_rows(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Return a frame with the positions of its rows as the column o0; only some engines have an order without a column."""
        raise AssertionError(self.label)


def enum_values(kind: Any) -> tuple[Level, ...] | None:
    """Return the values of a DuckDB type if it is an ENUM."""
    levels = dict(kind.children)["values"] if kind.id == "enum" else None
    return tuple(levels) if isinstance(levels, list) else None


@contextmanager
def translate_errors(
    to_error: Callable[[Exception], DataError], caught: tuple[type[Exception], ...] = (Exception,)
) -> Iterator[None]:
    """Raise what `to_error` makes of an engine's error; by default of any, because a user's own query may raise anything."""
    try:
        yield
    except SquarelyError:
        raise
    except caught as error:
        raise to_error(error) from error
