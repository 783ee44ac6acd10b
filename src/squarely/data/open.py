"""Open whatever a user hands over as data: the one place where its kind is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import narwhals as nw
import numpy as np
import pyarrow as pa

from squarely.data.files.concat import ConcatSource
from squarely.data.files.hive_partitions import HivePartitionSource, parse_constants, read_folder_keys
from squarely.data.files.lake_formats import require_no_lake_table
from squarely.data.files.local_file import LocalFile, named_kind
from squarely.data.files.paths import find_files, is_pattern
from squarely.data.frames.arrays import ArraysSource, named_columns
from squarely.data.frames.arrow import ArrowArray, ArrowSource, ArrowStream, to_arrow_table
from squarely.data.frames.dataframe import DataFrameSource
from squarely.data.source import Source
from squarely.errors import DataError, pluralize
from squarely.storage.disk import local_path

_ACCEPTED_DATA = (
    "Give the path of a CSV, Parquet, Arrow or JSON-lines file, of a folder of them or a pattern such as 'data/*.csv', a list of "
    "paths, a pandas or Polars DataFrame, a Polars LazyFrame, an Arrow table, a DuckDB relation, a Spark or Dask DataFrame, an "
    "Ibis table or a dict of arrays."
)
PathLike = str | bytes | os.PathLike[Any]
_WITH_ARTICLE = {"Parquet": "a Parquet", "Arrow": "an Arrow"}


def open_source(data: object) -> Source:
    """Open a file, several files, a frame, a query or a dict of arrays as a Source.

    A folder, a pattern or a list of paths names several files of one kind, whose rows follow each other: those of a list in its
    order, the others in the order of their paths.

    Raises
    ------
    DataError : nothing is there, or the kind is not understood.

    >>> open_source({"x": [1.0, 2.0], "y": [3.0, 5.0]}).columns
    {'x': 'list', 'y': 'list'}
    """
    if isinstance(data, Source):
        return data
    source = _open_any(data)
    if indexes := source.indexes:
        names = " and ".join(repr(name) if name else "the column without a name" for name in indexes)
        source.notes += (f"{names} as labels of the rows, an index, which '.' in a formula leaves out",)
    return source


def _open_any(data: object) -> Source:
    if isinstance(data, (str, bytes, os.PathLike)) or is_path_list(data):
        return _open_paths(data)
    if isinstance(data, Mapping):
        return ArraysSource(data)
    if isinstance(data, pa.Table):
        return ArrowSource(data)  # which may have twins
    if "duckdb" in sys.modules:  # a relation comes from nowhere else
        from squarely.data.engines.duckdb import DuckDBPyRelation, DuckDBSource

        if isinstance(data, DuckDBPyRelation):
            return DuckDBSource(data)
    return _open_frame(data)


def _open_frame(data: Any) -> Source:
    """Open what narwhals knows, and what it does not know but speaks Arrow."""
    if "dask.dataframe" in sys.modules and isinstance(data, sys.modules["dask.dataframe"].DataFrame):
        from squarely.data.engines.dask import DaskSource  # before narwhals, which warns of its own plans for Dask

        return DaskSource(data)
    try:
        frame = nw.from_native(data, pass_through=True, allow_series=True)
    except nw.exceptions.DuplicateError as error:
        raise DataError(f"Two columns of the data frame have the same name. Give each its own. ({error})") from error
    if isinstance(frame, nw.DataFrame):
        return DataFrameSource(frame)
    if isinstance(frame, nw.LazyFrame):
        return _open_lazy(frame)
    if isinstance(frame, nw.Series):
        raise DataError(
            f"{_describe_unknown(data)} It is a single column: put the columns side by side into a DataFrame or a dict."
        )
    if isinstance(data, (ArrowStream, ArrowArray)):
        return ArrowSource(to_arrow_table(data), "the Arrow data")
    raise DataError(f"{_describe_unknown(data)} {_advise(data)}")


def _open_lazy(frame: nw.LazyFrame[Any]) -> Source:
    if frame.implementation.is_pyspark() or frame.implementation.is_pyspark_connect():
        from squarely.data.engines.spark import SparkSource

        return SparkSource(frame.to_native(), is_connect=frame.implementation.is_pyspark_connect())
    if frame.implementation.is_ibis():
        from squarely.data.engines.ibis import IbisSource

        return IbisSource(frame.to_native())
    if not frame.implementation.is_polars():
        raise DataError(
            f"A table of {frame.implementation.value} is not opened yet. "
            "Write its rows to a Parquet file and give the path, or collect them into a DataFrame."
        )
    from squarely.data.engines.polars_lazy import PolarsLazySource

    return PolarsLazySource(frame)


def _describe_unknown(data: object) -> str:
    return f"Data of type {type(data).__name__!r} is not understood."


def _advise(data: object) -> str:
    if isinstance(data, np.ndarray):
        return f"An array of shape {data.shape} has no names for its columns: give it as X= and y=, or each column in a dict."
    if isinstance(data, (list, tuple)):
        if not data:
            return f"It is empty. {_ACCEPTED_DATA}"
        return "Rows in a list have no columns yet: make a DataFrame of them, for example with pandas.DataFrame(rows)."
    return _ACCEPTED_DATA


def is_path_list(data: object) -> TypeGuard[Sequence[PathLike]]:
    """Tell whether data are a list of paths."""
    return isinstance(data, list | tuple) and len(data) > 0 and all(isinstance(path, (str, bytes, os.PathLike)) for path in data)


def _open_paths(data: PathLike | Sequence[PathLike]) -> Source:
    if not isinstance(data, (str, bytes, os.PathLike)):
        return _open_files([_check_path(os.fsdecode(path)) for path in data], is_list=True)
    text = _check_path(os.fsdecode(data))
    path = local_path(text)
    if os.path.isdir(path) or is_pattern(text):
        return _open_files([text], is_list=False)
    file = LocalFile.open(path)
    require_no_lake_table([path.absolute()])
    source = _open_reader(_detect_kind(file, text), file)
    source.folder_keys = frozenset(read_folder_keys(path.absolute().parent)).difference(source.columns)
    return source


def _open_files(texts: Sequence[str], *, is_list: bool) -> Source:
    files = find_files(texts, is_list=is_list)
    kinds: dict[str, LocalFile] = {}
    for file in files.files:
        kinds.setdefault(_detect_kind(file, file.label), file)
    if len(kinds) > 1:
        (one, first), (other, second) = list(kinds.items())[:2]
        raise DataError(
            f"The files of {files.label} are of different kinds: {first.label!r} is {one} and {second.label!r} is {other}. "
            "Give files of one kind, for example by a pattern such as 'folder/*.csv'."
        )
    kind = next(iter(kinds))
    readers = [_open_reader(kind, file) for file in files.files]
    values = parse_constants(files.folders)
    readers = [
        HivePartitionSource(reader, value, texts) if texts else reader
        for reader, value, texts in zip(readers, values, files.folders, strict=True)
    ]
    # A line of JSON need not have every key, so a file of such lines need not have it either.
    source = ConcatSource(files, readers, may_lack=kind == "JSON lines")
    source.folder_keys = files.folder_keys.difference(source.columns)
    return source


def _check_path(text: str) -> str:
    """Refuse what cannot be a path on this machine."""
    if "://" in text:
        raise DataError(f"{text!r} is a URL, and URLs are not opened yet. Download the file and give its path.")
    if "\0" in text:
        raise DataError("The path has a null character in it. Give the path of a file.")
    if not text.strip():
        raise DataError("The path of the data is empty. Give the path of a file.")
    return text


def _detect_kind(file: LocalFile, text: str) -> str:
    """Tell a file's kind from its content; a name that says something else is an error, for one of the two is wrong."""
    named, met = named_kind(text), file.detect_kind()
    if met in {"Excel or zip", "Excel"}:
        raise DataError(
            f"{text!r} is an {met} file, which is not opened. Save the sheet as CSV, or load it with pandas.read_excel."
        )
    if met in {"Feather version 1", "SQLite"}:
        raise DataError(f"{text!r} is a {met} file, which is not opened. Load it as a DataFrame and pass that.")
    if named and named != met and (met or named in _WITH_ARTICLE):
        what = f"that of {_WITH_ARTICLE[met]} file" if met else f"not that of {_WITH_ARTICLE[named]} file: it is text or damaged"
        suffix = Path(text.lower().removesuffix(".gz")).suffix
        raise DataError(f"{text!r} is called {suffix}, but its content is {what}. Give it the name of what it is.")
    return met or named or "CSV"


def _open_reader(kind: str, file: LocalFile) -> Source:
    """Import what reads a kind of file only when there is one."""
    if kind == "Parquet":
        from squarely.data.files.parquet import ParquetSource

        return ParquetSource(file)
    if kind == "Arrow":
        from squarely.data.files.arrow_ipc import IpcSource

        return IpcSource(file)
    if kind == "JSON lines":
        from squarely.data.files.json_lines import JsonLinesSource

        return JsonLinesSource(file)
    from squarely.data.files.csv.source import CsvSource

    return CsvSource(file)


def open_new_rows(data: Any, names: tuple[str, ...] | None) -> Source:
    """Open new rows for a fit; one that was given X and y takes an array (m, p) without names, too.

    Raises
    ------
    DataError : an array has another number of columns than X had, or `open_source` does not know the data.
    """
    if names is None or is_path_list(data) or not isinstance(data, np.ndarray | list | tuple):
        return open_source(data)
    columns = named_columns(data)
    if len(columns) != len(names):
        raise DataError(f"The new rows have {pluralize(len(columns), 'column')}, and X had {len(names):,}. Give the same columns.")
    return ArraysSource(dict(zip(names, columns.values(), strict=True)), "the new rows")
