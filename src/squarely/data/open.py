"""Open any data that a user passes as a Source; only this file detects what kind of data it is."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import narwhals as nw
import numpy as np
import pyarrow as pa

from squarely.data.files.file_set.concat import ConcatSource
from squarely.data.files.file_set.hive_partitions import HivePartitionSource, parse_constants, read_folder_keys
from squarely.data.files.file_set.paths import copy_remote, find_files, is_pattern, plain_file_path
from squarely.data.files.lake.detection import detect_readable_table, require_no_lake_table
from squarely.data.files.local_file import LocalFile
from squarely.data.files.read_options import ReadOptions, parse_read_options
from squarely.data.files.readers import detect_file_kind, open_reader
from squarely.data.files.staging.compression import decompress
from squarely.data.files.staging.pipe import copy_open_file
from squarely.data.frames.arrays import ArraysSource, named_columns, with_one_length
from squarely.data.frames.arrow import ArrowSource
from squarely.data.frames.dataframe import DataFrameSource
from squarely.data.source import Source
from squarely.errors import DataError, OptionError, first_line, pluralize
from squarely.storage.disk import local_path

_ACCEPTED_DATA = (
    "Give the path or URL of a CSV, Parquet, Arrow, JSON or Excel file, of a folder of them or a pattern such as 'data/*.csv', "
    "a list of paths, a pandas or Polars DataFrame, a Polars LazyFrame, an Arrow table or dataset, a DuckDB relation, a Spark or "
    "Dask DataFrame, an Ibis table or a dict of arrays."
)
_ONCE_READ = {  # what gives its rows once, although a fit reads them several times
    "pyarrow._dataset.Scanner": "It gives its rows once: pass the dataset itself, or scanner.to_table().",
    "pandas.io.parsers.readers.TextFileReader": "It gives its rows once: pass the path of the file, or pandas.concat(reader).",
    "pandas.io.json._json.JsonReader": "It gives its rows once: pass the path of the file, or pandas.concat(reader).",
    "pandas.io.stata.StataReader": "It gives its rows once: pass the path of the file, or reader.read().",
}
PathLike = str | bytes | os.PathLike[Any]


def open_source(data: object, read: Mapping[str, object] | None = None) -> Source:
    """Open a file, several files, a data frame, a query or a dict of arrays as a Source.

    A folder, a pattern or a list of paths stands for the rows of several files of one kind, one file after another. The files of
    a list keep its order; others are sorted by path. `read` has options of reading files, by the names in `ReadOptions`.

    Raises
    ------
    DataError : the data do not exist, or their kind is not supported.
    OptionError : an option of `read` is unknown, has a wrong value, or does not apply to the data.

    >>> open_source({"x": [1.0, 2.0], "y": [3.0, 5.0]}).columns
    {'x': 'list', 'y': 'list'}
    """
    options = parse_read_options(read)
    is_file = isinstance(data, (str, bytes, os.PathLike)) or _is_path_list(data)
    if not is_file and _is_open_file(data):
        return _open_copy(copy_open_file(data), options)
    if options.explicit and not is_file:
        raise OptionError(f"read= says how to read a file, and the data are of type {type(data).__name__!r}. Leave it out.")
    if isinstance(data, Source):
        return data
    source = _open_paths(data, options) if is_file else _open_any(data)  # type: ignore[arg-type]
    if indexes := source.indexes:
        names = " and ".join(repr(name) if name else "the column without a name" for name in indexes)
        source.notes += (f"{names} as labels of the rows, an index, which '.' in a formula leaves out",)
    return source


def _open_any(data: object) -> Source:
    if isinstance(data, Mapping):
        return ArraysSource(data)
    if isinstance(data, pa.Table):
        return ArrowSource(data)  # narwhals refuses duplicate names
    if "pyarrow.dataset" in sys.modules and isinstance(data, sys.modules["pyarrow.dataset"].Dataset):
        from squarely.data.frames.arrow_dataset import ArrowDatasetSource

        return ArrowDatasetSource(data)
    if "duckdb" in sys.modules and isinstance(data, sys.modules["duckdb"].DuckDBPyRelation):
        from squarely.data.engines.duckdb import DuckDBSource

        return DuckDBSource(data)
    return _open_frame(data)


def _open_frame(data: Any) -> Source:
    """Open a table that narwhals supports, or one that supports the Arrow C interface."""
    if "dask.dataframe" in sys.modules and isinstance(data, sys.modules["dask.dataframe"].DataFrame):
        from squarely.data.engines.dask import DaskSource  # before narwhals, which warns about Dask

        return DaskSource(data)
    try:
        frame = nw.from_native(data, pass_through=True, allow_series=True)
    except nw.exceptions.DuplicateError as error:
        if not nw.dependencies.is_pandas_dataframe(data):
            raise DataError(f"Two columns of the data frame have the same name. Rename one of them. ({error})") from error
        return _open_unique_columns(data)
    if isinstance(frame, nw.DataFrame):
        return DataFrameSource(frame)
    if isinstance(frame, nw.LazyFrame):
        return _open_lazy(frame)
    exports_arrow = hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")
    if isinstance(frame, nw.Series) or not exports_arrow:
        raise DataError(f"Data of type {type(data).__name__!r} is not understood. {_advise(frame)}")
    try:
        table = pa.table(data)
    except Exception as error:  # code of the object runs here and may raise anything
        raise DataError(
            f"The Arrow data of type {type(data).__name__!r} cannot be read as a table with named columns: {first_line(error)}. "
            "Give a table that was not read before, or a single column in a dict under its name."
        ) from error
    return ArrowSource(table, "the Arrow data")


def _open_unique_columns(frame: Any) -> Source:
    """Open a pandas frame in which columns share a name, which a formula then cannot use."""
    twice = frame.columns.duplicated(keep=False)
    source = DataFrameSource(nw.from_native(frame.loc[:, ~twice], eager_only=True))
    source.duplicate_names = frozenset(name for name in frame.columns[twice] if isinstance(name, str))
    source.columns = {**source.columns, **dict.fromkeys(source.duplicate_names, "object")}
    return source


def _open_lazy(frame: nw.LazyFrame[Any]) -> Source:
    if frame.implementation.is_pyspark() or frame.implementation.is_pyspark_connect():
        from squarely.data.engines.spark import SparkSource

        return SparkSource(frame.to_native(), is_connect=frame.implementation.is_pyspark_connect())
    if frame.implementation.is_ibis():
        from squarely.data.engines.ibis import IbisSource

        return IbisSource(frame.to_native())
    if not frame.implementation.is_polars():
        raise DataError(
            f"A table of {frame.implementation.value} is not supported yet. "
            "Write its rows to a Parquet file and give the path, or collect them into a DataFrame."
        )
    from squarely.data.engines.polars_lazy import PolarsLazySource

    return PolarsLazySource(frame)


def _advise(data: object) -> str:
    name = f"{type(data).__module__}.{type(data).__name__}"
    if name in _ONCE_READ:
        return _ONCE_READ[name]
    if isinstance(data, nw.Series):
        return "It is a single column: put the columns into a DataFrame or a dict."
    if isinstance(data, np.ndarray):
        return f"An array of shape {data.shape} has no column names: give it as X= and y=, or each column in a dict."
    if isinstance(data, (list, tuple)):
        if not data:
            return f"It is empty. {_ACCEPTED_DATA}"
        return "A list of rows has no column names: make a DataFrame of it, for example with pandas.DataFrame(rows)."
    return _ACCEPTED_DATA


def _is_open_file(data: Any) -> bool:
    return isinstance(data, io.IOBase) or all(callable(getattr(data, name, None)) for name in ("read", "seek"))


def _is_path_list(data: object) -> TypeGuard[Sequence[PathLike]]:
    return isinstance(data, list | tuple) and len(data) > 0 and all(isinstance(path, (str, bytes, os.PathLike)) for path in data)


def _open_paths(data: PathLike | Sequence[PathLike], options: ReadOptions) -> Source:
    if not isinstance(data, (str, bytes, os.PathLike)):
        return _open_files([_check_path(os.fsdecode(path)) for path in data], options, is_list=True)
    text = _check_path(os.fsdecode(data))
    if (copy := copy_remote(text)) is not None:
        return _open_copy(copy, options)
    path = local_path(text)
    if (kind := detect_readable_table(path)) is not None:
        from squarely.data.files.lake.tables import open_lake_table

        options.require_only((), text, kind.split(" ")[1])
        return open_lake_table(path, kind, text)
    if os.path.isdir(path) or is_pattern(text):
        return _open_files([text], options, is_list=False)
    file = LocalFile.open(path)
    require_no_lake_table([path.absolute()])
    file = decompress(file)
    source = open_reader(detect_file_kind(file, text), file, options)
    source.folder_keys = frozenset(read_folder_keys(path.absolute().parent)).difference(source.columns)
    return source


def _open_copy(copy: LocalFile, options: ReadOptions) -> Source:
    """Open the temporary copy of a URL, a pipe or an open file, which may be compressed."""
    file = decompress(copy)
    return open_reader(detect_file_kind(file, file.label), file, options)


def _open_files(texts: Sequence[str], options: ReadOptions, *, is_list: bool) -> Source:
    files = find_files(texts, is_list=is_list)
    kinds: dict[str, LocalFile] = {}
    opened = [decompress(file) for file in files.files]
    for file in opened:
        kinds.setdefault(detect_file_kind(file, file.label), file)
    if len(kinds) > 1:
        (one, first), (other, second) = list(kinds.items())[:2]
        raise DataError(
            f"The files of {files.label} are of different kinds: {first.label!r} is {one} and {second.label!r} is {other}. "
            "Give files of one kind, for example by a pattern such as 'folder/*.csv'."
        )
    kind = next(iter(kinds))
    readers = [open_reader(kind, file, options) for file in opened]
    constants = parse_constants(files.folders)
    if kind == "JSON lines":  # a line may lack a key, so a file may lack it in all lines: it is NULL there
        pairs = list(zip(readers, constants, strict=True))
        names = dict.fromkeys(name for reader, values in pairs for name in (*reader.columns, *values))
        constants = [{k: values.get(k) for k in names if k in values or k not in reader.columns} for reader, values in pairs]
    readers = [
        HivePartitionSource(reader, values, texts) if values else reader
        for reader, values, texts in zip(readers, constants, files.folders, strict=True)
    ]
    source = ConcatSource(files, readers)
    source.folder_keys = files.folder_keys.difference(source.columns)
    return source


def _check_path(text: str) -> str:
    """Return the text, or raise a DataError if it cannot be a path on this machine."""
    if "\0" in text:
        raise DataError("The path has a null character in it. Give the path of a file.")
    if not text.strip():
        raise DataError("The path of the data is empty. Give the path of a file.")
    return plain_file_path(text)


def open_new_rows(data: Any, names: tuple[str, ...] | None, read: Mapping[str, object] | None = None) -> Source:
    """Open new rows for a fit; if it was fitted to X and y, with `names` of X, an array (m, p) may come without names.

    A dict may have a single value for a column, which holds in every row; one row if all of them are single values.

    Raises
    ------
    DataError : the array and X have different numbers of columns, or as `open_source`.
    """
    if isinstance(data, Mapping):
        return open_source(with_one_length(data), read)
    if names is None or _is_path_list(data) or not isinstance(data, np.ndarray | list | tuple):
        return open_source(data, read)
    columns = named_columns(data)
    if len(columns) != len(names):
        raise DataError(f"The new rows have {pluralize(len(columns), 'column')}, and X had {len(names):,}. Give the same columns.")
    return ArraysSource(dict(zip(names, columns.values(), strict=True)), "the new rows")
