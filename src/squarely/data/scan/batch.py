"""Batches of rows, decoded: columns as doubles and as categories, with an account of every gap; and the scans that meet them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from squarely.data.dtypes import Level, kind_of, nearest_doubles, reads_as_number
from squarely.data.scan.account import CAUSES, RowAccount
from squarely.data.source import Source, not_usable
from squarely.errors import DataError
from squarely.numerics import EXACT_INTEGERS, Array

T = TypeVar("T")


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Numbers:
    """A column as doubles.

    Attributes
    ----------
    values : (m,) NaN where there is none. `null` (m,) which of these were NULL, None if none was.
    gaps : whether some value is not finite.
    whole : whether the column holds integers. `cast` its kind, if that is neither integers nor binary fractions.
    stored : the column as it is stored, where doubles do not hold all of its digits: wide integers and decimals.
    narrow : the type of floats with fewer digits than doubles, None for others.
    """

    values: Array
    null: np.ndarray | None
    gaps: bool
    whole: bool = False
    cast: str | None = None
    stored: pa.Array | None = None
    narrow: np.dtype | None = None

    @property
    def is_decimal(self) -> bool:
        """Whether the column holds decimals, fractions among them."""
        return self.stored is not None and pa.types.is_decimal(self.stored.type)

    def stored_at(self, rows: np.ndarray) -> list[Any]:
        """Give the values at some places (r,) as they are stored: int, Decimal or float."""
        values: list[Any] = self.values[rows].tolist() if self.stored is None else self.stored.take(pa.array(rows)).to_pylist()
        return values


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Labels:
    """A column as categories.

    Attributes
    ----------
    values : the distinct values. `codes` (m,) the place of each row's value among them, or -1 where there is none. A float of
        fewer digits than a double is the shortest number that it is the nearest to, so 0.1 is 0.1.
    gaps : (m,) 1 for NULL, 2 for NaN, 3 for an infinity, else 0; None if every row has a value.
    narrow : as that of Numbers.
    """

    values: Sequence[Level]
    codes: np.ndarray
    gaps: np.ndarray | None
    narrow: np.dtype | None = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Batch:
    """Some rows of a source, decoded.

    Attributes
    ----------
    first, size : the position of the first row among those of the source, counted from 0, and the number of rows m. The rows
        after it follow in the source; `Source.row_number` and `Source.index` know them by what their user calls them.
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


def _decoded(source: Source, numbers: Sequence[str], labels: Sequence[str], first: int, batch: pa.RecordBatch) -> Batch:
    columns = batch.columns
    return Batch(
        first=first,
        size=batch.num_rows,
        numbers={name: _doubles(source, name, column, first) for name, column in zip(numbers, columns, strict=False)},
        labels={name: _labels(source, name, columns[len(numbers) + i]) for i, name in enumerate(labels)},
    )


def _labels(source: Source, name: str, column: pa.Array) -> Labels:
    """Cut a column into its distinct values and their places."""
    if kind_of(column.type) == "other":
        raise not_usable(source, name, str(column.type))
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    codes = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    if kind_of(column.type) == "text" and encoded.null_count == 0 and encoded.dictionary.null_count == 0:
        return Labels(values=values, codes=codes, gaps=None)  # a text is never NaN
    narrow = _narrow(encoded.dictionary.type)
    values = [plain_level(value, narrow) for value in values]
    gap = np.array([_gap(value) for value in [*values, None]])  # the last one is for code -1
    if encoded.null_count == 0 and not gap[:-1].any():
        return Labels(values=values, codes=codes, gaps=None, narrow=narrow)
    gaps = gap[codes]
    return Labels(values=values, codes=np.where(gaps == 0, codes, -1), gaps=gaps, narrow=narrow)


def _narrow(kind: pa.DataType) -> np.dtype | None:
    return np.dtype(kind.to_pandas_dtype()) if pa.types.is_float16(kind) or pa.types.is_float32(kind) else None


def plain_level(value: Any, narrow: np.dtype | None = None) -> Level:
    """Give a value as Python's own int or float; a decimal that is neither, because it has more digits, stays a decimal."""
    if isinstance(value, Decimal):
        if value.as_tuple().exponent == 0 and abs(value) >= EXACT_INTEGERS:
            return int(value)
        return float(value) if Decimal(repr(float(value))) == value else value
    return value if narrow is None or value is None else float(str(narrow.type(value)))


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
    values = np.require(
        values, requirements="A"
    )  # a slice of a message of another process may begin anywhere, and SciPy refuses it
    whole = pa.types.is_integer(kind) or "INT" in source.columns[name]  # a file's are read as doubles
    cast = str(kind) if held == "boolean" or is_decimal else None
    wide = is_decimal or (pa.types.is_integer(kind) and kind.bit_width == 64)
    return Numbers(
        values=values,
        null=null,
        gaps=not all_finite(values),
        whole=whole,
        cast=cast,
        stored=column if wide else None,
        narrow=_narrow(kind),
    )


def all_finite(x: Array) -> bool:
    """Tell whether every value is finite: a sum tells it in a third of the time, unless it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(x.sum()) or bool(np.isfinite(x).all())


def _not_numeric(source: Source, name: str, column: pa.Array, first: int) -> DataError:
    for row, value in enumerate(column.to_pylist(), start=first):
        if value is not None and not reads_as_number(value, comma=source.decimal_comma):
            return DataError(
                f"Column {name!r} of {source.label} holds text, not a number: {value!r} in data row {source.row_number(row):,}. "
                "Correct or clear that value. A column of categories can be a predictor, but not the response, nor in arithmetic."
            )
    return DataError(
        f"Column {name!r} of {source.label} is stored as text, not as numbers. Convert it first, "
        "for example with pandas.to_numeric."
    )
