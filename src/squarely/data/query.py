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
_NO_LIMIT, _FENCED = 2**62, 4  # the last stages are what is summed most often; SQLite refuses queries that are too deep


def is_finite(x: nw.Expr) -> nw.Expr:
    """Tell whether a number is finite, by the engine's own function."""
    return x.is_finite()


def by_table(x: nw.Expr, levels: Sequence[Any], values: Sequence[float]) -> nw.Expr:
    """Give each row the value that belongs to its level, none if it has another one, by the engine's own table."""
    return x.replace_strict(list(levels), list(values), default=None, return_dtype=nw.Float64)


def by_halves(x: nw.Expr, levels: Sequence[Any], values: Sequence[float]) -> nw.Expr:
    """Give what `by_table` gives by cases alone, which are as deep as the logarithm of their number."""
    if len(levels) == 1:
        return nw.when(x == levels[0]).then(nw.lit(float(values[0]), nw.Float64))
    half = len(levels) // 2
    one, other = by_halves(x, levels[:half], values[:half]), by_halves(x, levels[half:], values[half:])
    return nw.when(x.is_in(list(levels[:half]))).then(one).otherwise(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An engine that can aggregate, and how it likes to be asked.

    Attributes
    ----------
    name : what a summary calls it.
    bound : the most aggregates in one query; more are asked for in several.
    ordered : whether its rows have a certain order, so that a row knows the one before it.
    narrow : so many columns of numbers it sums up clearly faster by itself than batches are read; 0 where it never is, or where
        something would be lost.
    only : whether it is asked for aggregates alone, and rows are never read in batches.
    quantiles : whether it knows quantiles. Without them its rows are sorted.
    forgets : whether it works an expression out anew wherever its column is named, unless a limit stands between.
    finite, chosen : how it is asked whether a number is finite, and for the value (a double) that belongs to a row's level.
    """

    name: str
    bound: int
    ordered: bool
    narrow: int = 0
    only: bool = False
    quantiles: bool = True
    forgets: bool = False
    finite: Callable[[nw.Expr], nw.Expr] = is_finite
    chosen: Callable[[nw.Expr, Sequence[Any], Sequence[float]], nw.Expr] = by_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a column of an engine holds, as far as an aggregate has to know.

    Attributes
    ----------
    kind : "number", "boolean" or "text".
    fraction : whether it may hold NaN or an infinity, as a label.
    wide : whether it may hold integers that doubles do not.
    cast : what it is called, if it is neither integers nor binary fractions.
    narrow : "float32" or "float16", if it holds floats of fewer digits than doubles.
    signed : whether 64 bits with a sign hold its integers.
    places : the digits after the point of decimals that may have more digits than a double, None for other columns.
    """

    kind: str
    fraction: bool
    wide: bool
    cast: str | None
    narrow: str | None = None
    signed: bool = True
    places: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to work out.

    Attributes
    ----------
    numbers : columns of the data: v0, v1, ... are these as doubles, f0, f1, ... whether they are finite.
    labels : further ones: l0, l1, ... are these as labels, g0, g1, ... whether they have one.
    stages : one after the other, further columns by their aliases, or a condition that rows must meet.
    by : put the rows that are left in the order of this column, by its alias.
    first : use only so many of them, None for all.
    most : give only so many groups, whichever they are, None for all.
    """

    numbers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()
    by: str | None = None
    first: int | None = None
    most: int | None = None

    def then(self, *stages: Stage) -> Query:
        """Give the query with further stages; those without anything in them are left out."""
        more = tuple(stage for stage in stages if not isinstance(stage, Mapping) or stage)
        return replace(self, stages=(*self.stages, *more))


def aliased(frame: nw.LazyFrame[Any], query: Query, held: Sequence[Held], engine: Engine) -> nw.LazyFrame[Any]:
    """Cast the columns of a frame, which go by their aliases, and say where they have a value; `held` are the labels' types.

    Numbers are cast to doubles before anything is multiplied. Never is it asked whether they are NaN: DuckDB takes isnan for false
    where the statistics of a Parquet file leave NaN out.
    """

    def has_value(alias: str) -> nw.Expr:
        return engine.finite(nw.col(alias)).fill_null(value=False)

    numbers, labels = range(len(query.numbers)), list(enumerate(held))
    fractions = [i for i, what in labels if what.fraction]
    doubles = [*(f"v{i}" for i in numbers), *(f"l{i}" for i in fractions)]
    texts = [f"l{i}" for i, what in labels if what.kind == "text"]
    casts = {alias: nw.col(alias).cast(nw.Float64) for alias in doubles} | {alias: nw.col(alias).cast(nw.String) for alias in texts}
    # The label 0.1 of a narrow float is called 0.1, as its text is, and not by the digits of its double.
    casts |= {f"l{i}": nw.col(f"l{i}").cast(nw.String).cast(nw.Float64) for i, what in labels if what.narrow}
    flags = {f"f{i}": has_value(f"v{i}") for i in numbers}
    flags |= {f"g{i}": has_value(f"l{i}") if i in fractions else ~nw.col(f"l{i}").is_null() for i, _ in labels}
    for stage in (casts, flags):
        frame = frame.with_columns(**stage) if stage else frame
    return frame


def held_as(kind: pa.DataType, called: str) -> Held:
    """Tell what a column of an Arrow type holds that its engine calls so.

    >>> held_as(pa.int64(), "BIGINT").wide, held_as(pa.decimal128(5, 2), "DECIMAL(5,2)").cast
    (True, 'decimal128(5, 2)')
    """
    types = pa.types
    decimal, whole = types.is_decimal(kind), types.is_integer(kind)
    number = whole or decimal or types.is_floating(kind)
    whole = whole or (number and "INT" in called.upper())  # an engine's widest arrive as decimals
    return Held(
        kind="boolean" if types.is_boolean(kind) else "number" if number else "text",
        fraction=number and not whole,
        wide=whole and kind.bit_width > 32,
        cast=str(kind) if decimal or types.is_boolean(kind) else None,
        narrow={"float": "float32", "halffloat": "float16"}.get(str(kind)),
        signed=not (types.is_uint64(kind) or decimal),
        places=kind.scale if decimal and kind.precision > DIGITS and not whole else None,
    )


def staged(frame: nw.LazyFrame[Any], query: Query, engine: Engine) -> nw.LazyFrame[Any]:
    """Carry out the stages of a query on a frame that has its columns under their aliases."""
    for i, stage in enumerate(query.stages):
        frame = frame.with_columns(**stage) if isinstance(stage, Mapping) else frame.filter(stage)
        if engine.forgets and i >= len(query.stages) - _FENCED:
            frame = frame.head(_NO_LIMIT)
    if query.by is not None:
        frame = frame.sort(query.by)
    return frame if query.first is None else frame.head(query.first)


def asked(
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
            yield groups if query.most is None else groups.head(query.most)


def stepped(frame: nw.LazyFrame[Any], column: str, by: str) -> nw.LazyFrame[Any]:
    """Give the frame of s0, the sum of the squared differences of a column from row to row in the order of another."""
    before = nw.col(column).shift(1).over(order_by=by)
    return frame.with_columns(d0=nw.col(column) - before).select(s0=(nw.col("d0") * nw.col("d0")).sum())


def joined(keys: Sequence[str], answers: Sequence[Sequence[Row]]) -> list[Row]:
    """Put the answers to several queries with the same keys together."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for answer in answers:
        for row in answer:
            rows.setdefault(tuple(row[key] for key in keys), {}).update(row)
    return list(rows.values())


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise a KeyboardInterrupt where DuckDB says that its query was interrupted."""
    try:
        yield
    except RuntimeError as error:
        if "interrupted" in str(error).lower():
            raise KeyboardInterrupt from error
        raise
