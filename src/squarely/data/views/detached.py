"""A source whose rows are elsewhere: what a loaded or merged fit has in the place of its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

import pyarrow as pa

from squarely.data.dtypes import Kind
from squarely.data.source import Source
from squarely.errors import DataError


class DetachedSource(Source):
    """The name and columns of data that are not at hand; `file` is what the fit of them was loaded from."""

    def __init__(self, label: str, columns: Mapping[str, str], notes: tuple[str, ...] = (), file: str = "") -> None:
        self.label, self.notes, self.file = label, notes, file
        self.columns = dict(columns)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Raise a DataError: there are no rows."""
        self._refuse()

    def kind(self, name: str) -> Kind:
        """Raise a DataError: there are no rows to tell from."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise DataError(
            f"This needs the rows of {self.label}, and a loaded fit has none, nor has a merged one. Fit again with the data at "
            "hand; predictions for new rows need only those."
        )
