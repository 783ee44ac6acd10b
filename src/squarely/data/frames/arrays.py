"""X and y as two arrays, the way of scikit-learn and of statsmodels without a formula: turned into named columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from squarely.data.dtypes import Kind, Level, kind_of
from squarely.data.frames.dataframe import (
    DataFrameSource,
    detach_tensor,
    ordered_dtypes,
    require_doubles,
    to_arrow,
    unreadable_error,
)
from squarely.data.source import MEMORY_ROWS, RowRange, Source, read_ranges, record_batches, row_ranges
from squarely.errors import DataError, first_line, pluralize

_REMOTE_LIBRARIES = ("dask", "pyspark", "ibis", "duckdb", "_duckdb")  # libraries whose tables are not rows in memory


def open_xy(X: Any, y: Any) -> tuple[ArraysSource, tuple[str, ...], str]:
    """Open X (n, p) and y (n,) as a source, and give the names of the columns of X and of y.

    Columns of a frame keep their names, those of an array are x1, x2, ...; a series keeps its name, an array is called y.

    Raises
    ------
    DataError : the shapes do not fit together, or two names are the same.

    >>> source, names, response = open_xy([[1.0, 2.0], [3.0, 4.0]], [5.0, 6.0])
    >>> names, response
    (('x1', 'x2'), 'y')
    """
    columns = named_columns(X)
    name, values = _read_response(y)
    if name in columns:
        raise DataError(f"y and a column of X are both called {name!r}. Give one of them another name.")
    rows = {label: len(column) for label, column in columns.items()} | {name: len(values)}
    if len(set(rows.values())) > 1:
        many = pluralize(max(rows[label] for label in columns), "row")
        raise DataError(f"X has {many} and y has {pluralize(rows[name], 'value')}. Give one value of y for each row of X.")
    return ArraysSource({**columns, name: values}, "X and y"), tuple(columns), name


def named_columns(X: Any) -> dict[str, Any]:
    frame = _wrap_frame("X", X)
    if isinstance(frame, nw.DataFrame):
        for name in frame.columns:
            if not isinstance(name, str):
                raise DataError(f"A column of X is called {name!r}, which is not text. Rename it: X.columns.astype(str).")
        return {name: frame[name].to_native() for name in frame.columns}
    library = type(X).__module__.partition(".")[0]
    if library in _REMOTE_LIBRARIES:
        raise DataError(
            f"X= is a table of {library.strip('_')}, whose rows are not here. Give a formula and the table as data, such as "
            "sq.ols('y ~ x1 + x2', table)."
        )
    series = nw.from_native(X, series_only=True, pass_through=True)
    if isinstance(series, nw.Series):
        return {series.name or "x1": X}
    table = _to_array("X", X)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2:  # rows and columns
        raise DataError(f"X has shape {table.shape}. Give an array of rows and columns.")
    return {f"x{j + 1}": table[:, j] for j in range(table.shape[1])}


def _wrap_frame(name: str, data: Any) -> Any:
    try:
        return nw.from_native(data, eager_only=True, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        raise DataError(f"Two columns of {name} have the same name. Give each its own. ({first_line(error)})") from error


def _read_response(y: Any) -> tuple[str, Any]:
    frame = _wrap_frame("y", y)
    if isinstance(frame, nw.DataFrame):
        if len(frame.columns) != 1:
            raise DataError(f"y has {len(frame.columns)} columns. Give one.")
        return frame.columns[0], frame[frame.columns[0]].to_native()
    series = nw.from_native(y, series_only=True, pass_through=True)
    if isinstance(series, nw.Series):
        return str(series.name or "y"), y
    values = _to_array("y", y)
    if values.ndim == 2 and values.shape[1] == 1:  # a column, as scikit-learn takes it
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(f"y has shape {values.shape}. Give one value for each row.")
    return "y", values


def _to_array(name: str, values: Any) -> np.ndarray:
    values = detach_tensor(values)
    try:
        array = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{name} cannot be read as an array: {str(error).rstrip('.')}. Give rows of equal length.") from error
    if array.dtype == object:
        raise DataError(
            f"{name} is of type {type(values).__name__} and does not become an array of numbers. Give numbers, with nan for "
            "gaps, or a data frame for columns of different kinds."
        )
    return array


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

    def with_names(self, names: Mapping[str, str]) -> ArraysSource:
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
        columns, rows = self._select_columns(numbers, labels)
        yield from record_batches(columns, rows, MEMORY_ROWS)

    def parts(self) -> tuple[RowRange, ...]:
        """Tell which rows are read together."""
        return row_ranges(self._select_columns([], [])[1])

    def read_parts(
        self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the named columns of some parts."""
        yield from read_ranges(*self._select_columns(numbers, labels), order)

    def _select_columns(self, numbers: Sequence[str], labels: Sequence[str]) -> tuple[list[pa.Array | pa.ChunkedArray], int]:
        """Give the named columns, and how many rows they have."""
        names = list(dict.fromkeys((*numbers, *labels)))
        if not names:  # any column tells how many rows there are
            first = next(iter(self._arrays), None)
            return [], 0 if first is None else len(_to_arrow_column(first, self._arrays[first]))
        _require_one_index({name: self._arrays[name] for name in names})
        columns = {name: _to_arrow_column(name, self._arrays[name]) for name in names}
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"The arrays have different lengths: {lengths}. Every column needs one value for each row.")
        return [columns[name] for name in (*numbers, *labels)], next(iter(lengths.values()))

    def kind(self, name: str) -> Kind:
        """Tell what a column holds."""
        return kind_of(_to_arrow_column(name, self._arrays[name]).type)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Give the categories of a pandas Categorical, a Polars Enum or an ordered Arrow dictionary."""
        values = self._arrays[name]
        if isinstance(values, pa.Array | pa.ChunkedArray):
            return ordered_dtypes(values)
        series = _wrap_series(values)
        return DataFrameSource(series.alias(name).to_frame()).category_order(name) if isinstance(series, nw.Series) else None

    def column(self, values: np.ndarray, name: str) -> Any:
        """Give values, one for each row, as an array."""
        return values


def _wrap_series(values: Any) -> Any:
    """Take a series of any library for what it is, and pandas' own arrays, such as a Categorical, for series without labels."""
    if isinstance(values, list | tuple | np.ndarray):
        return values  # none of these is one, and to ask each library takes its time
    pandas = nw.dependencies.get_pandas()
    if pandas is not None and isinstance(values, pandas.api.extensions.ExtensionArray):
        values = pandas.Series(values)
    return nw.from_native(values, series_only=True, pass_through=True)


def _to_arrow_column(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    """Give one entry of a dict as Arrow: a series of any library, an Arrow or NumPy array (masked or not), or a list."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    values = detach_tensor(values)
    native = _wrap_series(values)
    if isinstance(native, nw.Series):
        return to_arrow(native.alias(name))
    require_doubles(name, getattr(values, "dtype", None))
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
        raise unreadable_error(name, error) from error


def _require_one_dimension(name: str, array: np.ndarray) -> None:
    if array.ndim != 1:
        raise DataError(f"Column {name!r} has shape {array.shape}. Give an array of one dimension for each column.")


def _require_one_index(arrays: Mapping[str, Any]) -> None:
    """Refuse series whose labels differ: pandas would align them, and their positions are not each other's rows."""
    series = {name: _wrap_series(x) for name, x in arrays.items()}
    indexes = {name: nw.maybe_get_index(x) for name, x in series.items() if isinstance(x, nw.Series)}
    labelled = [(name, index) for name, index in indexes.items() if index is not None]
    for name, index in labelled[1:]:
        if not index.equals(labelled[0][1]):
            raise DataError(
                f"The series {labelled[0][0]!r} and {name!r} have different indexes. Put them into one DataFrame, which aligns "
                "them, or pass plain arrays."
            )
