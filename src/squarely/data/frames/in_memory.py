"""The contract of tables in this process: give columns as Arrow, and they are cut into batches without a copy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from squarely.data.source import BATCH_ROWS, PlacedBatch, RowRange, Source, record_batches

_MAX_ROWS = 4 * BATCH_ROWS  # of a batch that is a view of rows in memory: larger ones save time in Python


class InMemorySource(Source):
    """A table in this process."""

    @abstractmethod
    def select_columns(self, numbers: Sequence[str], labels: Sequence[str]) -> tuple[Sequence[pa.Array | pa.ChunkedArray], int]:
        """Return the named columns, numbers first, and the number of rows."""

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, without a copy where the table and Arrow have the same layout."""
        yield from record_batches(*self.select_columns(numbers, labels), _MAX_ROWS)

    def parts(self) -> tuple[RowRange, ...]:
        """Return ranges of 65,536 rows."""
        rows = self.select_columns([], [])[1]
        return tuple(RowRange(first, min(BATCH_ROWS, rows - first)) for first in range(0, rows, BATCH_ROWS))

    def read_parts(self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]) -> Iterator[PlacedBatch]:
        columns, rows = self.select_columns(numbers, labels)
        for first in (i * BATCH_ROWS for i in order):
            size = min(BATCH_ROWS, rows - first)
            yield from ((first, batch) for batch in record_batches([column.slice(first, size) for column in columns], size))
