"""Columns of a text file, parsed once: later passes over the rows take them from memory or from a temporary file."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence

import pyarrow as pa

from squarely.data.files.file_set.concat import ConcatSource
from squarely.data.scan.batch_store import BatchStore
from squarely.data.source import DerivedSource, PlacedBatch, RowRange, Source, with_row_positions

_DISK_REMARK = "{} was parsed again in each pass: its columns did not fit into the temporary folder ({})."
_PATIENCE = 0.5  # seconds that `release` waits for a thread that parses a batch


class CachedSource(DerivedSource):
    """A source whose columns `numbers` and `labels` are parsed once, and stored in the order of the rows.

    The first pass parses and stores as far as it goes, and the next ones continue. Before and after each pass the parent still
    checks that its file is unchanged. Labels of text are stored as dictionaries. If the disk is full, and after `release`, each
    pass parses again. `remarks` says so.
    """

    def __init__(self, parent: Source, numbers: Sequence[str], labels: Sequence[str], limit: int) -> None:
        """Store the columns in memory up to `limit` bytes, and in a temporary file beyond that."""
        super().__init__(parent)
        self.folder_keys, self.pandas_call = parent.folder_keys, parent.pandas_call
        self.remarks: tuple[str, ...] = ()
        self._columns = [*numbers], [*labels]
        self._store: BatchStore | None = BatchStore(limit)  # None if each pass parses
        self._parsed: Iterator[pa.RecordBatch] | None = None  # the batches that are not stored yet
        self._starts = [0]  # the first row of each stored batch, and the row after the last
        self._is_complete = False
        self._lock = threading.Lock()

    @property
    def rows(self) -> int | None:
        return self._starts[-1] if self._is_complete else self.parent.rows

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        for _, batch in self._read(numbers, labels):
            yield batch

    def parts(self) -> tuple[RowRange, ...]:
        if isinstance(self.parent, ConcatSource) and not self._is_complete:
            for _ in self._read([], []):  # the parent would parse its files to count their rows
                pass
        parts = self.parent.parts()
        return (RowRange(0, self.rows),) if len(parts) == 1 else parts

    def read_parts(self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]) -> Iterator[PlacedBatch]:
        parts = self.parts()
        for i in order:
            if self._has_columns(numbers, labels):
                yield from self._read(numbers, labels, parts[i])
            else:
                yield from self.parent.read_parts(numbers, labels, [i])

    def __reduce__(self) -> tuple[object, ...]:
        return _identity, (self.parent,)  # a pickle has no rows

    def release(self) -> None:
        """Free the memory and the temporary file: from now on each pass parses again."""
        store, self._store = self._store, None
        if self._lock.acquire(timeout=_PATIENCE):  # else a thread is parsing, and frees them after its batch
            try:
                self._free(store)
            finally:
                self._lock.release()

    def _has_columns(self, numbers: Sequence[str], labels: Sequence[str]) -> bool:
        return self._store is not None and set(numbers) <= set(self._columns[0]) and set(labels) <= set(self._columns[1])

    def _read(self, numbers: Sequence[str], labels: Sequence[str], part: RowRange | None = None) -> Iterator[PlacedBatch]:
        """Yield the batches of a part, by default of all rows, each with the position of its first row."""
        first = 0 if part is None else part.start
        number, stop = bisect_right(self._starts, first) - 1, None if part is None or part.rows is None else first + part.rows
        self.require_unchanged()
        has_columns = self._has_columns(numbers, labels)
        while has_columns and (stop is None or first < stop) and (batch := self._find_batch(number)) is not None:
            yield first, self._select(batch, numbers, labels)
            number, first = number + 1, first + batch.num_rows
        if not has_columns or self._store is None:  # parse again, and leave out the rows that were yielded
            for start, batch in with_row_positions(self.parent.read(numbers, labels)):
                begin, end = max(start, first), start + batch.num_rows
                end = end if stop is None else min(end, stop)
                if begin < end:
                    yield begin, batch.slice(begin - start, end - begin)
        self.require_unchanged()

    def _select(self, batch: pa.RecordBatch, numbers: Sequence[str], labels: Sequence[str]) -> pa.RecordBatch:
        stored_numbers, stored_labels = self._columns
        places = [stored_numbers.index(name) for name in numbers]
        places += [len(stored_numbers) + stored_labels.index(name) for name in labels]
        columns = [batch.column(place) for place in places] or [pa.nulls(batch.num_rows)]
        return pa.RecordBatch.from_arrays(columns, names=[str(i) for i in range(len(columns))])

    def _find_batch(self, number: int) -> pa.RecordBatch | None:
        """Return a stored batch, or parse the next one; None behind the last, and if nothing is stored any more."""
        with self._lock:
            store = self._store
            if store is None or (self._is_complete and number >= len(store)):
                return None
            batch = None if number < len(store) else self._parse_batch(store)
            if batch is None and number >= len(store):
                return None
            try:
                if batch is None:
                    return store[number]
                store.append(batch)
            except OSError as error:
                self.remarks = (_DISK_REMARK.format(self.label, error.strerror or error),)
                self._free(store)
                return None
            self._starts.append(self._starts[-1] + batch.num_rows)
            return batch

    def _parse_batch(self, store: BatchStore) -> pa.RecordBatch | None:
        """Parse the next batch; return None behind the last, and after `release`."""
        if self._parsed is None:
            self._parsed = self.parent.read(*self._columns)
        try:
            batch = next(self._parsed, None)
        except BaseException:
            self._free(store)
            raise
        if self._store is None:
            self._free(store)
            return None
        if batch is None:
            self._parsed, self._is_complete = None, True
            return None
        return _encode_texts(batch, len(self._columns[0]))

    def _free(self, store: BatchStore | None) -> None:
        """Free what is stored, and stop parsing."""
        parsed, self._parsed, self._store = self._parsed, None, None
        if store is not None:
            store.clear()
        if isinstance(parsed, Generator):
            parsed.close()


def _identity(source: Source) -> Source:
    return source


def _encode_texts(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
    """Encode the columns of text from the place `first` on as dictionaries, which are smaller."""
    columns = [
        column.dictionary_encode() if i >= first and pa.types.is_string(column.type) else column
        for i, column in enumerate(batch.columns)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
