"""Datasets of pyarrow, which may be larger than memory: files that Arrow scans in batches, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pyarrow as pa

from squarely.data.dtypes import Kind, Level, declared_levels, is_ordered, kind_of, schema_columns
from squarely.data.source import BATCH_ROWS, Source, record_batches
from squarely.errors import DataError, first_line


class ArrowDatasetSource(Source):
    """A dataset of pyarrow. Columns that a formula does not name are not read."""

    is_file = True

    def __init__(
        self, dataset: Any, label: str = "the Arrow dataset", reading: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        """Open a dataset; each scan runs in the context that `reading` gives, such as one that notices changes of a file."""
        self.label = label
        self._dataset, self._reading, self._schema = dataset, reading, dataset.schema
        self.columns, self.duplicate_names, self.index_columns = schema_columns(self._schema)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        names = list(dict.fromkeys((*numbers, *labels)))
        try:
            with self._reading():
                for batch in self._dataset.scanner(columns=names, batch_size=BATCH_ROWS).to_batches():
                    yield from record_batches([batch.column(name) for name in (*numbers, *labels)], batch.num_rows)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self.label} cannot be read: {first_line(error)}. Open it again, or correct its files.") from error

    def kind(self, name: str) -> Kind:
        return kind_of(self._schema.field(name).type)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        return declared_levels(batch.column(0) for batch in self.read([], [name])) if is_ordered(self._schema, name) else None
