"""A file that was read whole: an Arrow table whose predictions are pandas objects, as those of any other file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from squarely.data.frames.arrow import ArrowSource
from squarely.data.source import Source
from squarely.numerics import Array


class WholeFileSource(ArrowSource):
    """The table of a file in memory."""

    def __init__(self, table: pa.Table, label: str, notes: Sequence[str]) -> None:
        super().__init__(table, label)
        self.notes = tuple(notes)

    def column(self, values: Array, name: str) -> Any:
        return Source.column(self, values, name)

    def from_table(self, table: pa.Table, rows: np.ndarray) -> Any:
        return Source.from_table(self, table, rows)
