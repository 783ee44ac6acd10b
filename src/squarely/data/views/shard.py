"""Consecutive rows of a source for one of several processes, equally many for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from squarely.data.scan.fold import iter_batches
from squarely.data.scan.progress import scan_purpose
from squarely.data.source import DerivedSource, PlacedBatch, RowRange, Source
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


class ShardSource(DerivedSource):
    """The rows of a source from `first` to `stop`, excluded; the source has `rows` rows."""

    def __init__(self, parent: Source, rows: int, first: int, stop: int) -> None:
        super().__init__(parent)
        self._rows, self._start, self._stop = stop - first, first, stop
        self._parts: list[tuple[int, int, int]] = []  # number of a part in the parent, first row and stop of its rows here
        self._has_more_rows = False
        for number, part in enumerate(parent.parts()):
            end = part.start + (rows if part.rows is None else part.rows)
            if max(part.start, first) < min(end, stop):
                self._parts.append((number, max(part.start, first), min(end, stop)))
                self._has_more_rows = end > stop  # the last part also has rows of the next shard

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the order of the parent; raise a DataError if it has lost rows since it was sharded."""
        for _, batch in self.read_parts(numbers, labels, range(len(self._parts))):
            yield batch

    def parts(self) -> tuple[RowRange, ...]:
        return tuple(RowRange(first - self._start, stop - first) for _, first, stop in self._parts)

    def read_parts(self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]) -> Iterator[PlacedBatch]:
        selected = [self._parts[i] for i in order]
        missing = total = sum(stop - first for _, first, stop in selected)
        for first, batch in self.parent.read_parts(numbers, labels, [number for number, _, _ in selected]):
            start, stop = max(self._start, first), min(self._stop, first + batch.num_rows)
            if start < stop:
                yield start - self._start, batch.slice(start - first, stop - start)
                missing -= stop - start
            if self._has_more_rows and not missing:
                return  # the rows that follow belong to other shards
        if missing:
            raise changed_error(self.label, pluralize(total, "row"), f"{total - missing:,}")

    def parent_rows(self, rows: np.ndarray) -> np.ndarray:
        return self._start + rows
