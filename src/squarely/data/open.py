"""Open whatever a user hands over as data: the one place where its kind is told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import narwhals as nw

from squarely.data.memory import ArraysSource, FrameSource
from squarely.data.source import Source
from squarely.errors import DataError


def open_source(data: object) -> Source:
    """Open a CSV path, a data frame in memory or a dict of arrays as a Source.

    Raises
    ------
    DataError : nothing is there, or the kind is not understood.

    >>> open_source({"x": [1.0, 2.0], "y": [3.0, 5.0]}).columns
    {'x': 'list', 'y': 'list'}
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, (str, os.PathLike)):
        return _open_path(os.fspath(data))
    if isinstance(data, Mapping):
        return ArraysSource(data)
    try:
        frame = nw.from_native(data, eager_only=True)
    except nw.exceptions.DuplicateError as error:
        raise DataError(f"Two columns of the data frame have the same name. Give each its own. ({error})") from error
    except TypeError:
        raise DataError(
            f"Data of type {type(data).__name__!r} is not understood. "
            "Give the path of a CSV file, a pandas DataFrame, an Arrow table or a dict of arrays."
        ) from None
    return FrameSource(frame)


def _open_path(path: str | bytes) -> Source:
    from squarely.data.csv import CsvSource  # DuckDB is imported only when a file is opened

    text = os.fsdecode(path)
    if "://" in text:
        raise DataError(f"{text!r} is a URL, and URLs are not opened yet. Download the file and give its path.")
    if text.lower().endswith((".parquet", ".arrow", ".feather", ".json", ".jsonl", ".xlsx", ".xls")):
        raise DataError(f"{text!r} is not a CSV file, and only CSV files are opened yet. Load it as a DataFrame and pass that.")
    if "\0" in text:
        raise DataError("The path has a null character in it. Give the path of a CSV file.")
    return CsvSource(Path(text))
