"""`BatchSource`: the standardized rows of a run, in batches whose order a seed and the epoch decide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from squarely.data import RowAccount, Source, scan_purpose
from squarely.descent.process_group import SINGLE_PROCESS, ProcessGroup
from squarely.design import Design, iter_blocks
from squarely.errors import DataError

TensorBatch = tuple[torch.Tensor, torch.Tensor]  # inputs (m, features) and labels (m, 1)


class BatchSource(Protocol):
    """The rows of a run, of which other processes may have a shard."""

    @property
    def n(self) -> int:
        """The number of rows in all processes."""

    @property
    def features(self) -> int:
        """The number of inputs."""

    @property
    def group(self) -> ProcessGroup:
        """The processes that have the rows."""

    def batches(self, epoch: int, size: int, skip: int = 0) -> Iterator[TensorBatch]:
        """Yield the rows of an epoch in batches of `size`, the last one shorter, without the first `skip` batches.

        With several processes, each yields its own rows of a batch, or none.

        Raises
        ------
        NonFiniteRowError : a row that is read again each epoch is no longer finite.
        """

    def sequential(self) -> Iterator[TensorBatch]:
        """Yield the rows of this process in the order of the source."""

    def batches_per_epoch(self, size: int) -> int:
        """Return the number of batches in an epoch."""

    def count_batch_rows(self, number: int, size: int, local: int) -> int:
        """Return how many rows a batch of an epoch has in all processes, where this one has `local` rows of it."""


class NonFiniteRowError(Exception):
    """A row is no longer finite; the message names it. The loop ends."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class NoBatches:
    """The size of the rows alone, for a loop on cross-products."""

    n: int
    features: int
    group: ProcessGroup = SINGLE_PROCESS

    def batches(self, epoch: int, size: int, skip: int = 0) -> Iterator[TensorBatch]:
        """Yield nothing."""
        return iter(())

    def sequential(self) -> Iterator[TensorBatch]:
        """Yield nothing."""
        return iter(())

    def batches_per_epoch(self, size: int) -> int:
        """Return 1: every step uses all rows."""
        return 1

    def count_batch_rows(self, number: int, size: int, local: int) -> int:
        """Return the number of rows."""
        return self.n


def account_rows(design: Design, source: Source) -> RowAccount:
    """Count the complete rows of a source, and the others by what they lack."""
    with scan_purpose("number of rows"):
        return sum((block.account for block in iter_blocks(design, source)), RowAccount())


def require_count(source: Source, expected: int, count: int) -> None:
    """Raise a DataError where a scan counts another number of complete rows than the first one."""
    if count != expected:
        raise DataError(
            f"{source.label} changed while it was read: {expected:,} complete rows at first, then {count:,}. Run again."
        )
