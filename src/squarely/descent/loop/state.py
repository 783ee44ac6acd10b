"""`LoopState`: the state of a run between two updates, which is what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from squarely.descent.loop.result import History
from squarely.descent.options.optimizers import (
    SCHEDULERS,
    groups_of,
    new_scheduler,
    optimizer_of,
)
from squarely.descent.options.options import BATCH_SCHEDULERS, ParameterGroup, TrainingOptions
from squarely.errors import listed


@dataclass(eq=False, slots=True, kw_only=True)
class LoopState:
    """A run between two updates."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any  # torch's, or None
    parameters: list[torch.Tensor]  # the trained tensors, detached: read and written without a graph
    total: torch.Tensor  # the sum of the present epoch's batch losses, each times its rows
    parameter_groups: tuple[ParameterGroup, ...]  # those of the optimizer when it was made
    finite_parameters: list[torch.Tensor]  # when the loss was last finite
    best_parameters: list[torch.Tensor] | None = None  # of the lowest watched loss
    mean: list[torch.Tensor] | None = None  # the average of the iterates
    average_count: int = 0  # iterates in the average
    average_start: int | None = None  # the epoch of the first
    generators: tuple[torch.Generator, ...] = ()  # of the user's loader
    history: History = field(default_factory=History)
    epoch: int = 0  # complete epochs
    batch: int = 0  # complete batches of the present one

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def has_momentum_schedule(self) -> bool:
        """Whether the scheduler may change the momentum of SGD: two of torch's do, and a user's own may."""
        name = type(self.scheduler).__name__
        is_lr_only = SCHEDULERS.get(name) is type(self.scheduler) and name not in BATCH_SCHEDULERS
        fixed = is_lr_only or getattr(self.scheduler, "cycle_momentum", True) is False
        return "momentum" in self.optimizer.param_groups[0] and not fixed


def new_state(model: nn.Module, options: TrainingOptions) -> LoopState:
    """Return the state of a new run, with a new optimizer and scheduler."""
    optimizer = optimizer_of(model, options)
    groups = groups_of(optimizer, model)  # before a scheduler changes them
    scheduler = new_scheduler(optimizer, options)
    parameters = [parameter.detach() for parameter in model.parameters()]
    watched = options.stop in ("loss", "validation")
    return LoopState(
        model=model,
        optimizer=optimizer,
        scheduler=scheduler,
        parameters=parameters,
        parameter_groups=groups,
        total=torch.zeros((), device=parameters[0].device, dtype=parameters[0].dtype),
        finite_parameters=copy_parameters(parameters),
        best_parameters=copy_parameters(parameters) if watched else None,
        mean=copy_parameters(parameters) if options.average is not None else None,
    )


def unoptimized_parameters(state: LoopState) -> tuple[str, ...]:
    """Return the names of trainable parameters that the optimizer does not have."""
    optimized = {name for group in state.parameter_groups for name in group.parameters}
    return tuple(name for name, part in state.model.named_parameters() if part.requires_grad and name not in optimized)


def with_optimizer_options(options: TrainingOptions, state: LoopState) -> tuple[TrainingOptions, tuple[str, ...]]:
    """Return the options as the optimizer and the scheduler have set them, and remarks on the changes.

    The numbers of a user's own optimizer are those of its first group.
    """
    remarks: tuple[str, ...] = ()
    if missing := unoptimized_parameters(state):
        remarks = (
            f"The optimizer does not have the model's parameters {listed(map(repr, missing), most=6)}: they do not change, so "
            "training ends at the optimum of the others.",
        )
    first = state.parameter_groups[0]
    options = replace(options, parameter_groups=state.parameter_groups)
    if type(state.scheduler).__name__ in BATCH_SCHEDULERS:  # torch counts their steps in batches
        options = replace(options, scheduler_per="batch")
    if isinstance(options.optimizer, str):
        return options, remarks
    if options.lr not in (first.lr, "auto"):
        remarks = (*remarks, f"The optimizer has lr={first.lr:g} by itself: lr={options.rate:g} is not used.")
    momentum, decay = first.momentum or 0.0, first.weight_decay
    return replace(options, lr=first.lr, momentum=momentum, nesterov=first.nesterov, weight_decay=decay), remarks


def copy_parameters(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Copy tensors."""
    return [tensor.detach().clone() for tensor in tensors]


def set_parameters(tensors: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    """Write values into tensors without a graph, in place."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
