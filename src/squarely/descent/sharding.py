"""Training in several processes: the rows of each, and gradients, accounts and callbacks that all share.

A batch has rows of all processes: each has some of them, or none, and the mean is over all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, fields, replace
from functools import reduce
from itertools import chain
from operator import add
from typing import Any

import numpy as np
import torch
from torch import nn

from squarely.data import RowAccount, Source
from squarely.descent.batches.in_memory import InMemoryBatches, TensorBatch
from squarely.descent.batches.streamed import StreamedBatches
from squarely.descent.loop.signals import SignalHandler
from squarely.descent.loop.stopping import is_yes
from squarely.descent.model.gradients import Gradient
from squarely.descent.options.options import TrainingOptions
from squarely.descent.process_group import ProcessGroup
from squarely.design import Design
from squarely.errors import OptionError
from squarely.moments import Fold
from squarely.numerics import Array


def shard_batches(local: InMemoryBatches | StreamedBatches, group: ProcessGroup) -> InMemoryBatches | StreamedBatches:
    """Return the batches of the rows of all processes, of which `local` has those of this one."""
    if group.is_single:
        return local
    counts = tuple(group.all_gather_counts([local.n])[:, 0].tolist())
    seed = local.seed
    if isinstance(local, StreamedBatches):  # at one seed all would read their parts in the same order
        seed = int(np.random.SeedSequence([seed % 2**64, group.rank]).generate_state(1, np.uint64)[0])
    return replace(local, seed=seed, group=group, counts=counts)


def require_a_row_each(options: TrainingOptions, group: ProcessGroup) -> None:
    """Raise an OptionError where streamed batches have fewer rows than there are processes: some would never end."""
    if options.batch_size is not None and options.batch_size < group.size:
        raise OptionError(
            f"batch_size={options.batch_size} has no row for some of the {group.size} processes, and each streams its own. Give at "
            f"least batch_size={group.size}, or hold the rows in memory with stream=False."
        )


def all_reduce_gradient(gradient: Gradient, model: nn.Module, group: ProcessGroup, signals: SignalHandler) -> Gradient:
    """Return the gradient of the rows of all processes: the sum of theirs, reduced with the loss in one message.

    The message also says whether a signal asks one of them to stop: all stop at the same step.
    """
    if group.is_single:
        return gradient
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    signals.is_single = False

    def reduced(chunks: Iterable[TensorBatch], n: int) -> torch.Tensor:
        nonempty = (chunk for chunk in chunks if len(chunk[1]))
        first = next(nonempty, None)
        for parameter in parameters if first is None else ():
            parameter.grad = None
        loss = parameters[0].detach().new_zeros(()) if first is None else gradient(chain([first], nonempty), n)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        *gradients, loss, stops = group.all_reduce([*gradients, loss, torch.full_like(loss, signals.signal_number is not None)])
        signals.is_agreed = signals.is_agreed or bool(stops)
        for parameter, summed in zip(parameters, gradients, strict=True):
            parameter.grad = summed
        return loss

    return reduced


def all_reduce_fold(fold: Fold, shard: Source, group: ProcessGroup, options: TrainingOptions) -> Fold:
    """Return a fold of all rows that reads a shard of them and adds those of the other processes.

    The processes must share the formula, the statistics of the first rows, and the options.
    """
    if group.is_single:
        return fold

    def reduced(design: Design, source: Source) -> tuple[Array, RowAccount]:
        statistics = {"centers of the first rows": design.centers.tolist(), "scales of the first rows": design.scales.tolist()}
        values = {each.name: getattr(options, each.name) for each in fields(options) if each.name != "device"}
        plain = {name: value for name, value in values.items() if isinstance(value, str | int | float | None)}
        group.require_same(
            {
                "formula": design.formula.text,
                "columns": list(design.names),
                "weights": design.formula.weights_option,
                **statistics,
                **plain,
            }
        )
        gram, account = group.run_on_all(lambda: fold(design, shard))
        total = all_reduce_account(account, group)
        return group.all_reduce_arrays([gram])[0], total

    return reduced


def all_reduce_account(account: RowAccount, group: ProcessGroup) -> RowAccount:
    """Add the accounts of all processes."""
    return reduce(add, [RowAccount(**values) for values in group.all_gather_json(asdict(account))])


def all_reduce_callbacks(options: TrainingOptions, group: ProcessGroup) -> TrainingOptions:
    """Return the options with callbacks that stop all processes where one of them answers True."""
    if group.is_single:
        return options

    def synchronize(function: Callable[..., Any]) -> Callable[..., bool]:
        def synchronized(epoch: Any) -> bool:
            return group.any(is_yes(function(epoch)))

        synchronized.__name__ = getattr(function, "__name__", type(function).__name__)  # the stop reason names it
        return synchronized

    return replace(options, callbacks=tuple(map(synchronize, options.callbacks)))
