"""Aggregate queries: sums that an engine computes where the rows are.

A Query does not depend on the engine. Columns have numbered aliases in lower case, v0, v1, ... for numbers and l0, l1, ... for
labels, because engines differ in which names they accept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import narwhals as nw
import pyarrow as pa

from squarely.data.dtypes import has_times

Row = Mapping[str, Any]
_DIGITS = 15  # a double preserves decimals of as many digits
_NO_LIMIT, _FENCED_STAGES = 2**62, 4  # the last stages occur in most sums; SQLite refuses queries that are too deep


def map_values(x: nw.Expr, levels: Sequence[Any], values: Sequence[float]) -> nw.Expr:
    """Map the level of each row to its value, and other levels to null, by the engine's lookup."""
    return x.replace_strict(list(levels), list(values), default=None, return_dtype=nw.Float64)


def map_values_by_cases(x: nw.Expr, levels: Sequence[Any], values: Sequence[float]) -> nw.Expr:
    """Do as `map_values` by nested cases, as deep as the logarithm of their number."""
    if len(levels) == 1:
        return nw.when(x == levels[0]).then(nw.lit(float(values[0]), nw.Float64))
    half = len(levels) // 2
    one, other = map_values_by_cases(x, levels[:half], values[:half]), map_values_by_cases(x, levels[half:], values[half:])
    return nw.when(x.is_in(list(levels[:half]))).then(one).otherwise(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An engine that computes aggregates, and the form of its queries.

    Attributes
    ----------
    name : its name in a summary.
    max_aggregates : the most aggregates in one query.
    ordered : whether its rows have a fixed order.
    preferred_up_to : up to so many columns of numbers it is clearly faster than reading batches; 0 if it is not, or if
        precision would be lost.
    aggregates_only : whether it only computes aggregates, and rows are never read in batches.
    quantiles : whether it has quantiles; if not, its rows are sorted.
    recomputes_expressions : whether it evaluates an expression again at each use of its column, unless a LIMIT is between.
    is_finite, map_values : expressions for whether a number is finite, and for the value (a double) of a row's level.
    """

    name: str
    max_aggregates: int
    ordered: bool
    preferred_up_to: int = 0
    aggregates_only: bool = False
    quantiles: bool = True
    recomputes_expressions: bool = False
    is_finite: Callable[[nw.Expr], nw.Expr] = nw.Expr.is_finite
    map_values: Callable[[nw.Expr, Sequence[Any], Sequence[float]], nw.Expr] = map_values


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnInfo:
    """What aggregates need to know about a column.

    Attributes
    ----------
    kind : "number", "boolean", "time" (dates and times, which are labels of groups only) or "text".
    is_fractional : whether it may have NaN or infinities as labels.
    is_wide : whether it may have integers that are not exact in double.
    cast : its type, if it is neither integers nor binary fractions.
    narrow_type : "float32" or "float16", if it has floats narrower than double.
    is_signed : whether its integers fit into signed 64 bits.
    decimal_places : for decimals that may have more digits than a double, those after the point; else None.
    """

    kind: str
    is_fractional: bool
    is_wide: bool
    cast: str | None
    narrow_type: str | None = None
    is_signed: bool = True
    decimal_places: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupBy:
    """A stage after which there is one row of results for each combination of the keys."""

    keys: tuple[str, ...]
    results: Mapping[str, nw.Expr]


Stage: TypeAlias = Mapping[str, nw.Expr] | nw.Expr | GroupBy


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The rows and columns that an aggregate is computed from.

    Attributes
    ----------
    numbers : columns of the data: v0, v1, ... are their doubles, f0, f1, ... whether these are finite.
    labels : further columns: l0, l1, ... are their labels, g0, g1, ... whether they have one.
    stages : in order, further columns by alias, a condition on rows, or groups of rows.
    is_ordered : whether stages use o0, the column that puts the rows in order; the engine must have one.
    order_by : sort the remaining rows by this alias.
    row_limit : use only the first rows, None for all.
    group_limit : return at most so many groups, None for all.
    """

    numbers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()
    is_ordered: bool = False
    order_by: str | None = None
    row_limit: int | None = None
    group_limit: int | None = None

    def with_stages(self, *stages: Stage) -> Query:
        """Return the query with further stages; empty ones are skipped."""
        more = tuple(stage for stage in stages if not isinstance(stage, Mapping) or stage)
        return replace(self, stages=(*self.stages, *more))


def with_aliases(frame: nw.LazyFrame[Any], query: Query, label_info: Sequence[ColumnInfo], engine: Engine) -> nw.LazyFrame[Any]:
    """Cast the aliased columns of a frame, and add flags for their values; `label_info` describes the labels.

    Numbers are cast to doubles before any product. No expression uses isnan: DuckDB takes it for false where the statistics of a
    Parquet file leave NaN out.
    """
    values = [nw.col(f"v{i}") for i in range(len(query.numbers))]
    casts = {f"v{i}": value.cast(nw.Float64) for i, value in enumerate(values)}
    flags = {f"f{i}": engine.is_finite(value).fill_null(value=False) for i, value in enumerate(values)}
    for i, info in enumerate(label_info):
        label = nw.col(f"l{i}")
        flags[f"g{i}"] = engine.is_finite(label).fill_null(value=False) if info.is_fractional else ~label.is_null()
        if info.is_fractional:
            # The label of the narrow float 0.1 is 0.1, as its text is, not the digits of its double.
            casts[f"l{i}"] = (label.cast(nw.String) if info.narrow_type else label).cast(nw.Float64)
        elif info.kind == "text":
            casts[f"l{i}"] = label.cast(nw.String)
    for stage in (casts, flags):
        frame = frame.with_columns(**stage) if stage else frame
    return frame


def column_info_of(kind: pa.DataType, called: str) -> ColumnInfo:
    """Describe a column from its Arrow type and the engine's name of its type.

    >>> column_info_of(pa.int64(), "BIGINT").is_wide, column_info_of(pa.decimal128(5, 2), "DECIMAL(5,2)").cast
    (True, 'decimal128(5, 2)')
    """
    types = pa.types
    decimal, whole = types.is_decimal(kind), types.is_integer(kind)
    number = whole or decimal or types.is_floating(kind)
    whole = whole or (number and "INT" in called.upper())  # the widest integers of an engine arrive as decimals
    return ColumnInfo(
        kind="boolean" if types.is_boolean(kind) else "number" if number else "time" if has_times(kind) else "text",
        is_fractional=number and not whole,
        is_wide=whole and kind.bit_width > 32,
        cast=str(kind) if decimal or types.is_boolean(kind) else None,
        narrow_type={"float": "float32", "halffloat": "float16"}.get(str(kind)),
        is_signed=not (types.is_uint64(kind) or decimal),
        decimal_places=kind.scale if decimal and kind.precision > _DIGITS and not whole else None,
    )


def apply_stages(frame: nw.LazyFrame[Any], query: Query, engine: Engine) -> nw.LazyFrame[Any]:
    """Apply the stages of a query to a frame with aliased columns."""
    for i, stage in enumerate(query.stages):
        if isinstance(stage, GroupBy):
            frame = frame.group_by(*stage.keys).agg(**stage.results)
        else:
            frame = frame.with_columns(**stage) if isinstance(stage, Mapping) else frame.filter(stage)
        if engine.recomputes_expressions and i >= len(query.stages) - _FENCED_STAGES:
            frame = frame.head(_NO_LIMIT)
    if query.order_by is not None:
        frame = frame.sort(query.order_by)
    return frame if query.row_limit is None else frame.head(query.row_limit)


@contextmanager
def keyboard_interrupts() -> Iterator[None]:
    """Raise a KeyboardInterrupt if DuckDB reports that its query was interrupted."""
    try:
        yield
    except RuntimeError as error:
        if "interrupted" in str(error).lower():
            raise KeyboardInterrupt from error
        raise
