"""The source of a loaded or merged fit: names and columns without rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

import pyarrow as pa

from squarely.data.dtypes import Kind
from squarely.data.source import Source
from squarely.errors import DataError


class DetachedSource(Source):
    """The name and columns of data that are not available; `file` is the file of the loaded fit."""

    def __init__(self, label: str, columns: Mapping[str, str], notes: tuple[str, ...] = (), file: str = "") -> None:
        self.label, self.notes, self.file = label, notes, file
        self.columns = dict(columns)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        self._refuse()

    def kind(self, name: str) -> Kind:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise DataError(
            f"This needs the rows of {self.label}, which a loaded or merged fit does not have. Fit the data again; predictions "
            "need only new rows."
        )
