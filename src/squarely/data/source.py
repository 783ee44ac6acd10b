"""A Source: rows, wherever they are, met as ordered batches; and the one cast from what an engine gives to doubles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from squarely.data.account import RowAccount
from squarely.errors import DataError, did_you_mean
from squarely.numerics import Array

BATCH_ROWS = 65_536
EXACT_INTEGERS = 2.0**53

T = TypeVar("T")
B = TypeVar("B")


class Source(ABC):
    """Where rows are. A source can be scanned as often as is needed and gives its rows in the same order each time.

    Attributes
    ----------
    label : what messages call it, such as the file's name.
    columns : name -> type, as the engine calls it.
    twins : names that stand twice or more; a formula cannot use them.
    """

    label: str
    columns: Mapping[str, str]
    twins: frozenset[str] = frozenset()

    @abstractmethod
    def read(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order of the rows, columns in the order of `names`.

        With no names the batches have one column of no meaning: they tell how many rows there are.
        """

    def index(self, rows: np.ndarray) -> Any:
        """Give the labels of rows by their position: their numbers, unless the source has labels of its own."""
        return rows


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Block:
    """Rows that are complete in every asked column.

    Attributes
    ----------
    values : (m, k) doubles, a column for each asked name.
    rows : (m,) positions of these rows in the source, counted from 0.
    account : the account of the rows of this batch, the incomplete ones among them.
    """

    values: Array
    rows: np.ndarray
    account: RowAccount


def fold(batches: Iterable[B], step: Callable[[B], T], merge: Callable[[T, T], T], start: T) -> T:
    """Learn from rows: apply `step` to each batch and `merge` the outcomes in the order of the batches."""
    total = start
    for batch in batches:
        total = merge(total, step(batch))
    return total


def require_columns(source: Source, names: Iterable[str]) -> None:
    """Raise a DataError that suggests the nearest name when a column is not there, exactly as spelt."""
    for name in names:
        if name not in source.columns:
            raise DataError(f"There is no column {name!r} in {source.label}. {did_you_mean(name, source.columns)}")
        if name in source.twins:
            raise DataError(f"{source.label} has two or more columns called {name!r}. Give each column a name of its own.")


def complete_blocks(source: Source, names: Sequence[str]) -> Iterator[Block]:
    """Yield the complete rows of the named columns as doubles, with the account of what was dropped.

    Raises
    ------
    DataError : a column is not there, or holds something that is not a number (the row and value are named).
    """
    require_columns(source, names)
    first = 0
    for batch in source.read(names):
        yield _complete(source, names, batch, first)
        first += batch.num_rows


def _complete(source: Source, names: Sequence[str], batch: pa.RecordBatch, first: int) -> Block:
    columns, dropped, rounded, casts = [], {}, {}, {}
    keep = np.ones(batch.num_rows, dtype=bool)
    for name, column in zip(names, batch.columns, strict=False):
        x, null = _doubles(source, name, column, first)
        finite = np.isfinite(x)
        if not finite.all():
            nan = np.isnan(x) & ~null
            dropped[name] = {"null": int(null.sum()), "nan": int(nan.sum()), "inf": int(np.isinf(x).sum())}
            keep &= finite
        integers = pa.types.is_integer(column.type) or "INT" in source.columns[name]  # a file's are read as doubles
        if integers and (beyond := int((finite & (np.abs(x) >= EXACT_INTEGERS)).sum())):
            rounded[name] = beyond
        if pa.types.is_boolean(column.type) or pa.types.is_decimal(column.type):
            casts[name] = str(column.type)
        columns.append(x)
    values = np.column_stack(columns) if columns else np.empty((batch.num_rows, 0))
    rows = np.arange(first, first + batch.num_rows)
    if not keep.all():
        values, rows = values[keep], rows[keep]
    account = RowAccount(read=batch.num_rows, used=len(rows), dropped=dropped, rounded=rounded, casts=casts)
    return Block(values=values, rows=rows, account=account)


def _doubles(source: Source, name: str, column: pa.Array, first: int) -> tuple[Array, np.ndarray]:
    """Cast a column to doubles (NULL becomes NaN) and say where NULL was."""
    kind = column.type
    null = np.zeros(len(column), dtype=bool) if column.null_count == 0 else column.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif pa.types.is_null(kind):
        return np.full(len(column), np.nan), null
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise _not_numeric(source, name, column, first)
    x = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return x, null


def _not_numeric(source: Source, name: str, column: pa.Array, first: int) -> DataError:
    what = "text" if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) else str(column.type)
    for row, value in enumerate(column.to_pylist(), start=first + 1):
        if value is not None and not _reads_as_number(value):
            return DataError(
                f"Column {name!r} of {source.label} holds {what}, not a number: {value!r} in data row {row:,}. "
                "Correct or clear that value, or leave the column out; categorical columns are not understood yet."
            )
    return DataError(
        f"Column {name!r} of {source.label} is stored as {what}, not as numbers. Convert it before the fit, "
        "for example with pandas.to_numeric."
    )


def _reads_as_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]  # anything else is what the except is for
    except (TypeError, ValueError):
        return False
    return True
