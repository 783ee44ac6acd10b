"""The contract `Source`: rows anywhere, read as ordered batches."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import narwhals as nw
import numpy as np
import pyarrow as pa

from squarely.data.dtypes import Kind, Level, grouped_digits_pattern, parses_as_number
from squarely.data.header_hints import header_hint
from squarely.data.pandas_io import PandasReadCall, to_series
from squarely.data.query import ColumnInfo, Engine, Query, Row
from squarely.data.tree_reduce import Branch
from squarely.errors import DataError, suggest_name
from squarely.numerics import Array

T = TypeVar("T")
PlacedBatch = tuple[int, pa.RecordBatch]  # the position of its first row, and a batch

Columns = tuple[Sequence[str], Sequence[str]]  # names of columns to read as numbers, and to read as categories

BATCH_ROWS = 65_536
DECIMAL_COMMA = "decimal comma"
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True, slots=True)
class RowRange:
    """Consecutive rows of a source that can be read without the rows before them.

    Attributes
    ----------
    start : position of the first row in the source, counted from 0.
    rows : number of rows, None if only a scan can tell.
    """

    start: int
    rows: int | None


class Source(ABC):
    """Rows of a table. A source can be scanned many times and gives its rows in the same order each time.

    Attributes
    ----------
    label : its name in messages, such as the file's name.
    columns : name -> type, as the engine calls it.
    duplicate_names : names of two or more columns; a formula cannot use them.
    typed : whether the engine knows the types; if not, labels are text, and their kind follows from the values.
    index_columns : columns in which pandas or R has stored row labels; '.' in a formula leaves them out.
    name_hint : advice for a name that the source does not have, such as another sheet of a workbook, "" for none.
    header_error : why a fit does not take the names from the first line of a file, "" if it does.
    folder_keys : keys of folders named key=value that contain all rows and are not columns.
    thousands : the sign between groups of digits in numbers in text, "" for none.
    notes : how the rows are written, such as with a decimal comma; the summary prints it.
    dialect : what was found about a file, such as "delimiter"; empty for data that are not in a file.
    null_words : the texts that mean a missing value, for a source that is not typed.
    pandas_call : how pandas reads the same file, None if the rows are not in a file.
    is_file : whether this process decodes the rows from files, so that decoding ahead pays.
    is_parsed : whether each pass parses text, so that it pays to store the columns for the next pass.
    engine : computes aggregates where the rows are; None for a source of batches alone.
    ordered : whether the rows have an order.
    partitioned : whether the rows are in other processes. `reduce_partitions` works on them there; `read` transfers them.
    partition_count : number of partitions, None if unknown.
    """

    label: str
    columns: Mapping[str, str]
    duplicate_names: frozenset[str] = frozenset()
    index_columns: frozenset[str] = frozenset()
    name_hint: str = ""
    header_error: str = ""
    folder_keys: frozenset[str] = frozenset()
    typed: bool = True
    thousands: str = ""
    notes: tuple[str, ...] = ()
    dialect: Mapping[str, str] = MappingProxyType({})
    null_words: tuple[str, ...] = ()
    pandas_call: PandasReadCall | None = None
    is_file: bool = False
    is_parsed: bool = False
    engine: Engine | None = None
    ordered: bool = True
    partitioned: bool = False
    partition_count: int | None = None
    _rows: int | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label!r}>"

    @property
    def rows(self) -> int | None:
        """The number of rows, None if only a scan can tell."""
        return self._rows

    @property
    def is_redrawn(self) -> bool:
        """Whether two passes may have different rows, as those of a loader that draws with replacement."""
        return False

    @property
    def takes_na_values(self) -> bool:
        """Whether read={'na_values': ...} applies: text, JSON and workbooks."""
        return not self.typed or self.dialect.get("format") in ("Excel", "JSON lines")

    @property
    def decimal_comma(self) -> bool:
        """Whether numbers in text have a decimal comma."""
        return DECIMAL_COMMA in self.notes

    def parses_as_number(self, value: object) -> bool:
        """Return whether a text of a column is a number, as its text is written."""
        if self.thousands and isinstance(value, str) and self.thousands in value:
            if not re.fullmatch(grouped_digits_pattern(self.thousands), value):
                return False
            value = value.replace(self.thousands, "")
        return parses_as_number(value, decimal_comma=self.decimal_comma)

    @property
    def indexes(self) -> list[str]:
        """The index columns of pandas, known from the file or by the name that pandas gives to an unnamed index."""
        return [name for name in self.columns if name in self.index_columns or _UNNAMED_INDEX.fullmatch(name)]

    @property
    def dot_columns(self) -> list[str]:
        """The columns that '.' in a formula stands for, with the response."""
        indexes = self.indexes
        return [name for name in self.columns if name not in indexes]

    @abstractmethod
    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield batches of columns in the order of the rows: `numbers` to read as numbers, then `labels` as categories.

        A name may be in both. Without any name the batches have one column without meaning, and count the rows. A source
        that is not typed gives labels as text.
        """

    def head(self, names: Sequence[str], rows: int) -> pa.Table:
        """Return columns of the first rows as stored; a source that is not typed gives its text, as it is in the file."""
        columns: list[list[pa.Array]] = [[] for _ in names]
        for batch in self.read([], names) if names else ():
            for pieces, column in zip(columns, batch.columns, strict=True):
                pieces.append(column.slice(0, rows))
            rows -= batch.num_rows
            if rows <= 0:
                break
        return pa.table([pa.chunked_array(pieces) if pieces else pa.nulls(0) for pieces in columns], names=list(names))

    def parts(self) -> tuple[RowRange, ...]:
        """Return the parts that can be read alone, in order; one part if the rows can only be read in sequence."""
        return (RowRange(0, self.rows),)

    def read_parts(self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]) -> Iterator[PlacedBatch]:
        """Yield batches as `read` does, each with the position of its first row, for the parts with the numbers in `order`.

        A source with more than one part overrides this.
        """
        for _ in order:
            yield from with_row_positions(self.read(numbers, labels))

    def reduce_partitions(self, columns: Columns, work: Callable[[Source], T], merge: Callable[[T, T], T]) -> Iterable[Branch[T]]:
        """Run `work` on each partition, in the process that holds it, and return the results in the order of the partitions.

        `work` receives a source of these columns that can be read once. Some neighboring results may be merged remotely; each
        result has its number of partitions. `reduce_all` makes the same bits of them, whichever process merged. Both functions
        and the results are pickled.
        """
        raise NotImplementedError(f"{self.label} is not partitioned")

    def map_first_partition(self, columns: Columns, work: Callable[[Source], T]) -> T | None:
        """Return the result of the first partition alone; None if that would cost as much as all of them."""
        return None

    def with_columns(self, names: Sequence[str], columns: Columns, work: Callable[[Source], Iterator[Array]]) -> Any:
        """Return the user's table with k more columns of doubles, computed by the processes that hold the rows.

        `work` receives a partition as in `reduce_partitions`, and yields an array (k, m) of values for each batch. No row is
        transferred, and the table may be lazy. A library whose columns know their table returns the new columns alone.
        """
        raise NotImplementedError(f"{self.label} is not partitioned")

    @abstractmethod
    def kind(self, name: str) -> Kind:
        """Return the kind of a column."""

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Return the levels of a categorical column in their declared order, None if it has none."""
        return None

    def require_unchanged(self) -> None:  # noqa: B027  # most sources have nothing to check
        """Raise a DataError if a file of a source that is parsed has changed since it was opened."""

    def require_engine(self) -> Engine:
        """Return the engine, or raise a DataError if the source has none."""
        if self.engine is None:
            raise DataError(
                f"{self.label} has batches of rows but no aggregates. Open it as a Polars LazyFrame, such as "
                "polars.scan_parquet(path), or as a DuckDB relation, such as duckdb.read_parquet(path), or leave fold= out."
            )
        return self.engine

    def aggregate(self, query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str] = ()) -> list[Row]:
        """Compute results where the rows are: one row for each combination of the keys, a single row without keys."""
        raise NotImplementedError(f"a source with {self.require_engine()} implements this")

    def aggregate_table(self, query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str]) -> pa.Table:
        """Compute results by groups as a table; one of `query.group_limit` rows has some of the groups and results alone."""
        raise NotImplementedError(f"a source with {self.require_engine()} implements this")

    def column_info(self, name: str) -> ColumnInfo:
        """Describe a column for aggregates; only a source with an engine needs it."""
        raise NotImplementedError(f"a source with {self.require_engine()} implements this for {name!r}")

    def sum_squared_differences(self, query: Query, column: str) -> float:
        """Sum the squared differences of a column of a query from row to row; NaN if the rows have no fixed order."""
        return math.nan

    def sort_by(self, name: str) -> Source:
        """Return the same rows in the order of a column, or raise a DataError if it determines none, or they have one already."""
        raise DataError(
            f"The rows of {self.label} have an order already, which Durbin-Watson uses. Sort them by {name!r} first, and leave "
            "order_by= out."
        )

    @property
    def alternative(self) -> str:
        """Advice for what aggregates cannot do."""
        if self.require_engine().aggregates_only:
            return f"Write the rows of {self.label} to a Parquet file and fit that"
        return f"Fit with fold='batches', which reads the rows of {self.label} and can"

    def row_number(self, row: int) -> int:
        """Return the number of a row for messages, from its position; most users count from 1."""
        return int(self.row_numbers(np.array([row]))[0])

    def row_numbers(self, rows: np.ndarray) -> np.ndarray:
        """Return these numbers (k,) of several rows."""
        return rows + 1

    def index(self, rows: np.ndarray) -> Any:
        """Return the labels of rows at some positions: the positions, unless the source has labels."""
        return rows

    def column(self, values: Array, name: str) -> Any:
        """Return values (n,), one for each row, as a column of the library that holds the rows, by default pandas."""
        return to_series(values, self.index(np.arange(len(values))), name)

    def frame(self, columns: Mapping[str, Array]) -> Any:
        """Return columns (n,), one value for each row, as a frame of the library that holds the rows, by default pandas."""
        return self.from_table(table := pa.table(dict(columns)), np.arange(len(table)))

    def from_table(self, table: pa.Table, rows: np.ndarray) -> Any:
        """Return a table of the rows at some positions as a frame of the library that holds the rows, by default pandas."""
        return table.to_pandas().set_axis(self.index(rows))


class DerivedSource(Source):
    """A source made of another one, `parent`, with the same columns."""

    def __init__(self, parent: Source) -> None:
        self.parent, self.label, self.columns = parent, parent.label, parent.columns
        self.duplicate_names, self.index_columns = parent.duplicate_names, parent.index_columns
        self.typed, self.notes, self.thousands = parent.typed, parent.notes, parent.thousands
        self.is_file, self.is_parsed = parent.is_file, parent.is_parsed
        self.dialect, self.null_words, self.header_error = parent.dialect, parent.null_words, parent.header_error
        self.name_hint = parent.name_hint

    def require_unchanged(self) -> None:
        self.parent.require_unchanged()

    def parent_rows(self, rows: np.ndarray) -> np.ndarray:
        """Turn positions (k,) of rows into their positions (k,) in the parent."""
        return rows

    def kind(self, name: str) -> Kind:
        return self.parent.kind(name)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Return the levels that the parent declares, whether or not they occur here."""
        return self.parent.category_order(name)

    def row_numbers(self, rows: np.ndarray) -> np.ndarray:
        return self.parent.row_numbers(self.parent_rows(rows))

    def index(self, rows: np.ndarray) -> Any:
        return self.parent.index(self.parent_rows(rows))


def is_aggregate_only(source: Source) -> bool:
    """Return whether a source only computes aggregates, and its rows are never read."""
    return source.engine is not None and source.engine.aggregates_only


def require_local(source: Source, purpose: str, advice: str) -> None:
    """Raise a DataError if the rows of a source are elsewhere, and a purpose would transfer them to this process."""
    if is_aggregate_only(source) or source.partitioned:
        where = f"stay in {source.require_engine().name}" if is_aggregate_only(source) else "are in other processes"
        raise DataError(
            f"The rows of {source.label} {where}, and to {purpose} would bring them here. {advice}, or write them to a folder of "
            "Parquet files and give that."
        )


def with_row_positions(batches: Iterable[pa.RecordBatch], first: int = 0) -> Iterator[PlacedBatch]:
    """Yield consecutive batches, each with the position of its first row."""
    for batch in batches:
        yield first, batch
        first += batch.num_rows


def total_rows(counts: Sequence[int | None]) -> int | None:
    """Add numbers of rows; return None if one is unknown."""
    return None if None in counts else sum(rows for rows in counts if rows is not None)


def require_columns(source: Source, names: Iterable[str]) -> None:
    """Raise a DataError with a suggestion unless columns of exactly these names exist, once each."""
    if source.header_error:
        raise DataError(source.header_error)
    for name in names:
        if name not in source.columns:
            if name in source.folder_keys:
                raise DataError(
                    f"There is no column {name!r} in {source.label}: it is the key of a folder that contains all rows, with one "
                    "value. Give a folder above it to read several values, or leave it out."
                )
            hint = source.name_hint if source.typed else header_hint(list(source.columns), name)
            known = suggest_name(name, source.columns)
            hint = "" if source.typed and known.startswith("Did you mean") else hint
            raise DataError(f"There is no column {name!r} in {source.label}. {known} {hint}".rstrip())
        if name in source.duplicate_names:
            raise DataError(f"{source.label} has two or more columns called {name!r}. Rename all but one.")


def record_batches(columns: Sequence[pa.Array | pa.ChunkedArray], rows: int, size: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """Cut columns into batches; without columns, one column of nulls counts the rows."""
    names = [str(i) for i in range(max(len(columns), 1))]
    for start in range(0, rows, size):
        pieces = [column.slice(start, size) for column in columns] or [pa.nulls(min(size, rows - start))]
        arrays = [piece.combine_chunks() if isinstance(piece, pa.ChunkedArray) else piece for piece in pieces]
        yield pa.RecordBatch.from_arrays(arrays, names=names)
