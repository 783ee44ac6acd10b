"""A Source: rows, wherever they are, met as ordered batches; and the one cast from what an engine gives to doubles."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeVar

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from squarely.data.account import CAUSES, RowAccount
from squarely.data.aggregates import Engine, Held, Query, Row
from squarely.data.ahead import ahead
from squarely.data.decimals import nearest_doubles
from squarely.data.frames import series
from squarely.data.parallel import ordered
from squarely.data.reread import Reread
from squarely.data.watch import followed
from squarely.errors import DataError, did_you_mean
from squarely.numerics import Array

BATCH_ROWS = 65_536
EXACT_INTEGERS = 2.0**53
# Narrower than Python's float(), which takes 1_000 and the digits of every script.
_NUMBER = re.compile(r"\s*[-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|nan|inf(inity)?)\s*", re.ASCII | re.IGNORECASE)

# What a column holds: "category" is numbers or truth values that are declared to be categories, "null" nothing but gaps.
Kind = Literal["number", "boolean", "text", "category", "null", "other"]
Level = Any  # a value of a categorical column: str, int, float or bool

T = TypeVar("T")
B = TypeVar("B")


class Source(ABC):
    """Where rows are. A source can be scanned as often as is needed and gives its rows in the same order each time.

    Attributes
    ----------
    label : what messages call it, such as the file's name.
    columns : name -> type, as the engine calls it.
    twins : names that stand twice or more; a formula cannot use them.
    typed : whether the engine knows the types; if not, labels are text whose kind is read off the values.
    notes : what was found out about how the rows are written, such as a decimal comma, for the summary to print.
    reread : how pandas reads the same file, None where the rows are in no file.
    stored : whether the rows come from files of ours to read, so that it pays to decode them ahead of the arithmetic.
    engine : what works out aggregates where the rows are; None for a source that offers batches alone.
    """

    label: str
    columns: Mapping[str, str]
    twins: frozenset[str] = frozenset()
    typed: bool = True
    notes: tuple[str, ...] = ()
    reread: Reread | None = None
    stored: bool = False
    engine: Engine | None = None

    @property
    def rows(self) -> int | None:
        """How many rows there are, None where only a scan can tell."""
        return None

    @abstractmethod
    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield columns in batches, in the order of the rows: `numbers`, wanted as numbers, then `labels`, wanted as categories.

        A name may stand in both. With no names at all the batches have one column of no meaning: they tell how many rows
        there are. A source that is not typed gives labels as text.
        """

    @abstractmethod
    def kind(self, name: str) -> Kind:
        """Tell what a column holds."""

    def order(self, name: str) -> tuple[Level, ...] | None:
        """Give the levels of a categorical column in the order that its owner declared, if there is one."""
        return None

    def require_engine(self) -> Engine:
        """Give the engine that works out aggregates; raise a DataError where the source offers batches alone."""
        if self.engine is None:
            raise DataError(
                f"{self.label} offers its rows in batches, and no aggregates. Open it as a Polars LazyFrame, such as "
                "polars.scan_parquet(path), or as a DuckDB relation, such as duckdb.read_parquet(path), or leave fold= out."
            )
        return self.engine

    def aggregate(self, query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str] = ()) -> list[Row]:
        """Work results out where the rows are: one row of them for each combination of the keys, a single one without keys."""
        raise NotImplementedError(f"a source with {self.require_engine()} says how")

    def held(self, name: str) -> Held:
        """Tell what a column holds; only a source that aggregates has to know it beforehand."""
        raise NotImplementedError(f"a source with {self.require_engine()} says what {name!r} holds")

    def steps(self, query: Query, column: str) -> float:
        """Sum the squared differences of a column of a query from row to row; NaN unless the rows have a certain order."""
        return math.nan

    def index(self, rows: np.ndarray) -> Any:
        """Give the labels of rows by their position: their numbers, unless the source has labels of its own."""
        return rows

    def column(self, values: Array, name: str) -> Any:
        """Give values (n,), one for each row, as a column in the library that the rows are in: pandas unless it is another."""
        return series(values, self.index(np.arange(len(values))), name)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Numbers:
    """A column as doubles.

    Attributes
    ----------
    values : (m,) NaN where there is none. `null` (m,) which of these were NULL, None if none was.
    gaps : whether some value is not finite.
    whole : whether the column holds integers. `cast` its kind, if that is neither integers nor binary fractions.
    """

    values: Array
    null: np.ndarray | None
    gaps: bool
    whole: bool = False
    cast: str | None = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Labels:
    """A column as categories.

    Attributes
    ----------
    values : the distinct values. `codes` (m,) the place of each row's value among them, or -1 where there is none.
    gaps : (m,) 1 for NULL, 2 for NaN, 3 for an infinity, else 0; None if every row has a value.
    """

    values: Sequence[Level]
    codes: np.ndarray
    gaps: np.ndarray | None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Batch:
    """Some rows of a source, decoded.

    Attributes
    ----------
    first, size : the position of the first row in the source, counted from 0, and the number of rows m.
    numbers, labels : name -> column.
    """

    first: int
    size: int
    numbers: Mapping[str, Numbers]
    labels: Mapping[str, Labels]

    def complete(self, numbers: Iterable[str], labels: Iterable[str] = (), among: np.ndarray | None = None) -> np.ndarray:
        """Tell which rows (m,) have no gap in these columns, among those of a mask (m,) if one is given."""
        rows = np.ones(self.size, dtype=bool) if among is None else among.copy()
        for name in numbers:
            if self.numbers[name].gaps:
                rows &= np.isfinite(self.numbers[name].values)
        for name in labels:
            if self.labels[name].gaps is not None:
                rows &= self.labels[name].codes >= 0
        return rows

    def account(self, numbers: Iterable[str], labels: Iterable[str] = (), among: np.ndarray | None = None) -> RowAccount:
        """Account for the gaps of these columns, among the rows of a mask (m,) if one is given; the others are filtered out."""
        numbers, labels = list(numbers), list(labels)
        dropped, rounded, casts = {}, {}, {}
        for name in numbers:
            column = self.numbers[name]
            if column.gaps and (met := _causes(column, among)):
                dropped[name] = met
            if column.whole and (beyond := _beyond(column, among)):
                rounded[name] = beyond
            if column.cast:
                casts[name] = column.cast
        for name in labels:
            gaps = self.labels[name].gaps
            if gaps is not None and (here := gaps if among is None else gaps[among]).any():
                dropped[name] = {cause: int((here == i).sum()) for i, cause in enumerate(CAUSES, start=1)}
        used = int(self.complete(numbers, labels, among).sum())
        left_out = 0 if among is None else self.size - int(among.sum())
        return RowAccount(read=self.size, used=used, filtered=left_out, dropped=dropped, rounded=rounded, casts=casts)


def _causes(column: Numbers, among: np.ndarray | None) -> dict[str, int]:
    """Count the gaps by cause, among the rows of a mask (m,) if one is given."""
    x = column.values if among is None else column.values[among]
    null = np.zeros(len(column.values), dtype=bool) if column.null is None else column.null
    null = null if among is None else null[among]
    causes = (null, np.isnan(x) & ~null, np.isinf(x))
    counts = {cause: int(met.sum()) for cause, met in zip(CAUSES, causes, strict=True)}
    return counts if any(counts.values()) else {}


def _beyond(column: Numbers, among: np.ndarray | None) -> int:
    """Count the integers that a double may hold only to the nearest it has."""
    x = column.values if among is None else column.values[among]
    return int((np.isfinite(x) & (np.abs(x) >= EXACT_INTEGERS)).sum())


def fold(outcomes: Iterable[T], merge: Callable[[T, T], T], start: T) -> T:
    """Merge what was learnt from batches of rows, in the order of the batches."""
    total = start
    for outcome in outcomes:
        total = merge(total, outcome)
    return total


def require_columns(source: Source, names: Iterable[str]) -> None:
    """Raise a DataError that suggests the nearest name when a column is not there, exactly as spelt."""
    for name in names:
        if name not in source.columns:
            raise DataError(f"There is no column {name!r} in {source.label}. {did_you_mean(name, source.columns)}")
        if name in source.twins:
            raise DataError(f"{source.label} has two or more columns called {name!r}. Give each column a name of its own.")


def batches(source: Source, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[Batch]:
    """Read columns, some as doubles and some as categories.

    Raises
    ------
    DataError : a column is not there, or holds something that cannot be used (the row and value are named).
    """
    return map_batches(source, numbers, labels, lambda batch: batch, threads=False)


def map_batches(
    source: Source, numbers: Sequence[str], labels: Sequence[str], step: Callable[[Batch], T], *, threads: bool = True
) -> Iterator[T]:
    """Apply a step to every batch of rows, in threads if that is wished, and yield the outcomes in the order of the rows.

    Raises
    ------
    DataError : as `batches`.
    """
    require_columns(source, [*numbers, *labels])
    yield from ordered(_placed(source, numbers, labels), lambda at: step(_decoded(source, numbers, labels, *at)), threads=threads)


def _placed(source: Source, numbers: Sequence[str], labels: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield each batch with the position of its first row."""
    first, read = 0, source.read(numbers, labels)
    for batch in followed(source, ahead(read) if source.stored else read):
        yield first, batch
        first += batch.num_rows


def _decoded(source: Source, numbers: Sequence[str], labels: Sequence[str], first: int, batch: pa.RecordBatch) -> Batch:
    columns = batch.columns
    return Batch(
        first=first,
        size=batch.num_rows,
        numbers={name: _doubles(source, name, column, first) for name, column in zip(numbers, columns, strict=False)},
        labels={name: _labels(source, name, columns[len(numbers) + i]) for i, name in enumerate(labels)},
    )


def kind_of(kind: pa.DataType) -> Kind:
    """Tell what a column of an Arrow type holds.

    >>> kind_of(pa.int8()), kind_of(pa.dictionary(pa.int8(), pa.string())), kind_of(pa.date32())
    ('number', 'text', 'other')
    >>> kind_of(pa.dictionary(pa.int8(), pa.int64()))
    'category'
    """
    types = pa.types
    if types.is_dictionary(kind):
        held = kind_of(kind.value_type)
        return "category" if held in ("number", "boolean") else held
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_boolean(kind):
        return "boolean"
    if types.is_null(kind):
        return "null"
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return "text" if is_text else "other"


def _labels(source: Source, name: str, column: pa.Array) -> Labels:
    """Cut a column into its distinct values and their places."""
    if kind_of(column.type) == "other":
        raise not_usable(source, name, str(column.type))
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    codes = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    if kind_of(column.type) == "text" and encoded.null_count == 0 and encoded.dictionary.null_count == 0:
        return Labels(values=values, codes=codes, gaps=None)  # a text is never NaN
    values = [_plain_level(value) for value in values]
    gap = np.array([_gap(value) for value in [*values, None]])  # the last one is for code -1
    if encoded.null_count == 0 and not gap[:-1].any():
        return Labels(values=values, codes=codes, gaps=None)
    gaps = gap[codes]
    return Labels(values=values, codes=np.where(gaps == 0, codes, -1), gaps=gaps)


def _plain_level(value: Any) -> Level:
    return float(value) if isinstance(value, Decimal) else value


def _gap(value: Level) -> int:
    if value is None:
        return 1
    if isinstance(value, float) and not math.isfinite(value):
        return 2 if math.isnan(value) else 3
    return 0


def _doubles(source: Source, name: str, column: pa.Array, first: int) -> Numbers:
    """Cast a column to doubles (NULL becomes NaN) and say where NULL was."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    null = None if column.null_count == 0 else column.is_null().to_numpy(zero_copy_only=False)
    held = kind_of(column.type)
    if held == "null":
        return Numbers(values=np.full(len(column), np.nan), null=null, gaps=len(column) > 0)
    kind = column.type
    if held == "boolean":
        column = column.cast(pa.uint8())
    elif held == "other":
        raise not_usable(source, name, str(column.type))
    elif held == "text":
        raise _not_numeric(source, name, column, first)
    is_decimal = pa.types.is_decimal(kind)
    values = nearest_doubles(column) if is_decimal else pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    whole = pa.types.is_integer(kind) or "INT" in source.columns[name]  # a file's are read as doubles
    cast = str(kind) if held == "boolean" or is_decimal else None
    return Numbers(values=values, null=null, gaps=not all_finite(values), whole=whole, cast=cast)


def all_finite(x: Array) -> bool:
    """Tell whether every value is finite: a sum tells it in a third of the time, unless it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(x.sum()) or bool(np.isfinite(x).all())


def not_usable(source: Source, name: str, kind: str) -> DataError:
    """Say what to do with a column that is neither numbers nor categories: dates, above all."""
    temporal = any(word in kind.lower() for word in ("date", "time", "duration"))
    advice = (
        "A coefficient needs a unit: make a number of it first, such as the days since the first one or the year, or text for "
        "categories."
        if temporal
        else "Make a column of numbers or of text of it first."
    )
    return DataError(f"Column {name!r} of {source.label} holds {kind} values, which are neither numbers nor categories. {advice}")


def _not_numeric(source: Source, name: str, column: pa.Array, first: int) -> DataError:
    for row, value in enumerate(column.to_pylist(), start=first + 1):
        if value is not None and not reads_as_number(value):
            return DataError(
                f"Column {name!r} of {source.label} holds text, not a number: {value!r} in data row {row:,}. "
                "Correct or clear that value. A column of categories can be a predictor, but not the response, nor in arithmetic."
            )
    return DataError(
        f"Column {name!r} of {source.label} is stored as text, not as numbers. Convert it first, "
        "for example with pandas.to_numeric."
    )


def reads_as_number(text: object) -> bool:
    """Tell whether a text is a number.

    >>> reads_as_number("1e3"), reads_as_number("?"), reads_as_number("1_000")
    (True, False, False)
    """
    if isinstance(text, str):
        return _NUMBER.fullmatch(text) is not None
    try:
        float(text)  # type: ignore[arg-type]  # anything else is what the except is for
    except (TypeError, ValueError):
        return False
    return True
