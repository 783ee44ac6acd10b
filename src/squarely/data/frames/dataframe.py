"""Data frames that narwhals supports eagerly, such as those of pandas and Polars, and columns as Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from squarely.data.dtypes import Level, declared_levels
from squarely.data.frames.arrow import InMemorySource
from squarely.errors import DataError


class DataFrameSource(InMemorySource):
    """A data frame in memory. It is never changed."""

    def __init__(self, frame: nw.DataFrame[Any], label: str = "the data frame") -> None:
        self.label = label
        self._frame, self._rows = frame, len(frame)
        self._views: dict[str, pa.Array] = {}  # columns in the memory of the frame: to find one takes 0.1 ms
        self.columns = {name: str(kind) for name, kind in frame.schema.items() if isinstance(name, str)}

    def select_columns(self, names: Sequence[str]) -> tuple[list[pa.Array], int]:
        return [self._views[name] if name in self._views else self._to_arrow(name) for name in names], len(self._frame)

    def _to_arrow(self, name: str) -> pa.Array | pa.ChunkedArray:
        series = self._frame[name]
        column, dtype = to_arrow(series), getattr(series.to_native(), "dtype", None)
        if isinstance(dtype, np.dtype) and dtype.kind in "fiu" and _is_view(column, series.to_numpy()):
            self._views[name] = column
        return column

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_views": {}}  # a pickle would have the columns twice

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Return the categories of a pandas Categorical, a Polars Enum or an ordered Arrow dictionary."""
        series = self._frame[name]
        if (categories := _pandas_categories(series)) is not None:
            narrow = str(categories.dtype) in ("float16", "float32")  # batches have the same labels: 0.1 is 0.1
            return tuple([float(str(x)) for x in categories.to_numpy()] if narrow else _without_intervals(categories))
        if isinstance(series.dtype, nw.Enum) and series.implementation.is_polars():
            return tuple(series.dtype.categories)
        return ordered_levels(to_arrow(series))

    def column(self, values: np.ndarray, name: str) -> Any:
        if nw.maybe_get_index(self._frame) is not None:
            return super().column(values, name)
        return nw.new_series(name, values, backend=self._frame.implementation).to_native()

    def from_table(self, table: pa.Table, rows: np.ndarray) -> Any:
        if nw.maybe_get_index(self._frame) is not None:
            return super().from_table(table, rows)
        return nw.DataFrame.from_arrow(table, backend=self._frame.implementation).to_native()

    def take(self, names: Sequence[str], rows: np.ndarray) -> Any:
        """Return columns of the rows at some positions, as they are."""
        return self._frame.select(names)[rows].to_native()

    def index(self, rows: np.ndarray) -> Any:
        index = nw.maybe_get_index(self._frame)
        return rows if index is None else index[rows]


def ordered_levels(column: pa.Array | pa.ChunkedArray) -> tuple[Level, ...] | None:
    """Return the levels of an ordered Arrow dictionary, None for any other column."""
    if not (pa.types.is_dictionary(column.type) and column.type.ordered):
        return None
    return declared_levels(column.chunks if isinstance(column, pa.ChunkedArray) else [column])


def _pandas_categories(series: nw.Series[Any]) -> Any:
    """Return the categories of a pandas Categorical as an Index, None for any other series."""
    dtype = series.to_native().dtype if series.implementation.is_pandas() else None
    return dtype.categories if dtype is not None and dtype == "category" else None


def _without_intervals(categories: Any) -> Any:
    """Convert the intervals of pandas.cut to text: a formula cannot have them as values."""
    return categories.astype(str) if str(categories.dtype).startswith("interval") else categories


def to_arrow(series: nw.Series[Any]) -> pa.Array | pa.ChunkedArray:
    """Convert a series to Arrow. NaN in float columns of pandas stays NaN: Arrow's conversion would make it NULL."""
    pandas = nw.dependencies.get_pandas() if series.implementation.is_pandas() else None
    if pandas is not None and isinstance(series.to_native().dtype, pandas.SparseDtype):
        series = nw.from_native(series.to_native().sparse.to_dense(), series_only=True)
    require_doubles(series.name, getattr(series.to_native(), "dtype", None))
    try:
        if isinstance(getattr(series.to_native(), "dtype", None), np.dtype) and series.dtype.is_float():
            values = series.to_numpy()
            return pa.array(values.astype(values.dtype.newbyteorder("="), copy=False))
        categories = _pandas_categories(series)
        if categories is not None and (texts := _without_intervals(categories)) is not categories:
            return pa.array(series.to_native().cat.rename_categories(texts))
        if series.dtype in (nw.Int128, nw.UInt128):  # Arrow has no such type: its widest integers are decimals
            return series.to_native().cast(nw.get_native_namespace(series).Decimal(38, 0)).to_arrow()
        return series.to_arrow()
    except (pa.ArrowException, TypeError, OverflowError, UnicodeError) as error:
        raise unreadable_error(series.name, error, series.to_list()) from error


def _is_view(column: pa.Array | pa.ChunkedArray, values: np.ndarray) -> bool:
    """Return whether an Arrow column is in the memory of an array."""
    return isinstance(column, pa.Array) and column.buffers()[-1].address == values.ctypes.data


def require_doubles(name: str, dtype: object) -> None:
    """Raise a DataError for floats wider than a double: a cast would lose digits."""
    if isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize > np.dtype(float).itemsize:
        raise DataError(f"Column {name!r} has type {dtype}, whose digits do not fit into a double. Convert it with .astype(float).")


def unreadable_error(name: str, error: Exception, values: Iterable[Any] = ()) -> DataError:
    """Return the error for a column that Arrow cannot convert; the values tell which one is of another kind than the others."""
    if isinstance(error, UnicodeError):
        return DataError(
            f"Column {name!r} has text with a byte that is not Unicode. Decode it with its encoding, such as 'latin-1'. "
            f"Python says: {error}."
        )
    if isinstance(error, OverflowError):
        return DataError(
            f"Column {name!r} has an integer of more than 64 bits. Convert the column to floats, or to text for categories."
        )
    odd = _describe_odd_value(list(values))
    convert = "to numbers, for example with pandas.to_numeric," if odd else "to numbers,"
    return DataError(f"Column {name!r} mixes kinds of values{odd}. Convert them all {convert} or all to text. Arrow says: {error}")


def _describe_odd_value(values: Sequence[Any]) -> str:
    """Describe the first text among numbers, or the first number among texts, whichever are fewer."""
    odd: dict[bool, list[int]] = {True: [], False: []}
    for row, value in enumerate(values, start=1):
        if isinstance(value, str | Real) and value == value:  # NaN is a gap
            odd[isinstance(value, str)].append(row)
    texts, numbers = odd[True], odd[False]
    if not texts or not numbers:
        return ""
    row = min(texts, numbers, key=len)[0]
    return f": {values[row - 1]!r} in row {row:,} is {'text among numbers' if row in texts else 'a number among text'}"
