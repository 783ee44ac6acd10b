"""The rows that a loop sees, standardised: held in memory, and handed out in batches whose order a seed and the epoch decide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from squarely.data import RowAccount, Source, scan_purpose
from squarely.design import Design, iter_blocks
from squarely.errors import DataError
from squarely.numerics import Array

TensorBatch = tuple[torch.Tensor, torch.Tensor]  # inputs (m, features) and labels (m, 1)


class BatchSource(Protocol):
    """What a loop asks of its rows, which other processes may have a share of."""

    @property
    def n(self) -> int:
        """How many rows there are, in all processes."""

    @property
    def features(self) -> int:
        """How many inputs each row has."""

    def batches(self, epoch: int, size: int | None, skip: int = 0) -> Iterator[TensorBatch]:
        """Yield every row of an epoch once, in batches of `size`, the last one shorter; the first `skip` of them are left out.

        Without a size they come in the order of the source, as they lie. Of a batch of several processes this one yields its own
        rows, which may be none.

        Raises
        ------
        SpoiltError : a row that is read anew each epoch has no number any more.
        """

    def sequential(self) -> Iterator[TensorBatch]:
        """Yield every row of this process once, in the order of the source."""

    def batches_per_epoch(self, size: int) -> int:
        """Tell how many batches an epoch has."""

    def count_batch_rows(self, number: int, size: int, here: int) -> int:
        """Tell how many rows a batch of an epoch has in all processes, when `here` are in this one."""

    def all_reduce(self, values: Array) -> Array:
        """Add sums over the rows of this process to those of the others."""


class SingleProcess:
    """Rows that are all in this process."""

    __slots__ = ()

    def batches_per_epoch(self: BatchSource, size: int) -> int:
        """Tell how many batches an epoch has."""
        return -(-self.n // size)

    def count_batch_rows(self, number: int, size: int, here: int) -> int:
        """Tell how many rows a batch has: those that are here."""
        return here

    def all_reduce(self, values: Array) -> Array:
        """Give sums over the rows as they are: there are no others."""
        return values


class NonFiniteRowError(Exception):
    """A row has come to hold what is not a number; the message names it. The loop ends for it."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class NoBatches(SingleProcess):
    """Rows that a loop on cross-products has no need of: it knows only how many there are, and of how many inputs."""

    n: int
    features: int

    def batches(self, epoch: int, size: int | None, skip: int = 0) -> Iterator[TensorBatch]:
        """Yield nothing."""
        return iter(())

    def sequential(self) -> Iterator[TensorBatch]:
        """Yield nothing."""
        return iter(())


def account_rows(design: Design, source: Source) -> RowAccount:
    """Count the rows of a source: how many are complete, and why the others are not."""
    with scan_purpose("number of rows"):
        return sum((block.account for block in iter_blocks(design, source)), RowAccount())


def require_count(source: Source, expected: int, met: int) -> None:
    """Raise a DataError where a scan has met another number of complete rows than the first one."""
    if met != expected:
        raise DataError(f"{source.label} changed while it was read: {expected:,} complete rows at first, then {met:,}. Run again.")
