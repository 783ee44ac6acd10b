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

from squarely.data.dtypes import Level, kind_of, nearest_doubles, parses_as_number
from squarely.data.scan.account import CAUSES, RowAccount
from squarely.data.source import Source, unsupported_column_error
from squarely.errors import DataError
from squarely.numerics import EXACT_INTEGERS, Array

T = TypeVar("T")


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class NumericColumn:
    """A column as doubles.

    Attributes
    ----------
    values : (m,) NaN where there is none. `null_mask` (m,) which of these were NULL, None if none was.
    has_gaps : whether some value is not finite.
    is_integer : whether the column holds integers. `cast` its kind, if that is neither integers nor binary fractions.
    stored_column : the column as it is stored, where doubles do not hold all of its digits: wide integers and decimals.
    narrow_type : the type of floats with fewer digits than doubles, None for others.
    """

    values: Array
    null_mask: np.ndarray | None
    has_gaps: bool
    is_integer: bool = False
    cast: str | None = None
    stored_column: pa.Array | None = None
    narrow_type: np.dtype | None = None

    @property
    def is_decimal(self) -> bool:
        """Whether the column holds decimals, fractions among them."""
        return self.stored_column is not None and pa.types.is_decimal(self.stored_column.type)

    def stored_values(self, rows: np.ndarray) -> list[Any]:
        """Give the values at some places (r,) as they are stored: int, Decimal or float."""
        values: list[Any] = (
            self.values[rows].tolist() if self.stored_column is None else self.stored_column.take(pa.array(rows)).to_pylist()
        )
        return values


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CategoricalColumn:
    """A column as categories.

    Attributes
    ----------
    values : the distinct values. `codes` (m,) the place of each row's value among them, or -1 where there is none. A float of
        fewer digits than a double is the shortest number that it is the nearest to, so 0.1 is 0.1.
    gaps : (m,) 1 for NULL, 2 for NaN, 3 for an infinity, else 0; None if every row has a value.
    narrow_type : as that of Numbers.
    """

    values: Sequence[Level]
    codes: np.ndarray
    gaps: np.ndarray | None
    narrow_type: np.dtype | None = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Batch:
    """Some rows of a source, decoded.

    Attributes
    ----------
    start, size : the position of the first row among those of the source, counted from 0, and the number of rows m. The rows
        after it follow in the source; `Source.row_number` and `Source.index` know them by what their user calls them.
    numbers, labels : name -> column.
    """

    start: int
    size: int
    numbers: Mapping[str, NumericColumn]
    labels: Mapping[str, CategoricalColumn]

    def complete_mask(self, numbers: Iterable[str], labels: Iterable[str] = (), among: np.ndarray | None = None) -> np.ndarray:
        """Tell which rows (m,) have no gap in these columns, among those of a mask (m,) if one is given."""
        rows = np.ones(self.size, dtype=bool) if among is None else among.copy()
        for name in numbers:
            if self.numbers[name].has_gaps:
                rows &= np.isfinite(self.numbers[name].values)
        for name in labels:
            if self.labels[name].gaps is not None:
                rows &= self.labels[name].codes >= 0
        return rows

    def count_gaps(self, numbers: Iterable[str], labels: Iterable[str] = (), among: np.ndarray | None = None) -> RowAccount:
        """Account for the gaps of these columns, among the rows of a mask (m,) if one is given; the others are filtered out."""
        numbers, labels = list(numbers), list(labels)
        dropped, rounded, casts = {}, {}, {}
        for name in numbers:
            column = self.numbers[name]
            if column.has_gaps and (met := _count_causes(column, among)):
                dropped[name] = met
            if column.is_integer and (beyond := _count_inexact(column, among)):
                rounded[name] = beyond
            if column.cast:
                casts[name] = column.cast
        for name in labels:
            gaps = self.labels[name].gaps
            if gaps is not None and (here := gaps if among is None else gaps[among]).any():
                dropped[name] = {cause: int((here == i).sum()) for i, cause in enumerate(CAUSES, start=1)}
        used = int(self.complete_mask(numbers, labels, among).sum())
        left_out = 0 if among is None else self.size - int(among.sum())
        return RowAccount(read=self.size, used=used, filtered=left_out, dropped=dropped, rounded=rounded, casts=casts)


def _count_causes(column: NumericColumn, among: np.ndarray | None) -> dict[str, int]:
    """Count the gaps by cause, among the rows of a mask (m,) if one is given."""
    x = column.values if among is None else column.values[among]
    null = np.zeros(len(column.values), dtype=bool) if column.null_mask is None else column.null_mask
    null = null if among is None else null[among]
    causes = (null, np.isnan(x) & ~null, np.isinf(x))
    counts = {cause: int(met.sum()) for cause, met in zip(CAUSES, causes, strict=True)}
    return counts if any(counts.values()) else {}


def _count_inexact(column: NumericColumn, among: np.ndarray | None) -> int:
    """Count the integers that a double may hold only to the nearest it has."""
    x = column.values if among is None else column.values[among]
    return int((np.isfinite(x) & (np.abs(x) >= EXACT_INTEGERS)).sum())


def decode_batch(source: Source, numbers: Sequence[str], labels: Sequence[str], first: int, batch: pa.RecordBatch) -> Batch:
    columns = batch.columns
    return Batch(
        start=first,
        size=batch.num_rows,
        numbers={name: _decode_numbers(source, name, column, first) for name, column in zip(numbers, columns, strict=False)},
        labels={name: _decode_categories(source, name, columns[len(numbers) + i]) for i, name in enumerate(labels)},
    )


def _decode_categories(source: Source, name: str, column: pa.Array) -> CategoricalColumn:
    """Cut a column into its distinct values and their places."""
    if kind_of(column.type) == "other":
        raise unsupported_column_error(source, name, str(column.type))
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    codes = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    if kind_of(column.type) == "text" and encoded.null_count == 0 and encoded.dictionary.null_count == 0:
        return CategoricalColumn(values=values, codes=codes, gaps=None)  # a text is never NaN
    narrow = _narrow_type(encoded.dictionary.type)
    values = [to_plain_level(value, narrow) for value in values]
    gap = np.array([_gap_code(value) for value in [*values, None]])  # the last one is for code -1
    if encoded.null_count == 0 and not gap[:-1].any():
        return CategoricalColumn(values=values, codes=codes, gaps=None, narrow_type=narrow)
    gaps = gap[codes]
    return CategoricalColumn(values=values, codes=np.where(gaps == 0, codes, -1), gaps=gaps, narrow_type=narrow)


def _narrow_type(kind: pa.DataType) -> np.dtype | None:
    return np.dtype(kind.to_pandas_dtype()) if pa.types.is_float16(kind) or pa.types.is_float32(kind) else None


def to_plain_level(value: Any, narrow: np.dtype | None = None) -> Level:
    """Give a value as Python's own int or float; a decimal that is neither, because it has more digits, stays a decimal."""
    if isinstance(value, Decimal):
        if value.as_tuple().exponent == 0 and abs(value) >= EXACT_INTEGERS:
            return int(value)
        return float(value) if Decimal(repr(float(value))) == value else value
    return value if narrow is None or value is None else float(str(narrow.type(value)))


def _gap_code(value: Level) -> int:
    if value is None:
        return 1
    if isinstance(value, float) and not math.isfinite(value):
        return 2 if math.isnan(value) else 3
    return 0


def _decode_numbers(source: Source, name: str, column: pa.Array, first: int) -> NumericColumn:
    """Cast a column to doubles (NULL becomes NaN) and say where NULL was."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    null = None if column.null_count == 0 else column.is_null().to_numpy(zero_copy_only=False)
    held = kind_of(column.type)
    if held == "null":
        return NumericColumn(values=np.full(len(column), np.nan), null_mask=null, has_gaps=len(column) > 0)
    kind = column.type
    if held == "boolean":
        column = column.cast(pa.uint8())
    elif held == "other":
        raise unsupported_column_error(source, name, str(column.type))
    elif held == "text":
        raise _not_numeric_error(source, name, column, first)
    is_decimal = pa.types.is_decimal(kind)
    values = nearest_doubles(column) if is_decimal else pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    values = np.require(
        values, requirements="A"
    )  # a slice of a message of another process may begin anywhere, and SciPy refuses it
    whole = pa.types.is_integer(kind) or "INT" in source.columns[name]  # a file's are read as doubles
    cast = str(kind) if held == "boolean" or is_decimal else None
    wide = is_decimal or (pa.types.is_integer(kind) and kind.bit_width == 64)
    return NumericColumn(
        values=values,
        null_mask=null,
        has_gaps=not is_all_finite(values),
        is_integer=whole,
        cast=cast,
        stored_column=column if wide else None,
        narrow_type=_narrow_type(kind),
    )


def is_all_finite(x: Array) -> bool:
    """Tell whether every value is finite: a sum tells it in a third of the time, unless it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(x.sum()) or bool(np.isfinite(x).all())


def _not_numeric_error(source: Source, name: str, column: pa.Array, first: int) -> DataError:
    for row, value in enumerate(column.to_pylist(), start=first):
        if value is not None and not parses_as_number(value, decimal_comma=source.decimal_comma):
            return DataError(
                f"Column {name!r} of {source.label} holds text, not a number: {value!r} in data row {source.row_number(row):,}. "
                "Correct or clear that value. A column of categories can be a predictor, but not the response, nor in arithmetic."
            )
    return DataError(
        f"Column {name!r} of {source.label} is stored as text, not as numbers. Convert it first, "
        "for example with pandas.to_numeric."
    )
