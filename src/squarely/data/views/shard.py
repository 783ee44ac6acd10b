"""A share of the rows of one source, for one of several processes: rows that follow each other, as many as each of the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from squarely.data.dtypes import Kind, Level
from squarely.data.scan.fold import iter_batches
from squarely.data.scan.progress import scan_purpose
from squarely.data.source import RowRange, Source
from squarely.errors import DataError, pluralize


def shard_of(source: Source, number: int, of: int) -> Source:
    """Give the rows of one of `of` shares, counted from 0: from number n / of on up to (number + 1) n / of, rounded down.

    The shares follow each other in the order of the rows, and each row is in one of them. Of the source only those parts are read
    that have rows of the share; a source that can only be read through, such as a CSV file, is read up to the last of them, and
    scanned once before to count its rows.

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
    """Count the rows of a source, by a scan where nothing else tells."""
    last = source.parts()[-1:] if source.rows is None else ()
    known = last[0].start + last[0].rows if last and last[0].rows is not None else source.rows
    return sum(batch.size for batch in iter_batches(source, [])) if known is None else known


class ShardSource(Source):
    """The rows of a source from `first` to `stop`, which is not one of them; the source has so many `rows`."""

    def __init__(self, whole: Source, rows: int, first: int, stop: int) -> None:
        self.label = whole.label
        self._parent, self._start, self._stop = whole, first, stop
        self.columns, self.duplicate_names = whole.columns, whole.duplicate_names
        self.typed, self.is_file, self.notes = whole.typed, whole.is_file, whole.notes
        # By its number in the whole: where the share's rows in a part begin and stop, in the whole.
        self._parts: dict[int, tuple[int, int]] = {}
        self._has_more_rows = False
        for number, part in enumerate(whole.parts()):
            end = part.start + (rows if part.rows is None else part.rows)
            if max(part.start, first) < min(end, stop):
                self._parts[number] = max(part.start, first), min(end, stop)
                self._has_more_rows = end > stop  # the last part of the share has rows of the next one

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self._stop - self._start

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order of the whole.

        Raises
        ------
        DataError : the whole has not the rows any more that were shared out.
        """
        for _, batch in self.read_parts(numbers, labels, range(len(self._parts))):
            yield batch

    def parts(self) -> tuple[RowRange, ...]:
        """Give the parts of the whole that have rows of the share, less the rows that are in others."""
        return tuple(RowRange(first - self._start, stop - first) for first, stop in self._parts.values())

    def read_parts(
        self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the named columns of some parts in batches, each with the position of its first row in the share."""
        wanted = [list(self._parts)[i] for i in order]
        left = sum(stop - first for first, stop in map(self._parts.__getitem__, wanted))
        for first, batch in self._parent.read_parts(numbers, labels, wanted):
            start, stop = max(self._start, first), min(self._stop, first + batch.num_rows)
            if start < stop:
                yield start - self._start, batch.slice(start - first, stop - start)
                left -= stop - start
            if self._has_more_rows and not left:
                return  # what follows are rows of others
        if left:
            raise DataError(
                f"{self.label} changed after its rows were shared out: {pluralize(left, 'row')} of {self.rows:,} are not there any "
                "more. Run again when nothing writes to it."
            )

    def kind(self, name: str) -> Kind:
        """Tell what a column holds, in all rows of the whole."""
        return self._parent.kind(name)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Give the levels that the owner of the whole declared, whether or not the share has them all."""
        return self._parent.category_order(name)

    def row_number(self, row: int) -> int:
        """Give the number that the row has in the whole."""
        return self._parent.row_number(self._start + row)

    def index(self, rows: np.ndarray) -> Any:
        """Give the labels that rows have in the whole."""
        return self._parent.index(self._start + rows)
