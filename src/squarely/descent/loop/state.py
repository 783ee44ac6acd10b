"""The State of a run between two updates: all that decides what comes next, and so all that a checkpoint has to hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from squarely.descent.options.optimizers import (
    BATCH_SCHEDULERS,
    SCHEDULERS,
    groups_of,
    needs_batch_steps,
    new_scheduler,
    optimizer_of,
)
from squarely.descent.options.options import ParameterGroup, TrainingOptions
from squarely.numerics import Array


@dataclass(eq=False, slots=True, kw_only=True)
class History:
    """What a run writes down, an entry an epoch, and what it remembers of it for stopping early.

    Attributes
    ----------
    columns : name -> values: "loss", "lr", "momentum", "running_loss" (the mean over an epoch's batches, while the weights move),
        metrics by name, and the same of validation rows after "val_".
    best_loss, best_epoch, epochs_without_gain : the lowest watched loss, its epoch, and the epochs since then.
    """

    columns: dict[str, list[float]] = field(default_factory=lambda: {"loss": []})
    best_loss: float = math.inf
    best_epoch: int = 0
    epochs_without_gain: int = 0

    @property
    def losses(self) -> list[float]:
        """The loss at epochs 0, 1, ..., each before the updates that follow it."""
        return self.columns["loss"]

    def add(self, values: Mapping[str, float]) -> None:
        """Write down an epoch."""
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)

    def watch(self, loss: float, epoch: int, gain: float) -> bool:
        """Take note of a watched loss, and tell whether it is lower than any before by more than `gain`."""
        if loss < self.best_loss - gain:
            self.best_loss, self.best_epoch, self.epochs_without_gain = loss, epoch, 0
            return True
        self.epochs_without_gain += 1
        return False


@dataclass(eq=False, slots=True, kw_only=True)
class LoopState:
    """A run at a moment between two updates.

    Attributes
    ----------
    model, optimizer, scheduler : torch's objects; there may be no scheduler.
    history : what has been written down.
    epoch, batch : epochs done, and batches done of the one that is going on.
    total : the sum of that epoch's batch losses so far, each times its rows.
    finite_parameters : the parameters when the loss was last seen to be finite. `best_parameters` those of the lowest watched loss, if one is watched.
    parameter_groups : the parameter groups of the optimizer, as they were when it was made.
    generators : of the user's loader, which it draws the order of its rows from.
    mean, average_count, average_start : the average of the iterates, how many of them are in it, and the epoch of the first.
    parameters : the tensors that are trained, detached: to be read and written without a graph.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any
    total: torch.Tensor
    parameter_groups: tuple[ParameterGroup, ...]
    finite_parameters: list[torch.Tensor]
    best_parameters: list[torch.Tensor] | None = None
    mean: list[torch.Tensor] | None = None
    average_count: int = 0
    average_start: int | None = None
    generators: tuple[torch.Generator, ...] = ()
    parameters: list[torch.Tensor] = field(init=False)
    history: History = field(default_factory=History)
    epoch: int = 0
    batch: int = 0

    def __post_init__(self) -> None:
        self.parameters = [parameter.detach() for parameter in self.model.parameters()]

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def has_momentum_schedule(self) -> bool:
        """Whether the scheduler may change the momentum of SGD: two of torch's do, and one of the user's own might."""
        name = type(self.scheduler).__name__
        known = SCHEDULERS.get(name) is type(self.scheduler) and name not in BATCH_SCHEDULERS
        fixed = known or getattr(self.scheduler, "cycle_momentum", True) is False
        return "momentum" in self.optimizer.param_groups[0] and not fixed


def new_state(model: nn.Module, options: TrainingOptions) -> LoopState:
    """Make the state of a run that begins, with a newly made optimizer and scheduler.

    Raises
    ------
    OptionError : the optimizer or the scheduler cannot be made so.
    """
    optimizer = optimizer_of(model, options)
    made = groups_of(optimizer, model)  # before a scheduler changes them
    scheduler = new_scheduler(optimizer, options)
    parameters = [parameter.detach() for parameter in model.parameters()]
    watched = options.stop in ("loss", "validation")
    return LoopState(
        model=model,
        optimizer=optimizer,
        scheduler=scheduler,
        parameter_groups=made,
        total=torch.zeros((), device=parameters[0].device, dtype=parameters[0].dtype),
        finite_parameters=copy_parameters(parameters),
        best_parameters=copy_parameters(parameters) if watched else None,
        mean=copy_parameters(parameters) if options.average is not None else None,
    )


def unoptimized_parameters(state: LoopState) -> tuple[str, ...]:
    """Name the parameters that could be trained and that the optimizer does not hold."""
    held = {name for group in state.parameter_groups for name in group.parameters}
    return tuple(name for name, part in state.model.named_parameters() if part.requires_grad and name not in held)


def with_optimizer_options(options: TrainingOptions, state: LoopState) -> tuple[TrainingOptions, tuple[str, ...]]:
    """Give the options with what its optimizer and scheduler have come to be, and sentences on what that changes.

    Of an optimizer of the user's own it has the numbers of the first group.
    """
    said: tuple[str, ...] = ()
    missing = unoptimized_parameters(state)
    if missing:
        said = (
            f"The optimizer does not hold the model's parameters {', '.join(map(repr, missing[:6]))}: they stay as they are, so "
            "training ends at the optimum of the others.",
        )
    first = state.parameter_groups[0]
    if needs_batch_steps(state.scheduler, options):
        options = replace(options, scheduler_per="batch")
    if isinstance(options.optimizer, str):
        return replace(options, parameter_groups=state.parameter_groups), said
    if options.rate not in (first.lr, TrainingOptions().lr):
        said = (*said, f"The optimizer has lr={first.lr:g} by itself: lr={options.rate:g} is not used.")
    momentum, decay = first.momentum or 0.0, first.weight_decay
    return replace(
        options, parameter_groups=state.parameter_groups, lr=first.lr, momentum=momentum, nesterov=first.nesterov, weight_decay=decay
    ), said


def copy_parameters(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Copy tensors."""
    return [tensor.detach().clone() for tensor in tensors]


def set_parameters(tensors: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    """Write values into tensors without a graph, in place."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


def update_average(state: LoopState) -> None:
    """Take the present iterate into the average."""
    if state.mean is not None:
        state.average_start = state.average_start if state.average_count else state.epoch
        state.average_count += 1
        for mean, parameter in zip(state.mean, state.parameters, strict=True):
            mean.lerp_(parameter, 1.0 / state.average_count)


def history_column(log: History, name: str) -> Array:
    """Give a column of the log as an array, one value for each epoch that has one."""
    return np.array(log.columns.get(name, ()), dtype=np.float64)
