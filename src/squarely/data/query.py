"""Aggregates: sums that an engine works out where the rows are, so that only their results leave it.

A Query is a description: nothing here knows which engine carries it out. Columns of the data go by numbered aliases in lower
case, v0, v1, ... for numbers and l0, l1, ... for labels, because engines differ in what they think of names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import narwhals as nw
import pyarrow as pa

Row = Mapping[str, Any]
Stage: TypeAlias = Mapping[str, nw.Expr] | nw.Expr
DIGITS = 15  # that doubles have of every decimal
_NO_LIMIT, _FENCED_STAGES = 2**62, 4  # the last stages are what is summed most often; SQLite refuses queries that are too deep


def is_finite(x: nw.Expr) -> nw.Expr:
    """Tell whether a number is finite, by the engine's own function."""
    return x.is_finite()


def map_values(x: nw.Expr, levels: Sequence[Any], values: Sequence[float]) -> nw.Expr:
    """Give each row the value that belongs to its level, none if it has another one, by the engine's own table."""
    return x.replace_strict(list(levels), list(values), default=None, return_dtype=nw.Float64)


def map_values_by_cases(x: nw.Expr, levels: Sequence[Any], values: Sequence[float]) -> nw.Expr:
    """Give what `map_values` gives by cases alone, which are as deep as the logarithm of their number."""
    if len(levels) == 1:
        return nw.when(x == levels[0]).then(nw.lit(float(values[0]), nw.Float64))
    half = len(levels) // 2
    one, other = map_values_by_cases(x, levels[:half], values[:half]), map_values_by_cases(x, levels[half:], values[half:])
    return nw.when(x.is_in(list(levels[:half]))).then(one).otherwise(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An engine that can aggregate, and how it likes to be asked.

    Attributes
    ----------
    name : what a summary calls it.
    max_aggregates : the most aggregates in one query; more are asked for in several.
    ordered : whether its rows have a certain order, so that a row knows the one before it.
    preferred_up_to : so many columns of numbers it sums up clearly faster by itself than batches are read; 0 where it never is, or where
        something would be lost.
    aggregates_only : whether it is asked for aggregates alone, and rows are never read in batches.
    quantiles : whether it knows quantiles. Without them its rows are sorted.
    recomputes_expressions : whether it works an expression out anew wherever its column is named, unless a limit stands between.
    is_finite, map_values : how it is asked whether a number is finite, and for the value (a double) that belongs to a row's level.
    """

    name: str
    max_aggregates: int
    ordered: bool
    preferred_up_to: int = 0
    aggregates_only: bool = False
    quantiles: bool = True
    recomputes_expressions: bool = False
    is_finite: Callable[[nw.Expr], nw.Expr] = is_finite
    map_values: Callable[[nw.Expr, Sequence[Any], Sequence[float]], nw.Expr] = map_values


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnInfo:
    """What a column of an engine holds, as far as an aggregate has to know.

    Attributes
    ----------
    kind : "number", "boolean" or "text".
    is_fractional : whether it may hold NaN or an infinity, as a label.
    is_wide : whether it may hold integers that doubles do not.
    cast : what it is called, if it is neither integers nor binary fractions.
    narrow_type : "float32" or "float16", if it holds floats of fewer digits than doubles.
    is_signed : whether 64 bits with a sign hold its integers.
    decimal_places : the digits after the point of decimals that may have more digits than a double, None for other columns.
    """

    kind: str
    is_fractional: bool
    is_wide: bool
    cast: str | None
    narrow_type: str | None = None
    is_signed: bool = True
    decimal_places: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to work out.

    Attributes
    ----------
    numbers : columns of the data: v0, v1, ... are these as doubles, f0, f1, ... whether they are finite.
    labels : further ones: l0, l1, ... are these as labels, g0, g1, ... whether they have one.
    stages : one after the other, further columns by their aliases, or a condition that rows must meet.
    order_by : put the rows that are left in the order of this column, by its alias.
    row_limit : use only so many of them, None for all.
    group_limit : give only so many groups, whichever they are, None for all.
    """

    numbers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()
    order_by: str | None = None
    row_limit: int | None = None
    group_limit: int | None = None

    def with_stages(self, *stages: Stage) -> Query:
        """Give the query with further stages; those without anything in them are left out."""
        more = tuple(stage for stage in stages if not isinstance(stage, Mapping) or stage)
        return replace(self, stages=(*self.stages, *more))


def with_aliases(frame: nw.LazyFrame[Any], query: Query, held: Sequence[ColumnInfo], engine: Engine) -> nw.LazyFrame[Any]:
    """Cast the columns of a frame, which go by their aliases, and say where they have a value; `held` are the labels' types.

    Numbers are cast to doubles before anything is multiplied. Never is it asked whether they are NaN: DuckDB takes isnan for false
    where the statistics of a Parquet file leave NaN out.
    """

    def has_value(alias: str) -> nw.Expr:
        return engine.is_finite(nw.col(alias)).fill_null(value=False)

    numbers, labels = range(len(query.numbers)), list(enumerate(held))
    fractions = [i for i, what in labels if what.is_fractional]
    doubles = [*(f"v{i}" for i in numbers), *(f"l{i}" for i in fractions)]
    texts = [f"l{i}" for i, what in labels if what.kind == "text"]
    casts = {alias: nw.col(alias).cast(nw.Float64) for alias in doubles} | {alias: nw.col(alias).cast(nw.String) for alias in texts}
    # The label 0.1 of a narrow float is called 0.1, as its text is, and not by the digits of its double.
    casts |= {f"l{i}": nw.col(f"l{i}").cast(nw.String).cast(nw.Float64) for i, what in labels if what.narrow_type}
    flags = {f"f{i}": has_value(f"v{i}") for i in numbers}
    flags |= {f"g{i}": has_value(f"l{i}") if i in fractions else ~nw.col(f"l{i}").is_null() for i, _ in labels}
    for stage in (casts, flags):
        frame = frame.with_columns(**stage) if stage else frame
    return frame


def column_info_of(kind: pa.DataType, called: str) -> ColumnInfo:
    """Tell what a column of an Arrow type holds that its engine calls so.

    >>> column_info_of(pa.int64(), "BIGINT").is_wide, column_info_of(pa.decimal128(5, 2), "DECIMAL(5,2)").cast
    (True, 'decimal128(5, 2)')
    """
    types = pa.types
    decimal, whole = types.is_decimal(kind), types.is_integer(kind)
    number = whole or decimal or types.is_floating(kind)
    whole = whole or (number and "INT" in called.upper())  # an engine's widest arrive as decimals
    return ColumnInfo(
        kind="boolean" if types.is_boolean(kind) else "number" if number else "text",
        is_fractional=number and not whole,
        is_wide=whole and kind.bit_width > 32,
        cast=str(kind) if decimal or types.is_boolean(kind) else None,
        narrow_type={"float": "float32", "halffloat": "float16"}.get(str(kind)),
        is_signed=not (types.is_uint64(kind) or decimal),
        decimal_places=kind.scale if decimal and kind.precision > DIGITS and not whole else None,
    )


def apply_stages(frame: nw.LazyFrame[Any], query: Query, engine: Engine) -> nw.LazyFrame[Any]:
    """Carry out the stages of a query on a frame that has its columns under their aliases."""
    for i, stage in enumerate(query.stages):
        frame = frame.with_columns(**stage) if isinstance(stage, Mapping) else frame.filter(stage)
        if engine.recomputes_expressions and i >= len(query.stages) - _FENCED_STAGES:
            frame = frame.head(_NO_LIMIT)
    if query.order_by is not None:
        frame = frame.sort(query.order_by)
    return frame if query.row_limit is None else frame.head(query.row_limit)


def aggregate_frames(
    frame: nw.LazyFrame[Any], query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str], bound: int
) -> Iterator[nw.LazyFrame[Any]]:
    """Give the frames of results: one row for each combination of the keys, or a single one without keys.

    Each has at most `bound` results.
    """
    names = list(results)
    for start in range(0, len(names), bound):
        some = [results[name].alias(name) for name in names[start : start + bound]]
        if not keys:
            yield frame.select(*some)
        else:
            groups = frame.group_by(*keys).agg(*some)
            yield groups if query.group_limit is None else groups.head(query.group_limit)


def squared_differences(frame: nw.LazyFrame[Any], column: str, by: str) -> nw.LazyFrame[Any]:
    """Give the frame of s0, the sum of the squared differences of a column from row to row in the order of another."""
    before = nw.col(column).shift(1).over(order_by=by)
    return frame.with_columns(d0=nw.col(column) - before).select(s0=(nw.col("d0") * nw.col("d0")).sum())


def join_answers(keys: Sequence[str], answers: Sequence[Sequence[Row]]) -> list[Row]:
    """Put the answers to several queries with the same keys together."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for answer in answers:
        for row in answer:
            rows.setdefault(tuple(row[key] for key in keys), {}).update(row)
    return list(rows.values())


@contextmanager
def keyboard_interrupts() -> Iterator[None]:
    """Raise a KeyboardInterrupt where DuckDB says that its query was interrupted."""
    try:
        yield
    except RuntimeError as error:
        if "interrupted" in str(error).lower():
            raise KeyboardInterrupt from error
        raise
