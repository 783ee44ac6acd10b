"""Columns with a value for each row, in the library that the rows are in, alone or beside columns of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from squarely.data.frames.dataframe import DataFrameSource
from squarely.data.source import Source
from squarely.numerics import Array


def labeled_frame(source: Source, columns: Mapping[str, Array], rows: np.ndarray) -> Any:
    """Return columns (k,) of the rows at some positions as a frame.

    A library without row labels gets a first column `row`, counted from 1.
    """
    frame = source.from_table(pa.table(dict(columns)), rows)
    if nw.maybe_get_index(nw.from_native(frame)) is not None:
        return frame
    return source.from_table(pa.table({"row": source.row_numbers(rows), **columns}), rows)


def augment_rows(source: Source, names: Sequence[str], rows: np.ndarray, columns: Mapping[str, Array]) -> Any:
    """Return columns of the rows at some positions (k,), with further columns (k,) beside them, as a frame.

    The columns have the types of the data; numbers in text, such as those of CSV, are doubles.
    """
    if isinstance(source, DataFrameSource):
        stored = source.take(names, rows)
    else:
        stored = source.from_table(_read_stored(source, names, rows), rows)
    further = source.from_table(pa.table(dict(columns)), rows)
    return nw.to_native(nw.concat([nw.from_native(frame) for frame in (stored, further)], how="horizontal"))


def _read_stored(source: Source, names: Sequence[str], rows: np.ndarray) -> pa.Table:
    numbers = [name for name in names if not source.typed and source.kind(name) == "number"]
    labels = [name for name in names if name not in numbers]
    table = pa.Table.from_batches(list(source.read(numbers, labels))).rename_columns([*numbers, *labels])
    return table.take(pa.array(rows)).select(list(names))
