"""Rows for a loop that do not fit into memory: streamed from their source, standardised, in batches and in a shuffled order.

The order has two levels (CorgiPile, doi:10.1145/3514221.3526150): the parts of the source, such as the row groups of Parquet
files, are read in an order drawn anew for every epoch, and what a buffer holds of them is shuffled as a whole. A thread of its
own fills the next buffer meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice

import numpy as np
import torch

from squarely.data import BATCH_ROWS, Source, prefetch, scan_purpose
from squarely.descent.batches.batch_source import SingleProcess, TensorBatch, require_count
from squarely.descent.batches.in_memory import take_rows
from squarely.design import Block, Design, iter_blocks
from squarely.moments import StandardizedProblem

BUFFER = 2**26  # bytes
_CELLS_PER_BLOCK = 2**22  # numbers of the design's columns that are worked out together
_ROWS_PER_GATHER = 2**16  # rows that are put in their order together: a batch is then a slice, which costs next to nothing


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamedBatches(SingleProcess):
    """The complete rows of a source, or of some of its parts, in batches: every row once an epoch, in little memory.

    The order depends on the seed, the epoch, the size of the batches and that of the buffer, and on nothing else. It is as good a
    shuffle as the buffer is large: a buffer full of rows is from a few parts, and rows of a source that is a single part, such as
    a CSV file, move no further than a buffer is long. Nobody is told how far its scans have come: whoever trains knows that.

    Attributes
    ----------
    design, source, problem : the columns, where the rows are, and how they are standardised.
    dtype, device : of the batches.
    seed : of the order.
    shuffle : whether there is one; if not, rows come in the order of the source.
    buffer : bytes that a buffer takes, if that is no less than a batch; two are held at a time.
    parts : the numbers of the source's parts that are read, such as a rank's share; None for all.
    complete_count : the complete rows of the whole source; None where they are those of the problem, as they are not for validation.
    """

    design: Design
    source: Source
    problem: StandardizedProblem
    dtype: torch.dtype = torch.float32
    device: torch.device | str = "cpu"
    seed: int = 0
    shuffle: bool = True
    buffer: int = BUFFER
    parts: Sequence[int] | None = None
    complete_count: int | None = None

    @property
    def features(self) -> int:
        """The number of columns of X."""
        return len(self.problem.scale) - 1

    @cached_property
    def n(self) -> int:
        """The number of complete rows; those of a share are counted by a scan of it where some rows may have gaps."""
        complete: int = self.problem.n if self.complete_count is None else self.complete_count
        if self.parts is None:
            return complete
        known = [part.rows or 0 for part in self.source.parts()]
        if sum(known) == complete:  # no row has a gap
            return sum(known[i] for i in self.parts)
        with scan_purpose("number of rows"):
            return sum(block.size for block in iter_blocks(self.design, self.source, parts=self.parts))

    def batches(self, epoch: int, size: int | None, skip: int = 0) -> Iterator[TensorBatch]:
        """Yield X (m, features) and y (m, 1) of every row once, in batches of `size` of which the last may be short.

        Without a size they come in the order of the source, in chunks that suit memory. The first `skip` batches are passed over.

        Raises
        ------
        DataError : the source cannot be read, or has changed.
        """
        if not self.n:
            return
        step = size or self._chunk_rows
        if size is None or not self.shuffle:
            rng, capacity, parts = None, step, self.parts
        else:
            rng = np.random.default_rng([self.seed % 2**64, epoch])
            capacity, parts = max(self._buffer_rows // step, 1) * step, self._draw_parts(rng)
        with closing(prefetch(self._fill_buffers(parts, capacity, reused=rng is not None), depth=1)) as buffers:
            for buffer in buffers:
                order = None if rng is None else rng.permutation(len(buffer[0]))
                passed = min(skip, -(-len(buffer[0]) // step))
                skip -= passed
                yield from _cut(buffer, order, step, passed)

    def sequential(self) -> Iterator[TensorBatch]:
        """Yield all rows in the order of the source, in chunks that suit memory."""
        return self.batches(0, None)

    @property
    def _buffer_rows(self) -> int:
        """The rows that a buffer holds."""
        width: int = len(self.problem.scale) * self.dtype.itemsize
        return max(self.buffer // width, 1)

    @property
    def _chunk_rows(self) -> int:
        return min(self._buffer_rows, BATCH_ROWS)

    def _draw_parts(self, rng: np.random.Generator) -> Sequence[int]:
        """Draw an order of the parts."""
        parts = range(len(self.source.parts())) if self.parts is None else self.parts
        drawn: list[int] = rng.permutation(np.asarray(parts, dtype=np.int64)).tolist()
        return drawn

    def _fill_buffers(self, parts: Sequence[int] | None, capacity: int, *, reused: bool) -> Iterator[TensorBatch]:
        """Fill buffers with standardised rows in the order of the parts: all but the last have `capacity` rows.

        With `reused` there are two, in turn: each is to be done with when the next one is asked for.
        """
        spare = cycle([self._new_buffer(min(capacity, self.n)) for _ in range(2)]) if reused else None
        at_once = max(_CELLS_PER_BLOCK // self.design.layout.cells, 1)
        met = filled = 0
        X, y = self._next_buffer(min(capacity, self.n), spare)
        with closing(iter_blocks(self.design, self.source, size=at_once, parts=parts)) as blocks:
            for block in blocks:
                at = 0
                while at < block.size and met + at < self.n:
                    stop = min(at + len(X) - filled, block.size)
                    _write(self.problem, block, slice(at, stop), X[filled:], y[filled:])
                    filled, at = filled + stop - at, stop
                    if filled == len(X):
                        yield X.to(self.device), y.to(self.device)
                        X, y = self._next_buffer(min(capacity, self.n - met - at), spare)
                        filled = 0
                met += block.size
        require_count(self.source, self.n, met)

    def _next_buffer(self, size: int, spare: Iterator[TensorBatch] | None) -> TensorBatch:
        X, y = self._new_buffer(size) if spare is None else next(spare)
        return X[:size], y[:size]

    def _new_buffer(self, size: int) -> TensorBatch:
        return (
            torch.empty((size, self.features), dtype=self.dtype, device="cpu"),
            torch.empty((size, 1), dtype=self.dtype, device="cpu"),
        )


def _write(problem: StandardizedProblem, block: Block, at: slice, X: torch.Tensor, y: torch.Tensor) -> None:
    """Standardise some rows of a block in float64, column by column, into the first rows of X and y."""
    m, layout = at.stop - at.start, block.layout
    table, response = X[:m].numpy(), y[:m].numpy()
    with np.errstate(over="ignore"):  # what float32 does not hold is infinite there
        for j, (x, _) in zip(layout.dense.tolist(), block.dense, strict=True):
            column = table[:, j] if j < table.shape[1] else response[:, 0]
            column[:] = problem.column(x[at], j)
        if len(layout.grouped):
            table[:, layout.grouped] = problem.column(np.zeros(len(layout.grouped)), layout.grouped)
        for spread in block.indicators:
            there = np.flatnonzero(spread.places[at] >= 0)
            j = layout.grouped[spread.places[at][there]]
            values = np.ones(len(there)) if spread.values is None else spread.values[at][there]
            table[there, j] = problem.column(values, j)


def _cut(buffer: TensorBatch, order: np.ndarray | None, size: int, skip: int) -> Iterator[TensorBatch]:
    """Cut the rows of a buffer into batches, in an order (m,) or as they lie; the first `skip` batches are left out."""
    stretch = max(_ROWS_PER_GATHER // size, 1) * size
    # Whole stretches: after a skip, too, a batch has to lie in memory as it did without one, or products may round otherwise.
    for start in range(skip * size // stretch * stretch, len(buffer[0]), stretch):
        at = slice(start, start + stretch)
        with torch.inference_mode(False):  # else the tensors could not take part in a gradient
            X, y = (table[at] if order is None else take_rows(table, order[at]) for table in buffer)
        yield from islice(zip(X.split(size), y.split(size), strict=True), max(skip - start // size, 0), None)
