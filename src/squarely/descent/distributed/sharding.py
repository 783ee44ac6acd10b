"""What a Team makes of a run: rows of which each process has a share, and a gradient that is the sum of theirs.

A batch is a batch of all processes: each has some of its rows, or none, and the mean is over all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import reduce
from itertools import chain, islice
from operator import add
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import nn

from squarely.data import RowAccount, Source
from squarely.descent.batches.batch_source import BatchSource, TensorBatch
from squarely.descent.batches.in_memory import InMemoryBatches, contiguous_range, epoch_order, take_rows
from squarely.descent.batches.streamed import StreamedBatches
from squarely.descent.distributed.process_group import ProcessGroup
from squarely.descent.loop.signals import SignalHandler
from squarely.descent.loop.stopping import is_yes
from squarely.descent.model.gradients import Gradient
from squarely.descent.options.options import TrainingOptions
from squarely.design import Design
from squarely.errors import OptionError
from squarely.moments import Fold
from squarely.numerics import Array

R = TypeVar("R", InMemoryBatches, StreamedBatches)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _ShardedSource(Generic[R]):
    """Rows of which each process has some.

    Attributes
    ----------
    local : the rows of this process.
    counts : how many each process has.
    """

    local: R
    process_group: ProcessGroup
    counts: tuple[int, ...]

    @property
    def n(self) -> int:
        """The number of rows of all processes."""
        return sum(self.counts)

    @property
    def features(self) -> int:
        """The number of inputs."""
        return self.local.features

    def sequential(self) -> Iterator[TensorBatch]:
        """Yield the rows of this process, in the order of the source."""
        return self.local.sequential()

    def all_reduce(self, values: Array) -> Array:
        """Sum over the processes."""
        return self.process_group.all_reduce_arrays([values])[0]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ShardedBatches(_ShardedSource[InMemoryBatches]):
    """Rows in memory, shared out in the order of the source: the batches are those that one process would make of all."""

    def batches(self, epoch: int, size: int | None, skip: int = 0) -> Iterator[TensorBatch]:
        """Yield of each batch the rows that are here."""
        own, n = self.local, self.n
        if size is None or (size >= n and not own.replacement):
            if not skip:
                yield own.X, own.y
            return
        first = sum(self.counts[: self.process_group.rank])
        order = epoch_order(epoch, n, own.seed, replacement=own.replacement) if own.shuffle else np.arange(n)
        stretch = contiguous_range(size)
        for start in range(skip * size // stretch * stretch, n, stretch):  # as `ColumnInfo`, whose batches lie alike after a skip
            drawn = order[start : start + stretch] - first
            here = np.flatnonzero((drawn >= 0) & (drawn < own.n))
            ends = np.searchsorted(here, [*range(0, len(drawn), size), len(drawn)])
            sizes = np.diff(ends).tolist()
            batches = zip(take_rows(own.X, drawn[here]).split(sizes), take_rows(own.y, drawn[here]).split(sizes), strict=True)
            yield from islice(batches, max(skip - start // size, 0), None)

    def batches_per_epoch(self, size: int) -> int:
        """Tell how many batches an epoch has."""
        return -(-self.n // size)

    def count_batch_rows(self, number: int, size: int, here: int) -> int:
        """Tell how many rows a batch has in all processes."""
        return min(size, self.n - number * size)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ShardedStream(_ShardedSource[StreamedBatches]):
    """Rows that stream by, each process's own in an order of its own; who is through first waits for the others."""

    def batches(self, epoch: int, size: int | None, skip: int = 0) -> Iterator[TensorBatch]:
        """Yield of each batch the rows that are here; without a size, the rows as they lie."""
        if size is None:
            yield from self.local.batches(epoch, None, skip)
            return
        done = skip
        for batch in self.local.batches(epoch, self._split_batch(size)[self.process_group.rank], skip):
            yield batch
            done += 1
        for _ in range(done, self.batches_per_epoch(size)):
            X = torch.empty((0, self.features), dtype=self.local.dtype, device=self.local.device)
            yield X, X.new_empty((0, 1))

    def batches_per_epoch(self, size: int) -> int:
        """Tell how many batches an epoch has: as many as whoever has most of them."""
        return max(-(-count // each) for count, each in zip(self.counts, self._split_batch(size), strict=True))

    def count_batch_rows(self, number: int, size: int, here: int) -> int:
        """Tell how many rows a batch has in all processes."""
        sizes = self._split_batch(size)
        return sum(min(max(count - number * each, 0), each) for count, each in zip(self.counts, sizes, strict=True))

    def _split_batch(self, size: int) -> list[int]:
        """Share a batch out: to the first processes one row more where it does not divide."""
        each, more = divmod(size, self.process_group.size)
        return [each + (rank < more) for rank in range(self.process_group.size)]


def shard_batches(own: InMemoryBatches | StreamedBatches, team: ProcessGroup) -> BatchSource:
    """Give the rows of all processes, of which these are in this one."""
    if team.is_single:
        return own
    counts = tuple(team.all_gather_counts([own.n])[:, 0].tolist())
    if isinstance(own, InMemoryBatches):
        return ShardedBatches(local=own, process_group=team, counts=counts)
    seed = int(np.random.SeedSequence([own.seed % 2**64, team.rank]).generate_state(1, np.uint64)[0])
    return ShardedStream(
        local=replace(own, seed=seed), process_group=team, counts=counts
    )  # the same order would pair the rows of processes


def require_a_row_each(options: TrainingOptions, team: ProcessGroup) -> None:
    """Refuse to stream batches that have fewer rows than there are processes: some would never come to their end."""
    if options.batch_size is not None and options.batch_size < team.size:
        raise OptionError(
            f"batch_size={options.batch_size} has no row for some of the {team.size} processes, and each streams its own. Give at "
            f"least batch_size={team.size}, or hold the rows with stream=False."
        )


def all_reduce_gradient(gradient: Gradient, model: nn.Module, team: ProcessGroup, halting: SignalHandler) -> Gradient:
    """Give the gradient of the rows of all processes: the sum of what each makes of its own, with the loss, in one message.

    In it travels, too, whether a signal has asked one of them to stop: all halt at the same step.
    """
    if team.is_single:
        return gradient
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    halting.is_single = False

    def of_all(chunks: Iterable[TensorBatch], n: int) -> torch.Tensor:
        some = (chunk for chunk in chunks if len(chunk[1]))
        first = next(some, None)
        for parameter in parameters if first is None else ():
            parameter.grad = None
        loss = parameters[0].detach().new_zeros(()) if first is None else gradient(chain([first], some), n)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        *gradients, loss, halts = team.all_reduce([*gradients, loss, torch.full_like(loss, halting.signal_number is not None)])
        halting.is_agreed = halting.is_agreed or bool(halts)
        for parameter, summed in zip(parameters, gradients, strict=True):
            parameter.grad = summed
        return loss

    return of_all


def all_reduce_fold(fold: Fold, share: Source, team: ProcessGroup, options: TrainingOptions) -> Fold:
    """Give a fold of all rows that reads a share of them, and adds what the other processes have read."""
    if team.is_single:
        return fold

    def folded(design: Design, source: Source) -> tuple[Array, RowAccount]:
        team.require_same(_values_to_match(design, options))
        gram, account = team.run_on_all(lambda: fold(design, share))
        whole = all_reduce_account(account, team)
        return team.all_reduce_arrays([gram])[0], whole

    return folded


def all_reduce_account(account: RowAccount, team: ProcessGroup) -> RowAccount:
    """Add the accounts of all processes."""
    return reduce(add, [RowAccount(**json.loads(text)) for text in team.all_gather_texts(json.dumps(asdict(account)))])


def all_reduce_callbacks(options: TrainingOptions, team: ProcessGroup) -> TrainingOptions:
    """Give the options with callbacks whose wish to stop is everybody's."""
    return (
        options
        if team.is_single
        else replace(options, callbacks=tuple(_synchronize_callback(function, team) for function in options.callback_list))
    )


def _synchronize_callback(function: Callable[..., Any], team: ProcessGroup) -> Callable[..., bool]:
    def heard(epoch: Any) -> bool:
        return team.any(is_yes(function(epoch)))

    heard.__name__ = getattr(function, "__name__", type(function).__name__)  # who asked for it is told
    return heard


def _values_to_match(design: Design, options: TrainingOptions) -> dict[str, Any]:
    """Give what processes have to share to train together: the formula, what was learnt of the first rows, and the options."""
    values = {each.name: getattr(options, each.name) for each in fields(options) if each.name != "device"}
    return {
        "formula": design.formula.text,
        "columns": list(design.names),
        "centers of the first rows": design.centers.tolist(),
        "scales of the first rows": design.scales.tolist(),
        **{name: value for name, value in values.items() if isinstance(value, str | int | float | None)},
    }
