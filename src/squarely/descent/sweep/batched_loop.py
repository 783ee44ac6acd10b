"""Many runs of one batch size in one tensor program: the loop of `loop`, with weights of all runs side by side.

Weights are W (S, R, p): S seeds that put the rows in orders of their own, R runs each. Where the order does not matter, S is one.
A run that is lost ends at its epoch, as it does alone; its numbers touch no other run: each is a row of its own in every product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from squarely.descent.batches.in_memory import epoch_order
from squarely.descent.loop.stopping import DIVERGENCE_FACTOR, FINISHED, StopReason, diverged_reason
from squarely.descent.options.options import TrainingOptions
from squarely.descent.sweep.active_runs import EPOCHS_PER_CHECK, ActiveRuns
from squarely.descent.sweep.batched_loss import ColumnTensors, Evaluate, ResidualLoss
from squarely.descent.sweep.batched_optimizers import LearningRates, RunTensors, new_rates
from squarely.numerics import Array

_ROWS_PER_GATHER = 2**18  # rows that are put in their orders at once
_GRAIN = 2**24  # products in a look at all rows: below, other threads cost more than they bring


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class BatchedProblem:
    """What runs are trained on, and how it is looked at.

    Attributes
    ----------
    evaluate : at all training rows.
    evaluate_validation : at validation rows, if there are some.
    columns : the training rows, where there are mini-batches; `loss` is theirs.
    n : the number of training rows.
    """

    evaluate: Evaluate
    evaluate_validation: Evaluate | None
    columns: ColumnTensors | None
    loss: ResidualLoss
    n: int


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RunTrace:
    """What one run leaves behind.

    Attributes
    ----------
    columns : "loss" at epochs 0, 1, ..., and what else a run alone would log: "val_loss", "running_loss", "lr".
    end : (p,) the weights, the intercept first.
    stop_reason : how it ended.
    """

    columns: dict[str, Array]
    end: Array
    stop_reason: StopReason


def run_batched(
    program: BatchedProblem,
    recipes: Sequence[TrainingOptions],
    starts: torch.Tensor,
    *,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> list[RunTrace]:
    """Train runs side by side from starts (S, R, p): recipes (S R) in the same order, all of one batch size and optimiser.

    Runs at one seed share its order of the rows. `on_epoch` hears how many epochs are done.
    """
    first = recipes[0]
    with torch.no_grad(), _threads(starts.numel() * program.n):
        rates = new_rates(recipes, _steps_per_epoch(program, first), starts)
        going = ActiveRuns.begin(recipes, starts, rates)
        tables = _allocate_tables(program, first, starts)
        traces: dict[int, RunTrace] = {}
        for epoch in range(first.epochs + 1):
            full = first.is_full_batch
            _write(tables["loss"][epoch], going, program.evaluate(going.flatten("W"), going.flatten("G") if full else None))
            if program.evaluate_validation is not None:
                _write(tables["val_loss"][epoch], going, program.evaluate_validation(going.flatten("W"), None))
            going.weight_history[epoch % EPOCHS_PER_CHECK + 1].copy_(going.tensors["W"])
            over = epoch == first.epochs
            if over or (epoch + 1) % EPOCHS_PER_CHECK == 0:
                traces |= _finish_runs(going, tables, epoch, over=over)
                if over or not going.is_active.any():
                    break
            if full:
                going.update(epoch + 1)
            else:
                _write(tables["running_loss"][epoch], going, _train_epoch(program, going, first, epoch))
            if rates.change == "epoch":
                going.set_learning_rates(epoch + 1)
            on_epoch(epoch + 1)
    return [_with_rates(traces[i], rates, recipe) for i, recipe in enumerate(recipes)]


def _write(row: torch.Tensor, going: ActiveRuns, values: torch.Tensor) -> None:
    row.index_copy_(0, going.positions.view(-1), values)


def _train_epoch(program: BatchedProblem, going: ActiveRuns, recipe: TrainingOptions, epoch: int) -> torch.Tensor:
    """Take an epoch's steps; give the mean of the batch losses (S R,), each weighted by its rows."""
    n, size, loss, columns = program.n, min(recipe.batch_size or program.n, program.n), program.loss, program.columns
    assert columns is not None  # noqa: S101  # mini-batches are of rows
    S, R = going.positions.shape
    orders = _epoch_orders(recipe, going.seeds, epoch, n) if recipe.shuffle else None
    W, G, total = going.tensors["W"], going.tensors["G"], going.tensors["W"].new_zeros(S, R)
    number = epoch * _steps_per_epoch(program, recipe)
    stretch = max(_ROWS_PER_GATHER // (size * S), 1) * size
    for start in range(0, n, stretch):
        X, y = _gather_rows(columns, orders, start, start + stretch)  # (S, p, m) and (S, 1, m)
        for low in range(0, y.shape[-1], size):
            x, labels = X[:, :, low : low + size], y[:, :, low : low + size]
            m = labels.shape[-1]
            r = torch.baddbmm(labels.expand(S, R, m), W, x, beta=-1)
            slope = loss.slope(r)
            torch.baddbmm(G, slope, x.transpose(1, 2), beta=0, alpha=loss.slope_factor / m, out=G)
            total += loss.total(r, slope)
            number += 1
            going.update(number)
            if going.rates.change == "batch":
                going.set_learning_rates(number)
    return total.view(-1).div_(n)


def _epoch_orders(recipe: TrainingOptions, seeds: Sequence[int], epoch: int, n: int) -> np.ndarray:
    return np.stack([epoch_order(epoch, n, seed, replacement=recipe.replacement) for seed in seeds])


def _gather_rows(columns: ColumnTensors, orders: np.ndarray | None, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gather a stretch of every order: (S, p, m) and (S, 1, m)."""
    if orders is None:
        return columns.X[:, start:stop].unsqueeze(0), columns.y[start:stop].view(1, 1, -1)
    part = orders[:, start:stop]
    S, m = part.shape
    place = torch.from_numpy(part.reshape(-1)).to(columns.y.device)
    X, y = columns.X.index_select(1, place).view(-1, S, m), columns.y.index_select(0, place)
    return X.transpose(0, 1), y.view(S, 1, m)


def _finish_runs(going: ActiveRuns, tables: RunTensors, epoch: int, *, over: bool) -> dict[int, RunTrace]:
    """Find the runs that were lost since the last look, each at its own epoch, and let them go; all of them when it is over."""
    begun = epoch - epoch % EPOCHS_PER_CHECK
    losses = tables["loss"][begun : epoch + 1, going.positions.view(-1)].double().cpu().numpy()  # (epochs, S R)
    first = tables["loss"][0, going.positions.view(-1)].double().cpu().numpy()
    with np.errstate(invalid="ignore", over="ignore"):
        bad = ~(losses <= DIVERGENCE_FACTOR * (first + 1.0)) | ~np.isfinite(losses)
    lost_now = bad.any(0) & going.is_active.reshape(-1)
    traces = {}
    for k in np.flatnonzero(going.is_active.reshape(-1) if over else lost_now).tolist():
        last = begun + int(bad[:, k].argmax()) if lost_now[k] else epoch
        traces[int(going.positions.view(-1)[k])] = _record_trace(going, tables, k, last)
    if lost_now.any() and not over:
        going.drop(lost_now.reshape(going.is_active.shape))
    going.weight_history[0].copy_(going.tensors["W"])
    return traces


def _record_trace(going: ActiveRuns, tables: RunTensors, k: int, last: int) -> RunTrace:
    """Write down the run at position k among those that are going on, which ends at epoch `last`."""
    i = int(going.positions.view(-1)[k])
    columns = {name: table[: last + (name != "running_loss"), i].double().cpu().numpy() for name, table in tables.items()}
    losses = columns["loss"]
    finite = bool(np.isfinite(losses[-1]))
    back = 0 if finite or not last else 1  # what is not a number is left for the parameters before it
    w = going.weight_history[last % EPOCHS_PER_CHECK + 1 - back].view(-1, going.weight_history.shape[-1])[k]
    with np.errstate(over="ignore"):
        beyond = finite and bool(losses[-1] > DIVERGENCE_FACTOR * (losses[0] + 1.0))
    ending = StopReason("diverged") if beyond else FINISHED if finite else diverged_reason(losses.tolist())
    return RunTrace(columns=columns, end=w.double().cpu().numpy(), stop_reason=ending)


def _with_rates(trace: RunTrace, rates: LearningRates, recipe: TrainingOptions) -> RunTrace:
    """Write down the learning rate of every epoch, as a run with a scheduler does."""
    if not rates.change:
        return trace
    of_epochs = rates.exact_table[:, rates.column[recipe.rate]][:: rates.stride][: len(trace.columns["loss"])]
    loss, *others = trace.columns.items()
    return replace(trace, columns=dict([loss, ("lr", of_epochs), *others]))


def _steps_per_epoch(program: BatchedProblem, recipe: TrainingOptions) -> int:
    """Count the updates of an epoch."""
    return 1 if recipe.batch_size is None else -(-program.n // min(recipe.batch_size, program.n))


def _allocate_tables(program: BatchedProblem, recipe: TrainingOptions, starts: torch.Tensor) -> RunTensors:
    """Make room for what is logged, (epochs + 1, S R) each."""
    names = ["loss"] + ["val_loss"] * (program.evaluate_validation is not None) + ["running_loss"] * (not recipe.is_full_batch)
    return {name: starts.new_empty(recipe.epochs + 1, starts.shape[0] * starts.shape[1]) for name in names}


@contextmanager
def _threads(products: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if products <= _GRAIN:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
