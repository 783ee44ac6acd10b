"""Batches of rows that do not fit into memory: streamed from their source, standardized and shuffled.

The order has two levels (CorgiPile, doi:10.1145/3514221.3526150). Each epoch reads the parts of the source, such as the row groups
of Parquet files, in another order, and shuffles each full buffer. A thread fills the next buffer meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import cycle, repeat, starmap

import numpy as np
import torch

from squarely.data import BATCH_ROWS, Source, prefetch_items
from squarely.descent.batches.chunks import whole_batches
from squarely.descent.batches.in_memory import TensorBatch, gather_in_chunks, take_rows
from squarely.descent.process_group import SINGLE_PROCESS, ProcessGroup
from squarely.design import Block, Design, iter_blocks
from squarely.errors import DataError
from squarely.moments import StandardizedProblem

BUFFER = 2**26  # bytes
_CELLS_PER_BLOCK = 2**22  # cells of the design's columns that are computed at once
_ROWS_PER_GATHER = 2**16  # rows that are gathered in their order at once: a batch is then a slice


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamedBatches:
    """The complete rows of a source in batches: every row once an epoch, in little memory.

    The order depends on the seed, the epoch, the batch size and the buffer alone. A buffer has rows from a few parts, so larger
    buffers shuffle better. Rows of a source with a single part, such as a CSV file, move no further than a buffer is long.
    With several processes, each streams its own rows in its own order.
    """

    design: Design
    source: Source
    problem: StandardizedProblem
    dtype: torch.dtype = torch.float32
    device: torch.device | str = "cpu"
    seed: int = 0
    shuffle: bool = True  # if not, rows come in the order of the source
    buffer: int = BUFFER  # bytes, at least a batch; there are two
    complete_count: int | None = None  # complete rows of the source; None where they are those of the problem
    group: ProcessGroup = SINGLE_PROCESS
    counts: tuple[int, ...] = ()  # rows of each process; empty for a single process

    @property
    def features(self) -> int:
        """The number of columns of X."""
        return len(self.problem.scale) - 1

    @property
    def n(self) -> int:
        """The number of complete rows in all processes."""
        return sum(self.counts) if self.counts else self.local_n

    @property
    def local_n(self) -> int:
        """The number of complete rows of this process."""
        return self.problem.n if self.complete_count is None else self.complete_count

    def batches(self, epoch: int, size: int, skip: int = 0) -> Iterator[TensorBatch]:
        """Yield X (m, features), y (m, 1) and any weights (m, 1) of every row once, in batches of `size`.

        The last batch may be short. The first `skip` batches are left out.

        Raises
        ------
        DataError : the source cannot be read, or has changed.
        """
        rng = np.random.default_rng([self.seed % 2**64, epoch]) if self.shuffle else None
        done = skip
        for batch in self._local_batches(rng, self._split_batch(size)[self.group.rank], skip):
            yield batch
            done += 1
        for _ in range(done, self.batches_per_epoch(size)):  # a process that has no more rows waits for the others
            yield tuple(table.to(self.device) for table in self._new_buffer(0))

    def sequential(self) -> Iterator[TensorBatch]:
        """Yield all rows in the order of the source, in chunks that fit into memory."""
        return self._local_batches(None, min(self._buffer_rows, BATCH_ROWS), 0)

    def batches_per_epoch(self, size: int) -> int:
        """Return the number of batches in an epoch: as many as the process with the most."""
        return max(-(-count // each) for count, each in self._counts_and_sizes(size))

    def count_batch_rows(self, number: int, size: int, local: int) -> int:
        """Return how many rows a batch has in all processes."""
        return sum(min(max(count - number * each, 0), each) for count, each in self._counts_and_sizes(size))

    def _counts_and_sizes(self, size: int) -> Iterator[tuple[int, int]]:
        return zip(self.counts or (self.local_n,), self._split_batch(size), strict=True)

    def _split_batch(self, size: int) -> list[int]:
        """Split a batch among the processes; the first ones have one row more where it does not divide."""
        each, more = divmod(size, self.group.size)
        return [each + (rank < more) for rank in range(self.group.size)]

    def _local_batches(self, rng: np.random.Generator | None, size: int, skip: int) -> Iterator[TensorBatch]:
        """Yield the rows of this process in batches, in an order that `rng` draws or in that of the source."""
        if not self.local_n:
            return
        capacity, parts = size, None
        if rng is not None:
            capacity, parts = whole_batches(self._buffer_rows, size), rng.permutation(len(self.source.parts())).tolist()
        with closing(prefetch_items(self._fill_buffers(parts, capacity, reused=rng is not None), depth=1)) as buffers:
            for buffer in buffers:
                order = None if rng is None else rng.permutation(len(buffer[0]))
                skipped = min(skip, -(-len(buffer[0]) // size))
                skip -= skipped
                yield from _cut(buffer, order, size, skipped)

    @property
    def _buffer_rows(self) -> int:
        """The rows of a buffer."""
        width: int = len(self.problem.scale) * self.dtype.itemsize
        return max(self.buffer // width, 1)

    def _fill_buffers(self, parts: Sequence[int] | None, capacity: int, *, reused: bool) -> Iterator[TensorBatch]:
        """Fill buffers with standardized rows in the order of the parts: all but the last have `capacity` rows.

        With `reused` there are two, in turn: the caller must have finished with one before it asks for the next.
        """
        limit = min(capacity, self.local_n)

        new_buffer = partial(self._new_buffer, limit)
        buffers = cycle([new_buffer(), new_buffer()]) if reused else starmap(new_buffer, repeat(()))
        rows_at_once = max(_CELLS_PER_BLOCK // self.design.layout.cells, 1)
        count = filled = 0
        tables = next(buffers)
        with closing(iter_blocks(self.design, self.source, size=rows_at_once, parts=parts)) as blocks:
            for block in blocks:
                at = 0
                while at < block.size and count + at < self.local_n:
                    stop = min(at + len(tables[0]) - filled, block.size)
                    _write(self.problem, block, slice(at, stop), *(table[filled:] for table in tables))
                    filled, at = filled + stop - at, stop
                    if filled == len(tables[0]):
                        yield tuple(table.to(self.device) for table in tables)
                        tables = tuple(table[: self.local_n - count - at] for table in next(buffers))
                        filled = 0
                count += block.size
        require_count(self.source, self.local_n, count)

    def _new_buffer(self, rows: int) -> TensorBatch:
        X = torch.empty((rows, self.features), dtype=self.dtype, device="cpu")
        columns = 1 if self.design.formula.weights is None else 2
        return X, *(X.new_empty((rows, 1)) for _ in range(columns))


def _write(problem: StandardizedProblem, block: Block, at: slice, X: torch.Tensor, y: torch.Tensor, *weights: torch.Tensor) -> None:
    """Standardize some rows of a block in float64, column by column, into the first rows of X, y and the relative weights."""
    if block.weights is not None:
        weights[0][: at.stop - at.start, 0] = torch.from_numpy(problem.relative_weights(block.weights[at]))
    m, layout = at.stop - at.start, block.layout
    table, response = X[:m].numpy(), y[:m].numpy()
    with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite
        for j, (x, _) in zip(layout.dense.tolist(), block.dense, strict=True):
            column = table[:, j] if j < table.shape[1] else response[:, 0]
            column[:] = problem.columns(x[at], j)
        if len(layout.grouped):
            table[:, layout.grouped] = problem.columns(np.zeros(len(layout.grouped)), layout.grouped)
        for indicator in block.indicators:
            rows = np.flatnonzero(indicator.places[at] >= 0)
            j = layout.grouped[indicator.places[at][rows]]
            values = np.ones(len(rows)) if indicator.values is None else indicator.values[at][rows]
            table[rows, j] = problem.columns(values, j)


def _cut(buffer: TensorBatch, order: np.ndarray | None, size: int, skip: int) -> Iterator[TensorBatch]:
    """Cut the rows of a buffer into batches, in an order (m,) or as they lie, without the first `skip` batches."""

    def gather(at: slice) -> Iterator[TensorBatch]:
        with torch.inference_mode(False):  # else the tensors could not take part in a gradient
            tables = [table[at] if order is None else take_rows(table, order[at]) for table in buffer]
        return zip(*(table.split(size) for table in tables), strict=True)

    return gather_in_chunks(len(buffer[0]), size, skip, _ROWS_PER_GATHER, gather)


def require_count(source: Source, expected: int, count: int) -> None:
    """Raise a DataError where a scan counts another number of complete rows than the first one."""
    if count != expected:
        raise DataError(
            f"{source.label} changed while it was read: {expected:,} complete rows at first, then {count:,}. Run again."
        )
