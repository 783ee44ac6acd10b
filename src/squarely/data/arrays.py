"""X and y as two arrays, the way of scikit-learn and of statsmodels without a formula: turned into named columns."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np

from squarely.data.file import first_line
from squarely.data.memory import ArraysSource, without_history
from squarely.data.open import are_paths, open_source
from squarely.data.source import Source
from squarely.errors import DataError, counted

_ELSEWHERE = ("dask", "pyspark", "ibis", "duckdb", "_duckdb")  # libraries whose tables are not rows in memory


def open_arrays(X: Any, y: Any) -> tuple[ArraysSource, tuple[str, ...], str]:
    """Open X (n, p) and y (n,) as a source, and give the names of the columns of X and of y.

    Columns of a frame keep their names, those of an array are x1, x2, ...; a series keeps its name, an array is called y.

    Raises
    ------
    DataError : the shapes do not fit together, or two names are the same.

    >>> source, names, response = open_arrays([[1.0, 2.0], [3.0, 4.0]], [5.0, 6.0])
    >>> names, response
    (('x1', 'x2'), 'y')
    """
    columns = _columns(X)
    name, values = _response(y)
    if name in columns:
        raise DataError(f"y and a column of X are both called {name!r}. Give one of them another name.")
    rows = {label: len(column) for label, column in columns.items()} | {name: len(values)}
    if len(set(rows.values())) > 1:
        many = counted(max(rows[label] for label in columns), "row")
        raise DataError(f"X has {many} and y has {counted(rows[name], 'value')}. Give one value of y for each row of X.")
    return ArraysSource({**columns, name: values}, "X and y"), tuple(columns), name


def open_rows(data: Any, names: tuple[str, ...] | None) -> Source:
    """Open new rows for a fit; one that was given X and y takes an array (m, p) without names, too.

    Raises
    ------
    DataError : an array has another number of columns than X had, or `open_source` does not know the data.
    """
    if names is None or are_paths(data) or not isinstance(data, np.ndarray | list | tuple):
        return open_source(data)
    columns = _columns(data)
    if len(columns) != len(names):
        raise DataError(f"The new rows have {counted(len(columns), 'column')}, and X had {len(names):,}. Give the same columns.")
    return ArraysSource(dict(zip(names, columns.values(), strict=True)), "the new rows")


def _columns(X: Any) -> dict[str, Any]:
    frame = _frame("X", X)
    if isinstance(frame, nw.DataFrame):
        for name in frame.columns:
            if not isinstance(name, str):
                raise DataError(f"A column of X is called {name!r}, which is not text. Rename it: X.columns.astype(str).")
        return {name: frame[name].to_native() for name in frame.columns}
    library = type(X).__module__.partition(".")[0]
    if library in _ELSEWHERE:
        raise DataError(
            f"X= is a table of {library.strip('_')}, whose rows are not here. Give a formula and the table as data, such as "
            "sq.ols('y ~ x1 + x2', table)."
        )
    series = nw.from_native(X, series_only=True, pass_through=True)
    if isinstance(series, nw.Series):
        return {series.name or "x1": X}
    table = _array("X", X)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2:  # rows and columns
        raise DataError(f"X has shape {table.shape}. Give an array of rows and columns.")
    return {f"x{j + 1}": table[:, j] for j in range(table.shape[1])}


def _frame(name: str, data: Any) -> Any:
    try:
        return nw.from_native(data, eager_only=True, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        raise DataError(f"Two columns of {name} have the same name. Give each its own. ({first_line(error)})") from error


def _response(y: Any) -> tuple[str, Any]:
    frame = _frame("y", y)
    if isinstance(frame, nw.DataFrame):
        if len(frame.columns) != 1:
            raise DataError(f"y has {len(frame.columns)} columns. Give one.")
        return frame.columns[0], frame[frame.columns[0]].to_native()
    series = nw.from_native(y, series_only=True, pass_through=True)
    if isinstance(series, nw.Series):
        return str(series.name or "y"), y
    values = _array("y", y)
    if values.ndim == 2 and values.shape[1] == 1:  # a column, as scikit-learn takes it
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(f"y has shape {values.shape}. Give one value for each row.")
    return "y", values


def _array(name: str, values: Any) -> np.ndarray:
    values = without_history(values)
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
