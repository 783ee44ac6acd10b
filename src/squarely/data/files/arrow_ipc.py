"""Arrow IPC files: the file format (Feather version 2) and the stream format, distinguished by their first bytes.

They are read, not memory-mapped: if another program truncates a mapped file, this process dies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate

import pyarrow as pa

from squarely.data.dtypes import Kind, Level, declared_levels, is_ordered, kind_of, schema_columns
from squarely.data.files.local_file import LocalFile
from squarely.data.pandas_io import pandas_read_call
from squarely.data.source import PlacedBatch, RowRange, Source, record_batches, with_row_positions

_END = b"\xff\xff\xff\xff\0\0\0\0"  # without this check a stream that was cut between two batches looks complete
_KIND = "an Arrow file"


class IpcSource(Source):
    """An Arrow IPC file on this machine."""

    is_file = True

    def __init__(self, file: LocalFile) -> None:
        self.label = file.label
        self._file = file
        self._is_stream = file.head(6) != b"ARROW1"
        if not self._is_stream:  # pandas does not read streams
            self.pandas_call = pandas_read_call(str(file.real_path), "Arrow")
        with file.reading(_KIND), pa.OSFile(str(file.path)) as opened:
            if self._is_stream:
                opened.seek(max(opened.size() - len(_END), 0))
                if opened.read(len(_END)) != _END:
                    raise pa.ArrowInvalid("the stream has no end mark")
                opened.seek(0)
            self._schema = (pa.ipc.open_stream if self._is_stream else pa.ipc.open_file)(opened).schema
        self.columns, self.duplicate_names, self.index_columns = schema_columns(self._schema)

    @property
    def rows(self) -> int | None:  # a stream does not record it
        return None if self._is_stream else sum(self._lengths)

    @cached_property
    def _lengths(self) -> tuple[int, ...]:
        """The rows of each record batch."""
        return tuple(rows for _, rows in self._decode([]))

    def parts(self) -> tuple[RowRange, ...]:
        """Return the rows of each record batch; a stream is one part."""
        if self._is_stream:
            return super().parts()
        return tuple(map(RowRange, accumulate(self._lengths, initial=0), self._lengths))

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in file order; the other columns are not decoded."""
        for columns, rows in self._decode((*numbers, *labels)):
            yield from record_batches(columns, rows)

    def read_parts(self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]) -> Iterator[PlacedBatch]:
        if self._is_stream:
            yield from super().read_parts(numbers, labels, order)
            return
        order, parts = list(order), self.parts()
        for i, (columns, rows) in zip(order, self._decode((*numbers, *labels), order), strict=True):
            yield from with_row_positions(record_batches(columns, rows), parts[i].start)

    def kind(self, name: str) -> Kind:
        return kind_of(self._schema.field(name).type)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Return the categories of an ordered dictionary; a stream may add some in later batches."""
        return declared_levels(columns[0] for columns, _ in self._decode([name])) if is_ordered(self._schema, name) else None

    def _decode(self, names: Sequence[str], order: Sequence[int] | None = None) -> Iterator[tuple[list[pa.Array], int]]:
        """Yield the columns of all batches, or of some in an order, and their rows; without names only rows are counted."""
        fields = [self._schema.get_field_index(name) for name in names]
        places = sorted(set(fields)) or list(range(len(self._schema)))[:1]
        options = pa.ipc.IpcReadOptions(included_fields=places)
        with self._file.reading(_KIND), pa.OSFile(str(self._file.path)) as opened:
            if self._is_stream:
                batches = iter(pa.ipc.open_stream(opened, options=options))
            else:
                reader = pa.ipc.open_file(opened, options=options)
                batches = map(reader.get_batch, range(reader.num_record_batches) if order is None else order)
            for batch in batches:
                yield [batch.column(places.index(field)) for field in fields], batch.num_rows
