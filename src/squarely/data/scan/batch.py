"""Decode batches of rows: columns as doubles and as categories, with their gaps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from squarely.data.dtypes import Level, has_times, is_period, kind_of, nearest_doubles, unsupported_column_error
from squarely.data.scan.account import CAUSES, RowAccount
from squarely.data.source import Source
from squarely.errors import DataError, show_value
from squarely.numerics import EXACT_INTEGERS, Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class NumericColumn:
    """A column as doubles.

    Attributes
    ----------
    values : (m,) NaN for a missing value.
    null_mask : (m,) which of these are NULL, None if none is.
    has_gaps : whether some value is not finite.
    is_integer : whether the column has integers.
    cast : its type, if it is neither integers nor binary fractions.
    stored_column : the column as stored, for wide integers and decimals, whose digits may not fit into a double.
    narrow_type : the type of floats narrower than double, else None.
    """

    values: Array
    null_mask: np.ndarray | None
    has_gaps: bool
    is_integer: bool = False
    cast: str | None = None
    stored_column: pa.Array | None = None
    narrow_type: np.dtype | None = None

    @property
    def gaps(self) -> np.ndarray | None:
        """The gaps (m,), as those of a `CategoricalColumn`."""
        if not self.has_gaps:
            return None
        codes = np.where(np.isnan(self.values), 2, np.where(np.isinf(self.values), 3, 0))
        return codes if self.null_mask is None else np.where(self.null_mask, 1, codes)

    @property
    def is_decimal(self) -> bool:
        """Whether the column has decimals."""
        return self.stored_column is not None and pa.types.is_decimal(self.stored_column.type)

    def stored_values(self, rows: np.ndarray) -> list[Any]:
        """Return the values of some rows (r,) as stored: int, Decimal or float."""
        stored = self.stored_column
        return list(self.values[rows].tolist() if stored is None else stored.take(pa.array(rows)).to_pylist())


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CategoricalColumn:
    """A column as categories.

    Attributes
    ----------
    values : the distinct values. A float narrower than double is the shortest decimal that rounds to it, so 0.1 is 0.1. Dates and
        times raise a DataError: they name groups of rows, and are not levels of a formula.
    dictionary : the distinct values as stored; dates and times as text that sorts by time.
    codes : (m,) positions of the rows' values in `values`, -1 for a missing value.
    gaps : (m,) 1 for NULL, 2 for NaN, 3 for an infinity, else 0; None if every row has a value.
    narrow_type : as in `NumericColumn`.
    """

    values: Sequence[Level]
    dictionary: pa.Array
    codes: np.ndarray
    gaps: np.ndarray | None
    narrow_type: np.dtype | None = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Batch:
    """Consecutive rows of a source, decoded.

    Attributes
    ----------
    start, size : position of the first row in the source, counted from 0, and the number of rows m. `Source.row_number` and
        `Source.index` turn positions into the user's numbers and labels.
    numbers, labels : name -> column.
    """

    start: int
    size: int
    numbers: Mapping[str, NumericColumn]
    labels: Mapping[str, CategoricalColumn]

    def complete_mask(self, numbers: Iterable[str], labels: Iterable[str] = (), among: np.ndarray | None = None) -> np.ndarray:
        """Return a mask (m,) of the rows without a gap in these columns, within the mask `among` (m,) if given."""
        rows = np.ones(self.size, dtype=bool) if among is None else among.copy()
        for name in numbers:
            if self.numbers[name].has_gaps:
                rows &= np.isfinite(self.numbers[name].values)
        for name in labels:
            if self.labels[name].gaps is not None:
                rows &= self.labels[name].codes >= 0
        return rows

    def count_gaps(self, numbers: Iterable[str], labels: Iterable[str] = (), among: np.ndarray | None = None) -> RowAccount:
        """Count the gaps in these columns, within the mask `among` (m,) if given; rows outside it count as filtered."""
        numbers, labels, rows = list(numbers), list(labels), slice(None) if among is None else among
        casts = {name: cast for name in numbers if (cast := self.numbers[name].cast)}
        dropped, rounded = {}, {}
        for name in numbers:
            if self.numbers[name].is_integer:
                sizes = np.abs(self.numbers[name].values[rows])
                if inexact := int(((sizes >= EXACT_INTEGERS) & (sizes < np.inf)).sum()):
                    rounded[name] = inexact
        gaps = [(name, self.numbers[name].gaps) for name in numbers] + [(name, self.labels[name].gaps) for name in labels]
        for name, codes in gaps:
            causes = [] if codes is None else [int((codes[rows] == i).sum()) for i, _ in enumerate(CAUSES, start=1)]
            if any(causes):
                dropped[name] = dict(zip(CAUSES, causes, strict=True))
        used = int(self.complete_mask(numbers, labels, among).sum())
        filtered = 0 if among is None else self.size - int(among.sum())
        return RowAccount(read=self.size, used=used, filtered=filtered, dropped=dropped, rounded=rounded, casts=casts)


def decode_batch(source: Source, numbers: Sequence[str], labels: Sequence[str], first: int, batch: pa.RecordBatch) -> Batch:
    """Decode a batch as `Source.read` yields it; `first` is the position of its first row."""
    columns = batch.columns
    return Batch(
        start=first,
        size=batch.num_rows,
        numbers={name: _decode_numbers(source, name, column, first) for name, column in zip(numbers, columns, strict=False)},
        labels={name: decode_categories(source, name, columns[len(numbers) + i]) for i, name in enumerate(labels)},
    )


def decode_categories(source: Source, name: str, column: pa.Array) -> CategoricalColumn:
    """Decode a column of labels, or raise a DataError for one without labels."""
    is_time = has_times(column.type)
    if kind_of(column.type) == "other" and not is_time:
        raise unsupported_column_error(source.label, name, str(column.type))
    stored = column.storage if is_period(column.type) else column
    dictionary, codes = _encode_integers(stored) or _encode(stored)
    dictionary = _write_times(dictionary, column.type) if is_time else dictionary
    narrow = _narrow_type(dictionary.type)
    make_error = partial(unsupported_column_error, source.label, name, str(column.type)) if is_time else None
    values = _PlainLevels(dictionary, narrow, make_error)
    gap = np.append(_gap_codes(dictionary), 1)  # the last is for code -1
    if column.null_count == 0 and not gap[:-1].any():
        return CategoricalColumn(values=values, dictionary=dictionary, codes=codes, gaps=None, narrow_type=narrow)
    gaps = gap[codes]
    codes = np.where(gaps == 0, codes, -1)
    return CategoricalColumn(values=values, dictionary=dictionary, codes=codes, gaps=gaps, narrow_type=narrow)


def _write_times(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the distinct values of a column of a kind as ISO text: dates, times (those of a zone in UTC) and periods."""
    if is_period(kind):
        return pa.array(pa.ExtensionArray.from_storage(kind, values).to_pandas().astype(str), pa.large_string())
    zeros = r"\.0+$"
    if pa.types.is_timestamp(values.type):
        values, zeros = values.cast(pa.timestamp(values.type.unit)), r"( 00:00:00)?(\.0+)?$"
    return pc.replace_substring_regex(values.cast(pa.large_string()), zeros, "")


def _encode(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return the distinct values of a column, and the place of each row's value among them, -1 for NULL."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return encoded.dictionary, encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)


def _encode_integers(column: pa.Array) -> tuple[pa.Array, np.ndarray] | None:
    """Do so for integers that lie near each other, without a hash table: a tenth of the time with many values. Else None."""
    if not pa.types.is_integer(column.type) or column.null_count or not len(column):
        return None
    values = column.to_numpy()
    low, high = int(values.min()), int(values.max())
    if high - low >= 4 * len(values):
        return None
    places = np.subtract(values, values.dtype.type(low), dtype=np.int64, casting="unsafe")
    occurs = np.bincount(places) > 0
    distinct = pa.array(np.flatnonzero(occurs).astype(values.dtype) + values.dtype.type(low), column.type)
    return distinct, places if occurs.all() else (np.cumsum(occurs) - 1)[places]


class _PlainLevels(Sequence[Level]):
    """The values of a dictionary as `to_plain_level` gives them, converted when the first is asked for.

    Or that raises what `make_error` returns: an error that were made before would keep the frames that it passes, and their scan.
    """

    def __init__(self, dictionary: pa.Array, narrow: np.dtype | None, make_error: Callable[[], DataError] | None) -> None:
        self._dictionary, self._narrow, self._make_error = dictionary, narrow, make_error
        self._values: list[Level] | None = None

    def __len__(self) -> int:
        return len(self._dictionary)

    def __getitem__(self, place: Any) -> Any:
        return self._converted()[place]

    def __iter__(self) -> Iterator[Level]:
        return iter(self._converted())

    def _converted(self) -> list[Level]:
        if self._make_error is not None:
            raise self._make_error()
        if self._values is None:
            self._values = [to_plain_level(value, self._narrow) for value in self._dictionary.to_pylist()]
        return self._values


def _narrow_type(kind: pa.DataType) -> np.dtype | None:
    return np.dtype(kind.to_pandas_dtype()) if pa.types.is_float16(kind) or pa.types.is_float32(kind) else None


def to_plain_level(value: Any, narrow: np.dtype | None = None) -> Level:
    """Convert a value to int or float; a decimal with too many digits for either stays a decimal."""
    if isinstance(value, Decimal):
        if value.as_tuple().exponent == 0 and abs(value) >= EXACT_INTEGERS:
            return int(value)
        return float(value) if Decimal(repr(float(value))) == value else value
    return value if narrow is None or value is None else float(str(narrow.type(value)))


def _gap_codes(dictionary: pa.Array) -> np.ndarray:
    """Return what each value of a dictionary is: 1 for NULL, 2 for NaN, 3 for an infinity, else 0."""
    codes = np.zeros(len(dictionary), dtype=int)
    if pa.types.is_floating(dictionary.type):
        values = dictionary.to_numpy(zero_copy_only=False)
        codes = np.where(np.isnan(values), 2, np.where(np.isinf(values), 3, 0))
    return np.where(dictionary.is_null().to_numpy(zero_copy_only=False), 1, codes) if dictionary.null_count else codes


def _decode_numbers(source: Source, name: str, column: pa.Array, first: int) -> NumericColumn:
    """Cast a column to doubles; NULL becomes NaN."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    null = None if column.null_count == 0 else column.is_null().to_numpy(zero_copy_only=False)
    kind, arrow_type = kind_of(column.type), column.type
    if kind == "boolean":
        column = column.cast(pa.uint8())
    elif kind == "other":
        raise unsupported_column_error(source.label, name, str(column.type))
    elif kind == "text":
        raise _not_numeric_error(source, name, column, first)
    is_decimal = pa.types.is_decimal(arrow_type)
    if not is_decimal and not pa.types.is_float64(column.type):
        values = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    else:
        values = nearest_doubles(column) if is_decimal else column.to_numpy(zero_copy_only=False)
    values = np.require(values, requirements="A")  # a column from another process may be unaligned, which SciPy refuses
    is_wide = is_decimal or (pa.types.is_integer(arrow_type) and arrow_type.bit_width == 64)
    return NumericColumn(
        values=values,
        null_mask=null,
        has_gaps=not is_all_finite(values),
        is_integer=pa.types.is_integer(arrow_type) or "INT" in source.columns[name],  # integers of a CSV file arrive as doubles
        cast=str(arrow_type) if kind == "boolean" or is_decimal else None,
        stored_column=column if is_wide else None,
        narrow_type=_narrow_type(arrow_type),
    )


def is_all_finite(x: Array) -> bool:
    """Return whether every value is finite. Unless it overflows, a sum shows it in a third of the time."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(x.sum()) or bool(np.isfinite(x).all())


def _not_numeric_error(source: Source, name: str, column: pa.Array, first: int) -> DataError:
    for row, value in enumerate(column.to_pylist(), start=first):
        if value is not None and not source.parses_as_number(value):
            return DataError(
                f"Column {name!r} of {source.label} holds text, not a number: {show_value(value)} in data row "
                f"{source.row_number(row):,}. Correct or clear that value. "
                "Categories are for predictors, not for the response or arithmetic."
            )
    return DataError(
        f"Column {name!r} of {source.label} is stored as text, not as numbers. Convert it, for example with pandas.to_numeric."
    )
