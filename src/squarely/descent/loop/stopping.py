"""Reasons to end a run early: it diverged, lost its numbers, came near the optimum, gained no more, or a callback asked for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from squarely import theory
from squarely.descent.loop.result import History, StopReason, divergence_limit
from squarely.descent.loop.state import LoopState, copy_parameters, set_parameters
from squarely.descent.options.options import TrainingOptions
from squarely.descent.options.value_checks import stop_distance
from squarely.moments import StandardizedProblem
from squarely.numerics import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """The argument of a callback: a run at the beginning of an epoch, before its updates.

    Attributes
    ----------
    epoch : complete epochs, 0 at the start.
    loss : the training loss at these weights, in standardized units.
    values : the rest of the log by name: "lr", metrics, and the same of validation rows after "val_".
    model, optimizer : the torch objects themselves.
    """

    epoch: int
    loss: float
    values: Mapping[str, float]
    model: nn.Module
    optimizer: torch.optim.Optimizer


def stop_reason(
    state: LoopState, options: TrainingOptions, values: Mapping[str, float], distance: Callable[[], float]
) -> StopReason | None:
    """Judge a run at the beginning of an epoch, after its values are logged; None lets it continue.

    `distance` bounds the distance to the optimum, in standard errors.
    """
    loss, log = values["loss"], state.history
    watched = {"loss": loss, "validation": values.get("val_loss")}.get(options.stop or "")
    if not math.isfinite(loss):
        set_parameters(state.parameters, state.finite_parameters)
        return diverged_reason(log.losses)
    if loss > divergence_limit(log.losses[0]):
        return StopReason("diverged")
    set_parameters(state.finite_parameters, state.parameters)
    if requested := _run_callbacks(state, options, values):
        if watched is None or watched < log.best_loss - options.min_delta:
            return requested
        return replace(requested, reason=f"{requested.reason} {_describe_best_epoch(log, options)}", restored_epoch=log.best_epoch)
    tau = stop_distance(options)
    if tau is not None and (bound := distance()) <= tau:
        return StopReason(
            "stopped",
            f"At epoch {state.epoch:,} the gradient proves every coefficient to be within {bound:.2g} standard errors of its "
            f"optimum (stop={options.stop!r}).",
        )
    return None if watched is None else _check_gain(state, options, watched)


def diverged_reason(losses: Sequence[float]) -> StopReason:
    """Judge a run whose last logged loss is not a number: it diverged if the losses before were growing."""
    if math.isinf(losses[-1]) or (len(losses) > 1 and losses[-2] > 1e3 * (min(losses[:-1]) + 1.0)):
        return StopReason("diverged")
    epoch = len(losses) - 1
    return StopReason(
        "not finite", f"The loss is not a number at epoch {epoch:,}. The parameters are those of epoch {max(epoch - 1, 0):,}."
    )


def bound_distance(problem: StandardizedProblem, lam: theory.Spectrum, read: Callable[[], Array]) -> float:
    """Bound the distance to the optimum, in standard errors, by the gradient H w - h in float64; it needs no optimum."""
    w = read()
    return theory.standard_errors_bound(lam, problem.H @ w - problem.h, problem.loss(w), problem.nobs, problem.nobs - len(w))


def _run_callbacks(state: LoopState, options: TrainingOptions, values: Mapping[str, float]) -> StopReason | None:
    for function in options.callbacks:
        others = {name: value for name, value in values.items() if name != "loss"}
        event = Epoch(epoch=state.epoch, loss=values["loss"], values=others, model=state.model, optimizer=state.optimizer)
        if is_yes(function(event)):
            name = getattr(function, "__name__", type(function).__name__)
            return StopReason("stopped", f"The callback {name!r} asked for it at epoch {state.epoch:,}.", is_requested=True)
    return None


def is_yes(answer: object) -> bool:
    """Return whether a callback's answer is True, of Python or NumPy; other truthy values do not count."""
    return isinstance(answer, bool | np.bool_) and bool(answer)


def _check_gain(state: LoopState, options: TrainingOptions, loss: float) -> StopReason | None:
    """Wait for a lower loss; when patience or the epochs end, the best parameters come back."""
    log = state.history
    if log.watch(loss, state.epoch, options.min_delta):
        state.best_parameters = copy_parameters(state.parameters)
    if log.epochs_without_gain >= options.patience:
        less = f"more than {options.min_delta:g} " if options.min_delta else ""
        since = f"For {options.patience} epochs it has not fallen {less}below that."
        return StopReason("stopped", f"{_describe_best_epoch(log, options)} {since}", restored_epoch=log.best_epoch)
    if state.epoch < options.epochs or not log.epochs_without_gain:
        return None
    return StopReason("finished", f"All epochs are taken. {_describe_best_epoch(log, options)}", restored_epoch=log.best_epoch)


def _describe_best_epoch(log: History, options: TrainingOptions) -> str:
    noun = "training" if options.stop == "loss" else "validation"
    return f"The parameters are those of epoch {log.best_epoch:,}, where the {noun} loss was {log.best_loss:.6g}."
