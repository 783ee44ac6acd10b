"""Some rows of some columns, with the types that the data have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from squarely.data.source import Source


def read_stored_columns(source: Source, names: Sequence[str], rows: np.ndarray) -> pa.Table:
    """Return columns of the rows at some positions as a table; numbers in text, such as those of CSV, are doubles."""
    numbers = [name for name in names if not source.typed and source.kind(name) == "number"]
    labels = [name for name in names if name not in numbers]
    table = pa.Table.from_batches(list(source.read(numbers, labels))).rename_columns([*numbers, *labels])
    return table.take(pa.array(rows)).select(list(names))
