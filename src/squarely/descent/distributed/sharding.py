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
from squarely.descent.batches.batch_source import Batch, Rows
from squarely.descent.batches.in_memory import Held, order_of, stretch_of, taken
from squarely.descent.batches.streamed import Streamed
from squarely.descent.distributed.process_group import Team
from squarely.descent.loop.signals import Halting
from squarely.descent.loop.stopping import is_yes
from squarely.descent.model.gradients import Gradient
from squarely.descent.options.options import Recipe
from squarely.design import Design
from squarely.errors import OptionError
from squarely.moments import Fold
from squarely.numerics import Array

R = TypeVar("R", Held, Streamed)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Shared(Generic[R]):
    """Rows of which each process has some.

    Attributes
    ----------
    own : the rows of this process.
    counts : how many each process has.
    """

    own: R
    team: Team
    counts: tuple[int, ...]

    @property
    def n(self) -> int:
        """The number of rows of all processes."""
        return sum(self.counts)

    @property
    def features(self) -> int:
        """The number of inputs."""
        return self.own.features

    def chunks(self) -> Iterator[Batch]:
        """Yield the rows of this process, in the order of the source."""
        return self.own.chunks()

    def summed(self, values: Array) -> Array:
        """Sum over the processes."""
        return self.team.added([values])[0]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SharedHeld(_Shared[Held]):
    """Rows in memory, shared out in the order of the source: the batches are those that one process would make of all."""

    def batches(self, epoch: int, size: int | None, skip: int = 0) -> Iterator[Batch]:
        """Yield of each batch the rows that are here."""
        own, n = self.own, self.n
        if size is None or (size >= n and not own.replacement):
            if not skip:
                yield own.X, own.y
            return
        first = sum(self.counts[: self.team.rank])
        order = order_of(epoch, n, own.seed, replacement=own.replacement) if own.shuffle else np.arange(n)
        stretch = stretch_of(size)
        for start in range(skip * size // stretch * stretch, n, stretch):  # as `ColumnInfo`, whose batches lie alike after a skip
            drawn = order[start : start + stretch] - first
            here = np.flatnonzero((drawn >= 0) & (drawn < own.n))
            ends = np.searchsorted(here, [*range(0, len(drawn), size), len(drawn)])
            sizes = np.diff(ends).tolist()
            batches = zip(taken(own.X, drawn[here]).split(sizes), taken(own.y, drawn[here]).split(sizes), strict=True)
            yield from islice(batches, max(skip - start // size, 0), None)

    def steps(self, size: int) -> int:
        """Tell how many batches an epoch has."""
        return -(-self.n // size)

    def rows_of(self, number: int, size: int, here: int) -> int:
        """Tell how many rows a batch has in all processes."""
        return min(size, self.n - number * size)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SharedStream(_Shared[Streamed]):
    """Rows that stream by, each process's own in an order of its own; who is through first waits for the others."""

    def batches(self, epoch: int, size: int | None, skip: int = 0) -> Iterator[Batch]:
        """Yield of each batch the rows that are here; without a size, the rows as they lie."""
        if size is None:
            yield from self.own.batches(epoch, None, skip)
            return
        done = skip
        for batch in self.own.batches(epoch, self._sizes(size)[self.team.rank], skip):
            yield batch
            done += 1
        for _ in range(done, self.steps(size)):
            X = torch.empty((0, self.features), dtype=self.own.dtype, device=self.own.device)
            yield X, X.new_empty((0, 1))

    def steps(self, size: int) -> int:
        """Tell how many batches an epoch has: as many as whoever has most of them."""
        return max(-(-count // each) for count, each in zip(self.counts, self._sizes(size), strict=True))

    def rows_of(self, number: int, size: int, here: int) -> int:
        """Tell how many rows a batch has in all processes."""
        sizes = self._sizes(size)
        return sum(min(max(count - number * each, 0), each) for count, each in zip(self.counts, sizes, strict=True))

    def _sizes(self, size: int) -> list[int]:
        """Share a batch out: to the first processes one row more where it does not divide."""
        each, more = divmod(size, self.team.size)
        return [each + (rank < more) for rank in range(self.team.size)]


def shared(own: Held | Streamed, team: Team) -> Rows:
    """Give the rows of all processes, of which these are in this one."""
    if team.alone:
        return own
    counts = tuple(team.gathered([own.n])[:, 0].tolist())
    if isinstance(own, Held):
        return SharedHeld(own=own, team=team, counts=counts)
    seed = int(np.random.SeedSequence([own.seed % 2**64, team.rank]).generate_state(1, np.uint64)[0])
    return SharedStream(own=replace(own, seed=seed), team=team, counts=counts)  # the same order would pair the rows of processes


def require_a_row_each(recipe: Recipe, team: Team) -> None:
    """Refuse to stream batches that have fewer rows than there are processes: some would never come to their end."""
    if recipe.batch_size is not None and recipe.batch_size < team.size:
        raise OptionError(
            f"batch_size={recipe.batch_size} has no row for some of the {team.size} processes, and each streams its own. Give at "
            f"least batch_size={team.size}, or hold the rows with stream=False."
        )


def shared_gradient(gradient: Gradient, model: nn.Module, team: Team, halting: Halting) -> Gradient:
    """Give the gradient of the rows of all processes: the sum of what each makes of its own, with the loss, in one message.

    In it travels, too, whether a signal has asked one of them to stop: all halt at the same step.
    """
    if team.alone:
        return gradient
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    halting.alone = False

    def of_all(chunks: Iterable[Batch], n: int) -> torch.Tensor:
        some = (chunk for chunk in chunks if len(chunk[1]))
        first = next(some, None)
        for parameter in parameters if first is None else ():
            parameter.grad = None
        loss = parameters[0].detach().new_zeros(()) if first is None else gradient(chain([first], some), n)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        *gradients, loss, halts = team.summed([*gradients, loss, torch.full_like(loss, halting.met is not None)])
        halting.agreed = halting.agreed or bool(halts)
        for parameter, summed in zip(parameters, gradients, strict=True):
            parameter.grad = summed
        return loss

    return of_all


def shared_fold(fold: Fold, share: Source, team: Team, recipe: Recipe) -> Fold:
    """Give a fold of all rows that reads a share of them, and adds what the other processes have read."""
    if team.alone:
        return fold

    def folded(design: Design, source: Source) -> tuple[Array, RowAccount]:
        team.require_same(_decisive(design, recipe))
        gram, account = team.agreed(lambda: fold(design, share))
        whole = of_all(account, team)
        return team.added([gram])[0], whole

    return folded


def of_all(account: RowAccount, team: Team) -> RowAccount:
    """Add the accounts of all processes."""
    return reduce(add, [RowAccount(**json.loads(text)) for text in team.texts(json.dumps(asdict(account)))])


def shared_recipe(recipe: Recipe, team: Team) -> Recipe:
    """Give the recipe with callbacks whose wish to stop is everybody's."""
    return recipe if team.alone else replace(recipe, callbacks=tuple(_heard(function, team) for function in recipe.functions))


def _heard(function: Callable[..., Any], team: Team) -> Callable[..., bool]:
    def heard(epoch: Any) -> bool:
        return team.wished(is_yes(function(epoch)))

    heard.__name__ = getattr(function, "__name__", type(function).__name__)  # who asked for it is told
    return heard


def _decisive(design: Design, recipe: Recipe) -> dict[str, Any]:
    """Give what processes have to share to train together: the formula, what was learnt of the first rows, and the options."""
    options = {each.name: getattr(recipe, each.name) for each in fields(recipe) if each.name != "device"}
    return {
        "formula": design.formula.text,
        "columns": list(design.names),
        "centres of the first rows": design.centers.tolist(),
        "scales of the first rows": design.scales.tolist(),
        **{name: value for name, value in options.items() if isinstance(value, str | int | float | None)},
    }
