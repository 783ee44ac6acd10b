"""How many rows are gathered in their order at once, for several batches."""

from __future__ import annotations

import numpy as np

from squarely.descent.options.options import TrainingOptions

ROWS_PER_GATHER = 2**18  # rows gathered in their order at once: a batch is then a slice, a hundred times cheaper than a gather


def same_batches_each_epoch(options: TrainingOptions, n: int, features: int) -> bool:
    """Return whether batches cut from n rows that are gathered at once have the places in memory of `InMemoryBatches`.

    Matrix products take another path, and may round differently, where their first number is not at a multiple of 64 bytes.
    """
    if options.batch_size is None or not options.shuffle:
        return True
    chunk = whole_batches(ROWS_PER_GATHER, options.batch_size)
    size = chunk * np.dtype(options.dtype).itemsize
    return n <= chunk or (size % 64 == 0 and size * features % 64 == 0)


def whole_batches(rows: int, size: int) -> int:
    """Return how many of the rows make whole batches, of which there is at least one."""
    return max(rows // size, 1) * size
