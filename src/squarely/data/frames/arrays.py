"""Dicts of arrays, and X and y as two arrays, which become named columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from squarely.data.dtypes import Level
from squarely.data.frames.arrow import InMemorySource
from squarely.data.frames.dataframe import DataFrameSource, ordered_levels, require_doubles, to_arrow, unreadable_error
from squarely.errors import DataError, first_line, pluralize

_REMOTE_LIBRARIES = ("dask", "pyspark", "ibis", "duckdb", "_duckdb")  # their tables are not in memory


def open_xy(X: Any, y: Any) -> tuple[ArraysSource, tuple[str, ...], str]:
    """Open X (n, p) and y (n,) as a source; return it with the names of the columns of X and of y.

    Data frames and series have names; the columns of an array are called x1, x2, ..., and y.

    Raises
    ------
    DataError : the shapes do not match, or two names are the same.

    >>> source, names, response = open_xy([[1.0, 2.0], [3.0, 4.0]], [5.0, 6.0])
    >>> names, response
    (('x1', 'x2'), 'y')
    """
    columns = named_columns(X)
    name, values = _read_vector("y", y)
    if name in columns:
        raise DataError(f"y and a column of X are both called {name!r}. Rename one of them.")
    rows = {label: len(column) for label, column in columns.items()} | {name: len(values)}
    if len(set(rows.values())) > 1:
        many = pluralize(max(rows[label] for label in columns), "row")
        raise DataError(f"X has {many} and y has {pluralize(rows[name], 'value')}. Give one value of y for each row of X.")
    return ArraysSource({**columns, name: values}, "X and y"), tuple(columns), name


def named_columns(X: Any) -> dict[str, Any]:
    """Return the columns of X by name, as `open_xy` names them."""
    frame = _wrap("X", X)
    if isinstance(frame, nw.DataFrame):
        for name in frame.columns:
            if not isinstance(name, str):
                raise DataError(f"A column of X is called {name!r}, which is not text. Rename it: X.columns.astype(str).")
        return {name: frame[name].to_native() for name in frame.columns}
    if isinstance(frame, nw.Series):
        return {frame.name or "x1": X}
    library = type(X).__module__.partition(".")[0]
    if library in _REMOTE_LIBRARIES:
        raise DataError(
            f"X= is a table of {library.strip('_')}, whose rows are not in memory. Give a formula and the table as data, such as "
            "sq.ols('y ~ x1 + x2', table)."
        )
    table = _to_array("X", X)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2:
        raise DataError(f"X has shape {table.shape}. Give an array of rows and columns.")
    return {f"x{j + 1}": table[:, j] for j in range(table.shape[1])}


def label_columns(name: str, values: Any, taken: Iterable[str]) -> dict[str, Any]:
    """Return the columns of labels that are passed beside X and y: a series, an array (n,) or (n, 2), or a frame, by name.

    `name` is the name of a column without one; a name that is taken gets a mark.
    """
    frame = _wrap(name, values)
    if isinstance(frame, nw.DataFrame):
        columns = {str(column): frame[column].to_native() for column in frame.columns}
    elif isinstance(frame, nw.Series):
        columns = {str(frame.name or name): values}
    else:
        table = values if isinstance(values, list | tuple | pa.Array | pa.ChunkedArray) else _to_labels(values)
        columns = {name: table}
        if isinstance(table, np.ndarray) and table.ndim == 2:
            columns = {f"{name}{j + 1}" if table.shape[1] > 1 else name: table[:, j] for j in range(table.shape[1])}
    taken = set(taken)
    return {f"{column} (labels)" if column in taken else column: column_values for column, column_values in columns.items()}


def _to_labels(values: Any) -> Any:
    values = _detach_tensor(values)
    return values if _wrap_series(values) is not values else np.ma.asanyarray(values)


def _wrap(name: str, data: Any) -> Any:
    """Wrap a data frame or series for narwhals; return other data unchanged."""
    try:
        return nw.from_native(data, eager_only=True, allow_series=True, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        raise DataError(f"Two columns of {name} have the same name. Rename one of them. ({first_line(error)})") from error


def _read_vector(name: str, data: Any) -> tuple[str, Any]:
    """Return one value for each row, and the label of the column if it has one, else `name`."""
    frame = _wrap(name, data)
    if isinstance(frame, nw.DataFrame):
        if len(frame.columns) != 1:
            raise DataError(f"{name} has {len(frame.columns)} columns. Give one.")
        return frame.columns[0], frame[frame.columns[0]].to_native()
    if isinstance(frame, nw.Series):
        return str(frame.name or name), data
    values = _to_array(name, data)
    if values.ndim == 2 and values.shape[1] == 1:  # scikit-learn accepts a column, too
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(f"{name} has shape {values.shape}. Give one value for each row.")
    return name, values


def _to_array(name: str, values: Any) -> np.ndarray:
    values = _detach_tensor(values)
    try:
        array = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{name} cannot be read as an array: {str(error).rstrip('.')}. Give rows of equal length.") from error
    if array.dtype == object:
        raise DataError(
            f"{name} has type {type(values).__name__} and cannot be converted to an array of numbers. Give numbers, with nan for "
            "gaps, or a data frame for columns of different kinds."
        )
    return array


def with_one_length(columns: Mapping[str, Any]) -> Mapping[str, Any]:
    """Repeat single values, such as 3.5 or "usa", to the length of the other columns; 1 if there is no other.

    >>> with_one_length({"x": 1.5, "g": "a"}), with_one_length({"x": [1.0, 2.0], "g": "a"})
    ({'x': [1.5], 'g': ['a']}, {'x': [1.0, 2.0], 'g': ['a', 'a']})
    """
    single = [name for name, value in columns.items() if value is None or isinstance(value, str | bool | Number | np.generic)]
    others = [value for name, value in columns.items() if name not in single]
    if not single or not all(hasattr(value, "__len__") for value in others):
        return columns
    rows = len(others[0]) if others else 1
    return {name: [value] * rows if name in single else value for name, value in columns.items()}


class ArraysSource(InMemorySource):
    """A dict of arrays or lists of equal length, one for each column."""

    def __init__(self, arrays: Mapping[str, Any], label: str = "the dict of arrays") -> None:
        self.label = label
        for name in arrays:
            if not isinstance(name, str):
                raise DataError(f"The name of a column is {name!r}, of type {type(name).__name__}. Give strings as names.")
        self._arrays = arrays
        series = {name: type(values).__name__ for name, values in arrays.items()}
        self.columns = {name: str(arrays[name].dtype) if kind == "Series" else kind for name, kind in series.items()}

    def with_names(self, names: Mapping[str, str]) -> ArraysSource:
        """Return the same arrays with some of them renamed."""
        return ArraysSource({names.get(name, name): values for name, values in self._arrays.items()}, self.label)

    def add_arrays(self, arrays: Mapping[str, Any]) -> ArraysSource:
        """Return the same arrays with more of them."""
        return ArraysSource({**self._arrays, **arrays}, self.label)

    def add_array(self, name: str, data: Any) -> tuple[ArraysSource, str]:
        """Return the same arrays with one more, and its name: `name`, with underscores while another column has it.

        Raises a DataError if it does not have one value for each row.
        """
        values = _read_vector(name, data)[1]
        if len(values) != self.rows:
            raise DataError(
                f"{self.label} have {pluralize(self.rows or 0, 'row')}, and {name} has {pluralize(len(values), 'value')}. Give one "
                "value for each row."
            )
        while name in self._arrays:
            name += "_"
        return ArraysSource({**self._arrays, name: values}, self.label), name

    @property
    def rows(self) -> int | None:
        """The length of the first array, None if it has none; `read` requires the same of the others."""
        try:
            return len(next(iter(self._arrays.values()), ()))
        except TypeError:
            return None

    def select_columns(self, names: Sequence[str]) -> tuple[list[pa.Array | pa.ChunkedArray], int]:
        """Return the named columns, and the number of rows; other arrays are not converted."""
        needed = {name: self._arrays[name] for name in names or list(self._arrays)[:1]}  # any column has the number of rows
        _require_one_index(needed)
        columns = {name: _to_arrow_column(name, values) for name, values in needed.items()}
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"The arrays have different lengths: {lengths}. Every column needs one value for each row.")
        return [columns[name] for name in names], next(iter(lengths.values()), 0)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        values = self._arrays[name]
        if isinstance(values, pa.Array | pa.ChunkedArray):
            return ordered_levels(values)
        series = _wrap_series(values)
        return DataFrameSource(series.alias(name).to_frame()).category_order(name) if isinstance(series, nw.Series) else None

    def column(self, values: np.ndarray, name: str) -> Any:
        return values


def _wrap_series(values: Any) -> Any:
    """Wrap a series of any library for narwhals, also an extension array of pandas; return other values unchanged."""
    if isinstance(values, list | tuple | np.ndarray):
        return values  # not a series; asking each library would take time
    pandas = nw.dependencies.get_pandas()
    if pandas is not None and isinstance(values, pandas.api.extensions.ExtensionArray):
        values = pandas.Series(values)
    return nw.from_native(values, series_only=True, pass_through=True)


def _to_arrow_column(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    """Convert a series of any library, an Arrow or NumPy array (masked or not), or a list to Arrow."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    values = _detach_tensor(values)
    native = _wrap_series(values)
    if isinstance(native, nw.Series):
        return to_arrow(native.alias(name))
    require_doubles(name, getattr(values, "dtype", None))
    try:
        array = values if isinstance(values, list | tuple | np.ndarray) else np.ma.asanyarray(values)
        if not isinstance(array, np.ndarray):
            return pa.array(array)
        if array.ndim != 1:
            raise DataError(f"Column {name!r} has shape {array.shape}. Give an array of one dimension for each column.")
        native = np.ma.getdata(array).astype(array.dtype.newbyteorder("="), copy=False)
        return pa.array(native, mask=np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) else None)
    except (pa.ArrowException, TypeError, OverflowError, RuntimeError, UnicodeError) as error:
        raise unreadable_error(name, error, values if isinstance(values, list | tuple | np.ndarray) else ()) from error


def _detach_tensor(values: Any) -> Any:
    """Return a tensor as an array, without gradients and from any device; return other values unchanged."""
    if not all(hasattr(values, name) for name in ("detach", "cpu", "numpy")):
        return values
    tensor = values.detach().cpu()
    try:
        return tensor.numpy()
    except TypeError:  # bfloat16 and narrower floats, which NumPy lacks
        return tensor.float().numpy() if tensor.is_floating_point() else values


def _require_one_index(arrays: Mapping[str, Any]) -> None:
    """Raise a DataError if the labels of pandas series differ: pandas would align them, and positions do not match."""
    series = {name: _wrap_series(x) for name, x in arrays.items()}
    found = [(name, nw.maybe_get_index(x)) for name, x in series.items() if isinstance(x, nw.Series)]
    indexes = [(name, index) for name, index in found if index is not None]
    for name, index in indexes[1:]:
        if not index.equals(indexes[0][1]):
            raise DataError(
                f"The series {indexes[0][0]!r} and {name!r} have different indexes. Put them into one DataFrame, which aligns "
                "them, or pass plain arrays."
            )
