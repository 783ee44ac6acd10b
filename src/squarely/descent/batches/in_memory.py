"""Batches of rows held in memory as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch

from squarely.data import RowAccount, Source
from squarely.descent.batches.chunks import ROWS_PER_GATHER, whole_batches
from squarely.descent.options.optimizers import DTYPES
from squarely.descent.options.options import TrainingOptions
from squarely.descent.process_group import SINGLE_PROCESS, ProcessGroup
from squarely.design import Design, iter_blocks
from squarely.moments import StandardizedProblem

TensorBatch = tuple[torch.Tensor, ...]  # inputs (m, features), labels (m, 1) and, if rows have weights, relative weights (m, 1)


@dataclass(frozen=True, eq=False, slots=True)
class InMemoryBatches:
    """Rows in memory, on the device. Several processes make the batches that one process would make of all rows."""

    X: torch.Tensor  # inputs (m, features) of this process
    y: torch.Tensor  # labels (m, 1)
    seed: int = 0  # of the order of the rows
    shuffle: bool = True
    replacement: bool = False  # whether rows are drawn independently
    group: ProcessGroup = SINGLE_PROCESS
    counts: tuple[int, ...] = ()  # rows of each process, in the order of the source; empty for a single process
    weights: torch.Tensor | None = None  # relative weights (m, 1)

    @property
    def tables(self) -> TensorBatch:
        """All rows of this process as one batch."""
        return (self.X, self.y) if self.weights is None else (self.X, self.y, self.weights)

    @property
    def n(self) -> int:
        """The number of rows in all processes."""
        return sum(self.counts) if self.counts else len(self.X)

    @property
    def features(self) -> int:
        """The number of inputs."""
        return int(self.X.shape[1])

    @property
    def first(self) -> int:
        """The position of this process's first row."""
        return sum(self.counts[: self.group.rank])

    def batches(self, epoch: int, size: int, skip: int = 0) -> Iterator[TensorBatch]:
        """Yield the rows of an epoch in batches, in the order that seed and epoch decide."""
        if size >= self.n and not self.replacement:
            return iter([] if skip else [self.tables])
        order = epoch_order(epoch, self.n, self.seed, replacement=self.replacement) if self.shuffle else None
        gather = self._gather_range if self.group.is_single else self._gather_shard
        return gather_in_chunks(self.n, size, skip, ROWS_PER_GATHER, lambda at: gather(order, at, size))

    def sequential(self) -> Iterator[TensorBatch]:
        """Yield all rows of this process at once."""
        return iter([self.tables])

    def batches_per_epoch(self, size: int) -> int:
        """Return the number of batches in an epoch."""
        return -(-self.n // size)

    def count_batch_rows(self, number: int, size: int, local: int) -> int:
        """Return how many rows a batch has in all processes."""
        return min(size, self.n - number * size)

    def _gather_range(self, order: np.ndarray | None, at: slice, size: int) -> Iterable[TensorBatch]:
        tables = [table[at] if order is None else take_rows(table, order[at]) for table in self.tables]
        return zip(*(table.split(size) for table in tables), strict=True)

    def _gather_shard(self, order: np.ndarray | None, at: slice, size: int) -> Iterable[TensorBatch]:
        """Cut the rows of this process out of the batches of all."""
        places = (np.arange(*at.indices(self.n)) if order is None else order[at]) - self.first
        local = np.flatnonzero((places >= 0) & (places < len(self.X)))
        sizes = np.diff(np.searchsorted(local, [*range(0, len(places), size), len(places)])).tolist()
        rows = places[local]
        return zip(*(take_rows(table, rows).split(sizes) for table in self.tables), strict=True)


def gather_in_chunks(
    n: int, size: int, skip: int, limit: int, gather: Callable[[slice], Iterable[TensorBatch]]
) -> Iterator[TensorBatch]:
    """Yield batches of `size` of n rows, which `gather` returns for up to `limit` rows at once, without the first `skip` batches.

    Chunks are whole: after a skip, too, a batch has the same place in memory, because products may round by that.
    """
    chunk = whole_batches(limit, size)
    for start in range(skip * size // chunk * chunk, n, chunk):
        yield from islice(gather(slice(start, start + chunk)), max(skip - start // size, 0), None)


def take_rows(table: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
    """Copy rows: on the CPU by NumPy, which takes 13 ns for a row of nine numbers; torch takes 40, and 90 in two threads."""
    if table.device.type != "cpu":
        return table.index_select(0, torch.from_numpy(rows).to(table.device))
    # Torch's memory begins at a multiple of 64 bytes. NumPy's may begin anywhere, and products may round by that.
    taken = torch.empty((len(rows), *table.shape[1:]), dtype=table.dtype, device="cpu")
    table.numpy().take(rows, axis=0, out=taken.numpy(), mode="clip")  # other modes make another copy
    return taken


def epoch_order(epoch: int, n: int, seed: int, *, replacement: bool = False) -> np.ndarray:
    """Return the order of n rows in an epoch: a permutation, or n independent draws. It depends on these arguments alone."""
    rng = np.random.default_rng([seed % 2**64, epoch])
    return rng.integers(n, size=n) if replacement else rng.permutation(n)


def load_batches(
    design: Design, problem: StandardizedProblem, source: Source, options: TrainingOptions, *, own_mean: bool = False
) -> tuple[InMemoryBatches, RowAccount]:
    """Read rows into memory, standardized in float64: X (n, features) and y (n, 1) with dtype and device of the options.

    Weights are relative to the mean weight of the problem, or with `own_mean` to that of these rows.
    """
    values, weights, account = [], [], RowAccount()
    for block in iter_blocks(design, source):
        values.append(block.values)
        weights += [] if block.weights is None else [block.weights]
        account += block.account
    table = problem.columns(np.concatenate(values)) if values else np.empty((0, len(problem.scale)))  # (n, k)
    with torch.inference_mode(False):  # else the tensors could not take part in a gradient
        tensor = torch.from_numpy(table).to(device=options.device, dtype=DTYPES[options.dtype])
        batches = InMemoryBatches(tensor[:, :-1].contiguous(), tensor[:, -1:].contiguous())
        if weights:
            column = np.concatenate(weights)[:, None]
            relative = column / column.mean() if own_mean else problem.relative_weights(column)
            batches = replace(batches, weights=torch.from_numpy(relative).to(tensor))
        return batches, account
