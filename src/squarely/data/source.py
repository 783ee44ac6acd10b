"""A Source: rows, wherever they are, met as ordered batches; and the one cast from what an engine gives to doubles."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import narwhals as nw
import numpy as np
import pyarrow as pa

from squarely.data.dtypes import Kind, Level
from squarely.data.pandas_io import PandasReadCall, to_series
from squarely.data.query import ColumnInfo, Engine, Query, Row
from squarely.data.tree_reduce import Branch, leaves
from squarely.errors import DataError, pluralize, suggest_name
from squarely.numerics import Array

T = TypeVar("T")

BATCH_ROWS = 65_536
DECIMAL_COMMA = "decimal comma"
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows of a source that follow each other and can be read without those before them.

    Attributes
    ----------
    start : the position of the first of them in the source, counted from 0.
    rows : how many there are, None where only a scan can tell.
    """

    start: int
    rows: int | None


class Source(ABC):
    """Where rows are. A source can be scanned as often as is needed and gives its rows in the same order each time.

    Attributes
    ----------
    label : what messages call it, such as the file's name.
    columns : name -> type, as the engine calls it.
    duplicate_names : names that stand twice or more; a formula cannot use them.
    typed : whether the engine knows the types; if not, labels are text whose kind is read off the values.
    index_columns : columns in which pandas or R has stored the labels of rows: '.' in a formula leaves them out.
    folder_keys : keys of folders called key=value that all rows lie in, and that are no columns.
    notes : what was found out about how the rows are written, such as a decimal comma, for the summary to print.
    pandas_call : how pandas reads the same file, None where the rows are in no file.
    is_file : whether the rows come from files of ours to read, so that it pays to decode them ahead of the arithmetic.
    engine : what works out aggregates where the rows are; None for a source that offers batches alone.
    ordered : whether the rows have an order, so that a row knows the one before it.
    partitioned : whether parts of the rows are in other processes, which work on them there: `map_partitions` is then the way to them, and
        `read` brings the rows themselves here, for whoever asks for them.
    partition_count : how many parts scattered rows are in, None if that is not known.
    """

    label: str
    columns: Mapping[str, str]
    duplicate_names: frozenset[str] = frozenset()
    index_columns: frozenset[str] = frozenset()
    folder_keys: frozenset[str] = frozenset()
    typed: bool = True
    notes: tuple[str, ...] = ()
    pandas_call: PandasReadCall | None = None
    is_file: bool = False
    engine: Engine | None = None
    ordered: bool = True
    partitioned: bool = False
    partition_count: int | None = None

    @property
    def rows(self) -> int | None:
        """How many rows there are, None where only a scan can tell."""
        return None

    @property
    def decimal_comma(self) -> bool:
        """Whether texts are numbers with a decimal comma, and not with a point."""
        return DECIMAL_COMMA in self.notes

    @property
    def indexes(self) -> list[str]:
        """The columns that are an index of pandas, as the file says or the name that pandas gives to an index without one."""
        return [name for name in self.columns if name in self.index_columns or _UNNAMED_INDEX.fullmatch(name)]

    @property
    def dot_columns(self) -> list[str]:
        """The columns that '.' in a formula stands for, the response among them."""
        indexes = self.indexes
        return [name for name in self.columns if name not in indexes]

    @abstractmethod
    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield columns in batches, in the order of the rows: `numbers`, wanted as numbers, then `labels`, wanted as categories.

        A name may stand in both. With no names at all the batches have one column of no meaning: they tell how many rows
        there are. A source that is not typed gives labels as text.
        """

    def parts(self) -> tuple[RowRange, ...]:
        """Tell which parts can be read by themselves, in the order of the rows; what can only be read through is one part."""
        return (RowRange(0, self.rows),)

    def read_parts(
        self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield columns as `read` does, of some parts in an order of their numbers, each batch with the position of its first row.

        Whoever has more than one part says how.
        """
        for _ in order:
            yield from with_row_positions(self.read(numbers, labels))

    def map_partitions(self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], T]) -> Iterator[T]:
        """Let the process that has a part of the rows work on it, and yield what comes of each part, in the order of the parts.

        The work meets the part as a source of these columns that can be read once. It and what comes of it are pickled.
        """
        raise NotImplementedError(f"{self.label} is not scattered")

    def reduce_partitions(
        self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], T], merge: Callable[[T, T], T]
    ) -> Iterator[Branch[T]]:
        """Do as `mapped`, and yield what comes of parts with their number; some may have been merged where they are.

        What `tree.error_growth` makes of them is the same to the bit, whoever has merged. The merge is pickled as the work is.
        """
        yield from leaves(self.map_partitions(numbers, labels, work))

    def map_first_partition(self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], T]) -> T | None:
        """Give what `mapped` gives of the first part, without work on the others; None where that costs as much as all."""
        return None

    def with_column(
        self, name: str, columns: tuple[Sequence[str], Sequence[str]], work: Callable[[Source], Iterator[Array]]
    ) -> Any:
        """Give the user's own table with a further column of doubles, worked out by the processes that have the rows.

        A library whose columns know which table they are of gives the column alone.

        `columns` are the numbers and the labels that the work reads. It meets a part as in `mapped`, and yields the values of its
        rows, an array (m,) for each batch that it reads. No row travels. The table may be worked out only when it is asked for.
        """
        raise NotImplementedError(f"{self.label} is not scattered")

    @abstractmethod
    def kind(self, name: str) -> Kind:
        """Tell what a column holds."""

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Give the levels of a categorical column in the order that its owner declared, if there is one."""
        return None

    def require_engine(self) -> Engine:
        """Give the engine that works out aggregates; raise a DataError where the source offers batches alone."""
        if self.engine is None:
            raise DataError(
                f"{self.label} offers its rows in batches, and no aggregates. Open it as a Polars LazyFrame, such as "
                "polars.scan_parquet(path), or as a DuckDB relation, such as duckdb.read_parquet(path), or leave fold= out."
            )
        return self.engine

    def aggregate(self, query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str] = ()) -> list[Row]:
        """Work results out where the rows are: one row of them for each combination of the keys, a single one without keys."""
        raise NotImplementedError(f"a source with {self.require_engine()} says how")

    def column_info(self, name: str) -> ColumnInfo:
        """Tell what a column holds; only a source that aggregates has to know it beforehand."""
        raise NotImplementedError(f"a source with {self.require_engine()} says what {name!r} holds")

    def sum_squared_differences(self, query: Query, column: str) -> float:
        """Sum the squared differences of a column of a query from row to row; NaN unless the rows have a certain order."""
        return math.nan

    def sort_by(self, name: str) -> Source:
        """Give the same rows in the order of a column; whoever has no order of its own says how.

        Raises
        ------
        DataError : the rows have an order already; or the column leaves it open which row is before which.
        """
        raise DataError(
            f"The rows of {self.label} have an order of their own, and Durbin-Watson goes by it. Put them in the order of {name!r} "
            "before you hand them over, and leave order_by= out."
        )

    @property
    def alternative(self) -> str:
        """What serves where aggregates do not, as an advice."""
        if self.require_engine().aggregates_only:
            return f"Write the rows of {self.label} to a Parquet file and fit that"
        return f"Fit with fold='batches', which reads the rows of {self.label} and can"

    def row_number(self, row: int) -> int:
        """Give the number by which messages call the row at a position, counted from 1 where the user counts."""
        return row + 1

    def index(self, rows: np.ndarray) -> Any:
        """Give the labels of rows by their position: their numbers, unless the source has labels of its own."""
        return rows

    def column(self, values: Array, name: str) -> Any:
        """Give values (n,), one for each row, as a column in the library that the rows are in: pandas unless it is another."""
        return to_series(values, self.index(np.arange(len(values))), name)


def is_aggregate_only(source: Source) -> bool:
    """Tell whether a source is asked for aggregates alone, and its rows stay where they are for good."""
    return source.engine is not None and source.engine.aggregates_only


def require_local(source: Source, purpose: str, advice: str) -> None:
    """Raise a DataError where the rows of a source stay where they are, and a purpose would bring them here."""
    if is_aggregate_only(source) or source.partitioned:
        where = f"stay in {source.require_engine().name}" if is_aggregate_only(source) else "are in other processes"
        raise DataError(
            f"The rows of {source.label} {where}, and to {purpose} would bring them here. {advice}, or write them to a folder of "
            "Parquet files and give that."
        )


def with_row_positions(batches: Iterable[pa.RecordBatch], first: int = 0) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield batches that follow each other with the position of the first row of each."""
    for batch in batches:
        yield first, batch
        first += batch.num_rows


def require_columns(source: Source, names: Iterable[str]) -> None:
    """Raise a DataError that suggests the nearest name when a column is not there, exactly as spelt."""
    for name in names:
        if name not in source.columns:
            if name in source.folder_keys:
                raise DataError(
                    f"There is no column {name!r} in {source.label}. It is the key of a folder that all rows lie in, so it is the "
                    "same for every row. Give a folder above it to read several values, or leave it out."
                )
            raise DataError(f"There is no column {name!r} in {source.label}. {suggest_name(name, source.columns)}")
        if name in source.duplicate_names:
            raise DataError(f"{source.label} has two or more columns called {name!r}. Give each column a name of its own.")


def require_unique_order(source: Source, name: str, *, rows: int, values: int, distinct_values: int) -> None:
    """Raise a DataError unless every one of the rows has a value in a column, and all of them are different."""
    if values < rows:
        raise DataError(
            f"{name!r} of {source.label} is empty in {pluralize(rows - values, 'row')}, whose place in order_by={name!r} is unknown. "
            "Leave these rows out of the table, or order by a column that every row has."
        )
    if distinct_values < rows:
        raise DataError(
            f"{name!r} of {source.label} has {pluralize(distinct_values, 'value')} for {pluralize(rows, 'row')}: order_by={name!r} leaves it "
            "open which of the rows that share one comes first. Order by a column that differs in every row."
        )


def unsupported_column_error(source: Source, name: str, kind: str) -> DataError:
    """Say what to do with a column that is neither numbers nor categories: dates, above all."""
    temporal = any(word in kind.lower() for word in ("date", "time", "duration"))
    advice = (
        "A coefficient needs a unit: make a number of it first, such as the days since the first one or the year, or text for "
        "categories."
        if temporal
        else "Make a column of numbers or of text of it first."
    )
    return DataError(f"Column {name!r} of {source.label} holds {kind} values, which are neither numbers nor categories. {advice}")


MEMORY_ROWS = 4 * BATCH_ROWS  # of a batch that is a view of what is in memory already: it costs nothing but its share of Python


def record_batches(columns: Sequence[pa.Array | pa.ChunkedArray], rows: int, size: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """Cut columns into batches; with no column asked for, a column of nulls carries the number of rows."""
    names = [str(i) for i in range(max(len(columns), 1))]
    for start in range(0, rows, size):
        pieces = [_slice(column, start, size) for column in columns] or [pa.nulls(min(size, rows - start))]
        yield pa.RecordBatch.from_arrays(pieces, names=names)


def row_ranges(rows: int) -> tuple[RowRange, ...]:
    """Cut rows in memory into parts.

    >>> row_ranges(70_000)
    (RowRange(start=0, rows=65536), RowRange(start=65536, rows=4464))
    """
    return tuple(RowRange(first, min(BATCH_ROWS, rows - first)) for first in range(0, rows, BATCH_ROWS))


def read_ranges(
    columns: Sequence[pa.Array | pa.ChunkedArray], rows: int, order: Iterable[int]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Cut some of the `row_ranges` out of columns, in an order, each with the position of its first row."""
    parts = row_ranges(rows)
    for i in order:
        first, size = parts[i].start, parts[i].rows or 0
        yield from ((first, batch) for batch in record_batches([column.slice(first, size) for column in columns], size))


def _slice(column: pa.Array | pa.ChunkedArray, start: int, size: int) -> pa.Array:
    piece = column.slice(start, size)
    return piece.combine_chunks() if isinstance(piece, pa.ChunkedArray) else piece
