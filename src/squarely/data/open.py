"""Open whatever a user hands over as data: the one place where its kind is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from squarely.data.arrow import ArrowArray, ArrowSource, ArrowStream, arrow_table
from squarely.data.disk import local_path
from squarely.data.file import LocalFile
from squarely.data.memory import ArraysSource, FrameSource
from squarely.data.source import Source
from squarely.errors import DataError

_KNOWN = (
    "Give the path of a CSV, Parquet, Arrow or JSON-lines file, a pandas or Polars DataFrame, a Polars LazyFrame, an Arrow table, "
    "a DuckDB relation or a dict of arrays."
)
_PARQUET, _ARROW, _JSON, _CSV = "Parquet", "Arrow", "JSON lines", "CSV"
_A = {_PARQUET: "a Parquet", _ARROW: "an Arrow"}
_SUFFIXES = {
    ".parquet": _PARQUET, ".pq": _PARQUET,
    ".arrow": _ARROW, ".arrows": _ARROW, ".feather": _ARROW, ".ipc": _ARROW,
    ".jsonl": _JSON, ".ndjson": _JSON, ".json": _JSON,
    ".csv": _CSV, ".tsv": _CSV,
}  # fmt: skip


def open_source(data: object) -> Source:
    """Open a file, a frame, a query or a dict of arrays as a Source.

    Raises
    ------
    DataError : nothing is there, or the kind is not understood.

    >>> open_source({"x": [1.0, 2.0], "y": [3.0, 5.0]}).columns
    {'x': 'list', 'y': 'list'}
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, (str, bytes, os.PathLike)):
        return _open_path(os.fsdecode(data))
    if isinstance(data, Mapping):
        return ArraysSource(data)
    if isinstance(data, pa.Table):
        return ArrowSource(data)  # which may have twins
    if "duckdb" in sys.modules:  # a relation comes from nowhere else
        from squarely.data.relation import DuckDBPyRelation, RelationSource

        if isinstance(data, DuckDBPyRelation):
            return RelationSource(data)
    return _open_frame(data)


def _open_frame(data: Any) -> Source:
    """Open what narwhals knows, and what it does not know but speaks Arrow."""
    try:
        frame = nw.from_native(data, pass_through=True, allow_series=True)
    except nw.exceptions.DuplicateError as error:
        raise DataError(f"Two columns of the data frame have the same name. Give each its own. ({error})") from error
    if isinstance(frame, nw.DataFrame):
        return FrameSource(frame)
    if isinstance(frame, nw.LazyFrame):
        return _open_lazy(frame)
    if isinstance(frame, nw.Series):
        raise DataError(f"{_unknown(data)} It is a single column: put the columns side by side into a DataFrame or a dict.")
    if isinstance(data, (ArrowStream, ArrowArray)):
        return ArrowSource(arrow_table(data), "the Arrow data")
    raise DataError(f"{_unknown(data)} {_advice(data)}")


def _open_lazy(frame: nw.LazyFrame[Any]) -> Source:
    if not frame.implementation.is_polars():
        raise DataError(
            f"A table of {frame.implementation.value} is not opened yet. "
            "Write its rows to a Parquet file and give the path, or collect them into a DataFrame."
        )
    from squarely.data.lazyframe import LazyFrameSource

    return LazyFrameSource(frame)


def _unknown(data: object) -> str:
    return f"Data of type {type(data).__name__!r} is not understood."


def _advice(data: object) -> str:
    if isinstance(data, np.ndarray):
        return f"An array of shape {data.shape} has no names for its columns: give it as X= and y=, or each column in a dict."
    if isinstance(data, (list, tuple)):
        return "Rows in a list have no columns yet: make a DataFrame of them, for example with pandas.DataFrame(rows)."
    return _KNOWN


def _open_path(text: str) -> Source:
    if "://" in text:
        raise DataError(f"{text!r} is a URL, and URLs are not opened yet. Download the file and give its path.")
    if "\0" in text:
        raise DataError("The path has a null character in it. Give the path of a file.")
    if not text.strip():
        raise DataError("The path of the data is empty. Give the path of a file.")
    path = local_path(text)
    if any(sign in text for sign in "*?[") and not path.exists():
        raise DataError(f"{text!r} looks like a pattern of several files, which is not opened yet. Give the path of one file.")
    return _open_file(LocalFile.open(path), text)


def _open_file(file: LocalFile, text: str) -> Source:
    """Open a file as what its content says; a name that says something else is an error, for one of the two is wrong."""
    suffix = Path(text.lower().removesuffix(".gz")).suffix
    named, met = _SUFFIXES.get(suffix), file.content()
    if met in {"Excel or zip", "Excel"}:
        raise DataError(
            f"{text!r} is an {met} file, which is not opened. Save the sheet as CSV, or load it with pandas.read_excel."
        )
    if met in {"Feather version 1", "SQLite"}:
        raise DataError(f"{text!r} is a {met} file, which is not opened. Load it as a DataFrame and pass that.")
    if named and named != met and (met or named in {_PARQUET, _ARROW}):
        what = f"those of {_A[met]} file" if met else f"not those of {_A[named]} file: it is text or damaged"
        raise DataError(f"{text!r} is called {suffix}, but its first bytes are {what}. Give it the name of what it is.")
    return _reader(met or named or _CSV, file)


def _reader(kind: str, file: LocalFile) -> Source:
    """Import what reads a kind of file only when there is one."""
    if kind == _PARQUET:
        from squarely.data.parquet import ParquetSource

        return ParquetSource(file)
    if kind == _ARROW:
        from squarely.data.ipc import IpcSource

        return IpcSource(file)
    if kind == _JSON:
        from squarely.data.jsonlines import JsonLinesSource

        return JsonLinesSource(file)
    from squarely.data.csv import CsvSource

    return CsvSource(file.given)
