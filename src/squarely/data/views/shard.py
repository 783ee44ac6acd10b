"""Consecutive rows of a source for one of several processes, equally many for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from squarely.data.dtypes import Kind, Level
from squarely.data.scan.fold import iter_batches
from squarely.data.scan.progress import scan_purpose
from squarely.data.source import RowRange, Source
from squarely.errors import changed_error, pluralize


def shard_of(source: Source, number: int, of: int) -> Source:
    """Return shard `number` of `of`, counted from 0: the rows from number n / of to (number + 1) n / of, rounded down.

    Each row is in one shard. Only parts of the source with rows of the shard are read. A source that can only be read in sequence,
    such as a CSV file, is read up to the last row of the shard, after a scan that counts its rows.

    Examples
    --------
    >>> from squarely.data import open_source
    >>> [shard_of(open_source({"x": [1.0, 2.0, 3.0, 4.0, 5.0]}), number, 2).rows for number in (0, 1)]
    [2, 3]
    """
    rows = count_rows_of(source)
    return ShardSource(source, rows, rows * number // of, rows * (number + 1) // of)


@scan_purpose("number of rows")
def count_rows_of(source: Source) -> int:
    """Count the rows of a source, by a scan if it does not know."""
    last = source.parts()[-1:] if source.rows is None else ()
    rows = last[0].start + last[0].rows if last and last[0].rows is not None else source.rows
    return sum(batch.size for batch in iter_batches(source, [])) if rows is None else rows


class ShardSource(Source):
    """The rows of a source from `first` to `stop`, excluded; the source has `rows` rows."""

    def __init__(self, parent: Source, rows: int, first: int, stop: int) -> None:
        self.label = parent.label
        self._parent, self._start, self._stop = parent, first, stop
        self.columns, self.duplicate_names = parent.columns, parent.duplicate_names
        self.typed, self.is_file, self.notes = parent.typed, parent.is_file, parent.notes
        # Number of a part in the parent -> where the shard's rows in it begin and stop, in the parent.
        self._parts: dict[int, tuple[int, int]] = {}
        self._has_more_rows = False
        for number, part in enumerate(parent.parts()):
            end = part.start + (rows if part.rows is None else part.rows)
            if max(part.start, first) < min(end, stop):
                self._parts[number] = max(part.start, first), min(end, stop)
                self._has_more_rows = end > stop  # the last part also has rows of the next shard

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self._stop - self._start

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order of the parent.

        Raises
        ------
        DataError : the parent has lost rows since it was sharded.
        """
        for _, batch in self.read_parts(numbers, labels, range(len(self._parts))):
            yield batch

    def parts(self) -> tuple[RowRange, ...]:
        """Return the parts of the parent that have rows of the shard, cut to these rows."""
        return tuple(RowRange(first - self._start, stop - first) for first, stop in self._parts.values())

    def read_parts(
        self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the named columns of some parts in batches, each with the position of its first row in the shard."""
        selected = [list(self._parts)[i] for i in order]
        missing = total = sum(stop - first for first, stop in map(self._parts.__getitem__, selected))
        for first, batch in self._parent.read_parts(numbers, labels, selected):
            start, stop = max(self._start, first), min(self._stop, first + batch.num_rows)
            if start < stop:
                yield start - self._start, batch.slice(start - first, stop - start)
                missing -= stop - start
            if self._has_more_rows and not missing:
                return  # the rows that follow belong to other shards
        if missing:
            raise changed_error(self.label, pluralize(total, "row"), f"{total - missing:,}")

    def kind(self, name: str) -> Kind:
        """Return the kind of a column in the parent."""
        return self._parent.kind(name)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Return the levels that the parent declares, whether or not they occur in the shard."""
        return self._parent.category_order(name)

    def row_number(self, row: int) -> int:
        """Return the row's number in the parent."""
        return self._parent.row_number(self._start + row)

    def index(self, rows: np.ndarray) -> Any:
        """Return the rows' labels in the parent."""
        return self._parent.index(self._start + rows)
