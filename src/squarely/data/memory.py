"""Rows in memory: frames that narwhals understands (pandas, Polars, Arrow tables) and dicts of arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from squarely.data.levels import declared
from squarely.data.source import BATCH_ROWS, Kind, Level, Part, Source, kind_of
from squarely.errors import DataError

MEMORY_ROWS = 4 * BATCH_ROWS  # of a batch that is a view of what is in memory already: it costs nothing but its share of Python


class FrameSource(Source):
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
        yield from cut(self._columns(numbers, labels), len(self._frame), MEMORY_ROWS)

    def parts(self) -> tuple[Part, ...]:
        """Tell which rows are read together."""
        return slices(len(self._frame))

    def read_parts(
        self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the named columns of some parts."""
        yield from pick(self._columns(numbers, labels), len(self._frame), order)

    def _columns(self, numbers: Sequence[str], labels: Sequence[str]) -> list[pa.Array]:
        return [_arrow(self._frame[name]) for name in (*numbers, *labels)]

    def kind(self, name: str) -> Kind:
        """Tell what a column holds."""
        return kind_of(_arrow(self._frame[name]).type)

    def arrow_type(self, name: str) -> pa.DataType:
        """Tell the Arrow type of a column."""
        return _arrow(self._frame[name]).type

    def order(self, name: str) -> tuple[Level, ...] | None:
        """Give the categories of a pandas Categorical, a Polars Enum or an ordered Arrow dictionary."""
        series = self._frame[name]
        if (categories := _pandas_categories(series)) is not None:
            narrow = str(categories.dtype) in ("float16", "float32")  # as batches give such labels: 0.1 is 0.1
            return tuple([float(str(x)) for x in categories.to_numpy()] if narrow else _without_intervals(categories))
        if isinstance(series.dtype, nw.Enum) and series.implementation.is_polars():
            return tuple(series.dtype.categories)
        return _ordered(_arrow(series))

    def column(self, values: np.ndarray, name: str) -> Any:
        """Give values, one for each row, as a column of the frame's own library."""
        if nw.maybe_get_index(self._frame) is not None:
            return super().column(values, name)
        return nw.new_series(name, values, backend=self._frame.implementation).to_native()

    def index(self, rows: np.ndarray) -> Any:
        """Give the frame's own labels of these rows, if it has any."""
        index = nw.maybe_get_index(self._frame)
        return rows if index is None else index[rows]


class ArraysSource(Source):
    """A dict of arrays or lists of equal length, one for each column."""

    def __init__(self, arrays: Mapping[str, Any], label: str = "the dict of arrays") -> None:
        self.label = label
        for name in arrays:
            if not isinstance(name, str):
                raise DataError(
                    f"The name of a column is {name!r}, of type {type(name).__name__}. Names of columns must be strings."
                )
        self._arrays = arrays
        series = {name: type(values).__name__ for name, values in arrays.items()}
        self.columns = {name: str(arrays[name].dtype) if kind == "Series" else kind for name, kind in series.items()}

    def renamed(self, names: Mapping[str, str]) -> ArraysSource:
        """Give the same arrays under other names; those that are not told of keep theirs."""
        return ArraysSource({names.get(name, name): values for name, values in self._arrays.items()}, self.label)

    @property
    def rows(self) -> int | None:
        """How many rows the first array has, which `read` holds the others to; None if it has no length."""
        try:
            return len(next(iter(self._arrays.values()), ()))
        except TypeError:
            return None

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, without a copy where Arrow and the array agree. The others are not looked at."""
        columns, rows = self._columns(numbers, labels)
        yield from cut(columns, rows, MEMORY_ROWS)

    def parts(self) -> tuple[Part, ...]:
        """Tell which rows are read together."""
        return slices(self._columns([], [])[1])

    def read_parts(
        self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the named columns of some parts."""
        yield from pick(*self._columns(numbers, labels), order)

    def _columns(self, numbers: Sequence[str], labels: Sequence[str]) -> tuple[list[pa.Array | pa.ChunkedArray], int]:
        """Give the named columns, and how many rows they have."""
        names = list(dict.fromkeys((*numbers, *labels)))
        if not names:  # any column tells how many rows there are
            first = next(iter(self._arrays), None)
            return [], 0 if first is None else len(_column(first, self._arrays[first]))
        _require_one_index({name: self._arrays[name] for name in names})
        columns = {name: _column(name, self._arrays[name]) for name in names}
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"The arrays have different lengths: {lengths}. Every column needs one value for each row.")
        return [columns[name] for name in (*numbers, *labels)], next(iter(lengths.values()))

    def kind(self, name: str) -> Kind:
        """Tell what a column holds."""
        return kind_of(_column(name, self._arrays[name]).type)

    def order(self, name: str) -> tuple[Level, ...] | None:
        """Give the categories of a pandas Categorical, a Polars Enum or an ordered Arrow dictionary."""
        values = self._arrays[name]
        if isinstance(values, pa.Array | pa.ChunkedArray):
            return _ordered(values)
        series = _series(values)
        return FrameSource(series.alias(name).to_frame()).order(name) if isinstance(series, nw.Series) else None

    def column(self, values: np.ndarray, name: str) -> Any:
        """Give values, one for each row, as an array."""
        return values


def _ordered(column: pa.Array | pa.ChunkedArray) -> tuple[Level, ...] | None:
    if not (pa.types.is_dictionary(column.type) and column.type.ordered):
        return None
    return declared(column.chunks if isinstance(column, pa.ChunkedArray) else [column])


def _pandas_categories(series: nw.Series[Any]) -> Any:
    """Give the categories of a pandas Categorical as an Index, None for any other series."""
    dtype = series.to_native().dtype if series.implementation.is_pandas() else None
    return dtype.categories if dtype is not None and dtype == "category" else None


def _without_intervals(categories: Any) -> Any:
    """Write the intervals that pandas.cut makes, which are no value of a formula, as their text."""
    return categories.astype(str) if str(categories.dtype).startswith("interval") else categories


def _arrow(series: nw.Series[Any]) -> pa.Array | pa.ChunkedArray:
    """Give a series as Arrow. pandas' plain float columns keep NaN as NaN: Arrow's own conversion would call it NULL."""
    pandas = nw.dependencies.get_pandas() if series.implementation.is_pandas() else None
    if pandas is not None and isinstance(series.to_native().dtype, pandas.SparseDtype):
        series = nw.from_native(series.to_native().sparse.to_dense(), series_only=True)
    _require_doubles(series.name, getattr(series.to_native(), "dtype", None))
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
        raise _unreadable(series.name, error) from error


def _series(values: Any) -> Any:
    """Take a series of any library for what it is, and pandas' own arrays, such as a Categorical, for series without labels."""
    if isinstance(values, list | tuple | np.ndarray):
        return values  # none of these is one, and to ask each library takes its time
    pandas = nw.dependencies.get_pandas()
    if pandas is not None and isinstance(values, pandas.api.extensions.ExtensionArray):
        values = pandas.Series(values)
    return nw.from_native(values, series_only=True, pass_through=True)


def without_history(values: Any) -> Any:
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


def _column(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    """Give one entry of a dict as Arrow: a series of any library, an Arrow or NumPy array (masked or not), or a list."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    values = without_history(values)
    native = _series(values)
    if isinstance(native, nw.Series):
        return _arrow(native.alias(name))
    _require_doubles(name, getattr(values, "dtype", None))
    try:
        array = values if isinstance(values, list | tuple | np.ndarray) else np.ma.asanyarray(values)
        if isinstance(array, np.ma.MaskedArray):
            _require_one_dimension(name, array)
            native = array.data.astype(array.dtype.newbyteorder("="), copy=False)
            return pa.array(native, mask=np.ma.getmaskarray(array))
        if isinstance(array, np.ndarray):
            _require_one_dimension(name, array)
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
        return pa.array(array)
    except (pa.ArrowException, TypeError, OverflowError, RuntimeError, UnicodeError) as error:
        raise _unreadable(name, error) from error


def _require_doubles(name: str, dtype: object) -> None:
    """Refuse numbers wider than a double, whose further digits must not go in silence."""
    if isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize > np.dtype(float).itemsize:
        raise DataError(
            f"Column {name!r} is of type {dtype}, which is not supported: doubles do not hold all of its digits. Make doubles of "
            f"it with .astype(float)."
        )


def _require_one_dimension(name: str, array: np.ndarray) -> None:
    if array.ndim != 1:
        raise DataError(f"Column {name!r} has shape {array.shape}. Give an array of one dimension for each column.")


def _unreadable(name: str, error: Exception) -> DataError:
    if isinstance(error, UnicodeError):
        return DataError(
            f"Column {name!r} holds text that is not Unicode: a byte that could not be decoded stands in it. Decode it with its "
            f"own encoding, such as 'latin-1'. Python says: {error}."
        )
    return DataError(
        f"Column {name!r} cannot be read as one kind of number. Make its values all numbers, or all text. Arrow says: {error}"
    )


def _require_one_index(arrays: Mapping[str, Any]) -> None:
    """Refuse series whose labels differ: pandas would align them, and their positions are not each other's rows."""
    series = {name: _series(x) for name, x in arrays.items()}
    indexes = {name: nw.maybe_get_index(x) for name, x in series.items() if isinstance(x, nw.Series)}
    labelled = [(name, index) for name, index in indexes.items() if index is not None]
    for name, index in labelled[1:]:
        if not index.equals(labelled[0][1]):
            raise DataError(
                f"The series {labelled[0][0]!r} and {name!r} have different indexes. Put them into one DataFrame, which aligns "
                "them, or pass plain arrays."
            )


def cut(columns: Sequence[pa.Array | pa.ChunkedArray], rows: int, size: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """Cut columns into batches; with no column asked for, a column of nulls carries the number of rows."""
    names = [str(i) for i in range(max(len(columns), 1))]
    for start in range(0, rows, size):
        pieces = [_slice(column, start, size) for column in columns] or [pa.nulls(min(size, rows - start))]
        yield pa.RecordBatch.from_arrays(pieces, names=names)


def slices(rows: int) -> tuple[Part, ...]:
    """Cut rows in memory into parts.

    >>> slices(70_000)
    (Part(first=0, rows=65536), Part(first=65536, rows=4464))
    """
    return tuple(Part(first, min(BATCH_ROWS, rows - first)) for first in range(0, rows, BATCH_ROWS))


def pick(columns: Sequence[pa.Array | pa.ChunkedArray], rows: int, order: Iterable[int]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Cut some of the `slices` out of columns, in an order, each with the position of its first row."""
    parts = slices(rows)
    for i in order:
        first, size = parts[i].first, parts[i].rows or 0
        yield from ((first, batch) for batch in cut([column.slice(first, size) for column in columns], size))


def _slice(column: pa.Array | pa.ChunkedArray, start: int, size: int) -> pa.Array:
    piece = column.slice(start, size)
    return piece.combine_chunks() if isinstance(piece, pa.ChunkedArray) else piece
