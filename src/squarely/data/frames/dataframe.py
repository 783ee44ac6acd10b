"""Rows in memory: frames that narwhals understands (pandas, Polars, Arrow tables) and dicts of arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from squarely.data.dtypes import Kind, Level, declared_levels, kind_of
from squarely.data.source import MEMORY_ROWS, RowRange, Source, read_ranges, record_batches, row_ranges
from squarely.errors import DataError


class DataFrameSource(Source):
    """A data frame in memory. It is read, never changed."""

    def __init__(self, frame: nw.DataFrame[Any], label: str = "the data frame") -> None:
        self.label = label
        self._frame = frame
        self.columns = {name: str(kind) for name, kind in frame.schema.items() if isinstance(name, str)}

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self._frame)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, without a copy where Arrow and the column agree."""
        yield from record_batches(self._select_columns(numbers, labels), len(self._frame), MEMORY_ROWS)

    def parts(self) -> tuple[RowRange, ...]:
        """Tell which rows are read together."""
        return row_ranges(len(self._frame))

    def read_parts(
        self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the named columns of some parts."""
        yield from read_ranges(self._select_columns(numbers, labels), len(self._frame), order)

    def _select_columns(self, numbers: Sequence[str], labels: Sequence[str]) -> list[pa.Array]:
        return [to_arrow(self._frame[name]) for name in (*numbers, *labels)]

    def kind(self, name: str) -> Kind:
        """Tell what a column holds."""
        return kind_of(to_arrow(self._frame[name]).type)

    def arrow_type(self, name: str) -> pa.DataType:
        """Tell the Arrow type of a column."""
        return to_arrow(self._frame[name]).type

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Give the categories of a pandas Categorical, a Polars Enum or an ordered Arrow dictionary."""
        series = self._frame[name]
        if (categories := _pandas_categories(series)) is not None:
            narrow = str(categories.dtype) in ("float16", "float32")  # as batches give such labels: 0.1 is 0.1
            return tuple([float(str(x)) for x in categories.to_numpy()] if narrow else _without_intervals(categories))
        if isinstance(series.dtype, nw.Enum) and series.implementation.is_polars():
            return tuple(series.dtype.categories)
        return ordered_dtypes(to_arrow(series))

    def column(self, values: np.ndarray, name: str) -> Any:
        """Give values, one for each row, as a column of the frame's own library."""
        if nw.maybe_get_index(self._frame) is not None:
            return super().column(values, name)
        return nw.new_series(name, values, backend=self._frame.implementation).to_native()

    def index(self, rows: np.ndarray) -> Any:
        """Give the frame's own labels of these rows, if it has any."""
        index = nw.maybe_get_index(self._frame)
        return rows if index is None else index[rows]


def ordered_dtypes(column: pa.Array | pa.ChunkedArray) -> tuple[Level, ...] | None:
    if not (pa.types.is_dictionary(column.type) and column.type.ordered):
        return None
    return declared_levels(column.chunks if isinstance(column, pa.ChunkedArray) else [column])


def _pandas_categories(series: nw.Series[Any]) -> Any:
    """Give the categories of a pandas Categorical as an Index, None for any other series."""
    dtype = series.to_native().dtype if series.implementation.is_pandas() else None
    return dtype.categories if dtype is not None and dtype == "category" else None


def _without_intervals(categories: Any) -> Any:
    """Write the intervals that pandas.cut makes, which are no value of a formula, as their text."""
    return categories.astype(str) if str(categories.dtype).startswith("interval") else categories


def to_arrow(series: nw.Series[Any]) -> pa.Array | pa.ChunkedArray:
    """Give a series as Arrow. pandas' plain float columns keep NaN as NaN: Arrow's own conversion would call it NULL."""
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
        if series.dtype in (nw.Int128, nw.UInt128):  # which Arrow does not have: its widest integers are decimals
            return series.to_native().cast(nw.get_native_namespace(series).Decimal(38, 0)).to_arrow()
        return series.to_arrow()
    except (pa.ArrowException, TypeError, OverflowError, UnicodeError) as error:
        raise unreadable_error(series.name, error) from error


def detach_tensor(values: Any) -> Any:
    """Give a tensor's numbers as an array, without gradients and from any device; floats that NumPy lacks as float32.

    Anything else is given back as it is.
    """
    if not all(hasattr(values, name) for name in ("detach", "cpu", "numpy")):
        return values
    tensor = values.detach().cpu()
    try:
        return tensor.numpy()
    except TypeError:  # bfloat16 and narrower ones
        return tensor.float().numpy() if tensor.is_floating_point() else values


def require_doubles(name: str, dtype: object) -> None:
    """Refuse numbers wider than a double, whose further digits must not go in silence."""
    if isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize > np.dtype(float).itemsize:
        raise DataError(
            f"Column {name!r} is of type {dtype}, which is not supported: doubles do not hold all of its digits. Make doubles of "
            f"it with .astype(float)."
        )


def unreadable_error(name: str, error: Exception) -> DataError:
    if isinstance(error, UnicodeError):
        return DataError(
            f"Column {name!r} holds text that is not Unicode: a byte that could not be decoded stands in it. Decode it with its "
            f"own encoding, such as 'latin-1'. Python says: {error}."
        )
    return DataError(
        f"Column {name!r} cannot be read as one kind of number. Make its values all numbers, or all text. Arrow says: {error}"
    )
