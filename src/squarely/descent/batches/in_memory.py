"""Batches of rows held in memory as tensors."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from squarely.data import RowAccount, Source
from squarely.descent.batches.batch_source import SingleProcess, TensorBatch
from squarely.descent.options.options import DTYPES, TrainingOptions
from squarely.design import Design, iter_blocks
from squarely.moments import StandardizedProblem

_ROWS_PER_GATHER = 2**18  # rows that are put in their order at once: a batch is then a slice, a hundred times cheaper than a gather


@dataclass(frozen=True, eq=False, slots=True)
class InMemoryBatches(SingleProcess):
    """Rows in memory, on the device.

    Attributes
    ----------
    X, y : inputs (n, features) and labels (n, 1).
    seed : of the order of the rows; `shuffle` is whether there is one, `replacement` whether rows are drawn independently.
    """

    X: torch.Tensor
    y: torch.Tensor
    seed: int = 0
    shuffle: bool = True
    replacement: bool = False

    @property
    def n(self) -> int:
        """The number of rows."""
        return len(self.X)

    @property
    def features(self) -> int:
        """The number of inputs."""
        return int(self.X.shape[1])

    def batches(self, epoch: int, size: int | None, skip: int = 0) -> Iterator[TensorBatch]:
        """Yield the rows of an epoch in batches, in the order that seed and epoch give them."""
        if size is None or (size >= self.n and not self.replacement):
            if not skip:
                yield self.X, self.y
            return
        order = epoch_order(epoch, self.n, self.seed, replacement=self.replacement) if self.shuffle else None
        stretch = contiguous_range(size)
        # Whole stretches: after a skip, too, a batch has to lie in memory as it did without one, or products may round otherwise.
        for start in range(skip * size // stretch * stretch, self.n, stretch):
            X, y = self._gather_rows(order, start, start + stretch)
            yield from itertools.islice(zip(X.split(size), y.split(size), strict=True), max(skip - start // size, 0), None)

    def sequential(self) -> Iterator[TensorBatch]:
        """Yield all rows at once."""
        yield self.X, self.y

    def _gather_rows(self, order: np.ndarray | None, start: int, stop: int) -> TensorBatch:
        if order is None:
            return self.X[start:stop], self.y[start:stop]
        return take_rows(self.X, order[start:stop]), take_rows(self.y, order[start:stop])


def take_rows(table: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
    """Copy rows: on the CPU by NumPy, which takes 13 ns for one of nine numbers where torch takes 40, and 90 in two threads."""
    if table.device.type != "cpu":
        return table.index_select(0, torch.from_numpy(rows).to(table.device))
    # In torch's memory, which begins at a multiple of 64 bytes: NumPy's lies now here, now there, and products may round by that.
    made = torch.empty((len(rows), *table.shape[1:]), dtype=table.dtype, device="cpu")
    table.numpy().take(rows, axis=0, out=made.numpy(), mode="clip")  # any other mode would go through a copy
    return made


def epoch_order(epoch: int, n: int, seed: int, *, replacement: bool = False) -> np.ndarray:
    """Give the order of n rows in an epoch: a permutation, or n independent draws. It depends on nothing but these numbers."""
    rng = np.random.default_rng([seed % 2**64, epoch])
    return rng.integers(n, size=n) if replacement else rng.permutation(n)


def same_batches_each_epoch(recipe: TrainingOptions, n: int, features: int) -> bool:
    """Tell whether batches cut from n rows that are gathered at once lie in memory as those of `ColumnInfo` do: products may round alike.

    Matrix products take another way where their first number is not at a multiple of 64 bytes.
    """
    if recipe.batch_size is None or not recipe.shuffle:
        return True
    stretch = contiguous_range(recipe.batch_size)
    size = stretch * DTYPES[recipe.dtype].itemsize
    return n <= stretch or (size % 64 == 0 and size * features % 64 == 0)


def contiguous_range(size: int) -> int:
    """Give how many rows are put in their order at once: whole batches."""
    return max(_ROWS_PER_GATHER // size, 1) * size


def load_batches(
    design: Design, problem: StandardizedProblem, source: Source, recipe: TrainingOptions
) -> tuple[InMemoryBatches, RowAccount]:
    """Read rows into memory, standardised in float64: X (n, features) and y (n, 1) in the recipe's dtype, on its device."""
    values, account = [], RowAccount()
    for block in iter_blocks(design, source):
        values.append(block.values)
        account += block.account
    table = problem.columns(np.concatenate(values)) if values else np.empty((0, len(problem.scale)))  # (n, k)
    with torch.inference_mode(False):  # else the tensors could not take part in a gradient
        tensor = torch.from_numpy(table).to(device=recipe.device, dtype=DTYPES[recipe.dtype])
        return InMemoryBatches(tensor[:, :-1].contiguous(), tensor[:, -1:].contiguous()), account
