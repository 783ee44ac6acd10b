"""The training loop for many runs of one batch size in one tensor program.

Weights are W (S, R, p): S seeds with different orders of the rows, R runs each. S is one if the order does not matter. A diverged
run ends at the same epoch as alone. It does not affect other runs, because each run is one row of every product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from squarely.descent.batches.in_memory import epoch_order
from squarely.descent.loop.stopping import FINISHED, StopReason, diverged_reason, divergence_limit, has_diverged
from squarely.descent.loop.training_loop import threads_for
from squarely.descent.options.options import TrainingOptions
from squarely.descent.sweep.active_runs import EPOCHS_PER_CHECK, ActiveRuns
from squarely.descent.sweep.batched_loss import ColumnTensors, Evaluate, ResidualLoss
from squarely.descent.sweep.batched_optimizers import LearningRates, RunTensors, new_rates
from squarely.numerics import Array

_ROWS_PER_GATHER = 2**18  # rows that are put in their orders at once
_GRAIN = 2**24  # products in an evaluation of all rows; with fewer, one thread is faster


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class BatchedProblem:
    """What runs are trained on.

    Attributes
    ----------
    evaluate : computes loss and gradient on all training rows.
    evaluate_validation : computes the loss on the validation rows, if there are any.
    columns, loss : the training rows and their loss, for mini-batches; `columns` is None without rows.
    n : the number of training rows.
    """

    evaluate: Evaluate
    evaluate_validation: Evaluate | None
    columns: ColumnTensors | None
    loss: ResidualLoss
    n: int


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RunTrace:
    """The results of one run.

    Attributes
    ----------
    columns : the log: "loss" at epochs 0, 1, ..., and "val_loss", "running_loss" and "lr" as a single run logs them.
    end : (p,) the final weights, the intercept first.
    stop_reason : how the run ended.
    """

    columns: dict[str, Array]
    end: Array
    stop_reason: StopReason


def run_batched(
    problem: BatchedProblem,
    options: Sequence[TrainingOptions],
    starts: torch.Tensor,
    *,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> list[RunTrace]:
    """Train runs side by side from starts (S, R, p), with options (S R) in the same order, all of one batch size and optimizer.

    Runs of one seed share its order of the rows. `on_epoch` is called with the number of epochs so far.
    """
    first = options[0]
    with torch.no_grad(), threads_for(starts.numel() * problem.n, _GRAIN):
        rates = new_rates(options, _steps_per_epoch(problem, first), starts)
        active = ActiveRuns.start(options, starts, rates)
        tables = _allocate_tables(problem, first, starts)
        traces: dict[int, RunTrace] = {}
        for epoch in range(first.epochs + 1):
            is_full = first.is_full_batch
            _write(tables["loss"][epoch], active, problem.evaluate(active.flatten("W"), active.flatten("G") if is_full else None))
            if problem.evaluate_validation is not None:
                _write(tables["val_loss"][epoch], active, problem.evaluate_validation(active.flatten("W"), None))
            active.weight_history[epoch % EPOCHS_PER_CHECK + 1].copy_(active.tensors["W"])
            is_last = epoch == first.epochs
            if is_last or (epoch + 1) % EPOCHS_PER_CHECK == 0:
                traces |= _finish_runs(active, tables, epoch, is_last=is_last)
                if is_last or not active.is_active.any():
                    break
            if is_full:
                active.update(epoch + 1)
            else:
                _write(tables["running_loss"][epoch], active, _train_epoch(problem, active, first, epoch))
            if rates.change == "epoch":
                active.set_learning_rates(epoch + 1)
            on_epoch(epoch + 1)
    return [_with_rates(traces[i], rates, each) for i, each in enumerate(options)]


def _write(row: torch.Tensor, active: ActiveRuns, values: torch.Tensor) -> None:
    row.index_copy_(0, active.positions.view(-1), values)


def _train_epoch(problem: BatchedProblem, active: ActiveRuns, options: TrainingOptions, epoch: int) -> torch.Tensor:
    """Run the steps of an epoch; return the mean of the batch losses (S R,), weighted by rows."""
    n, size, loss, columns = problem.n, min(options.batch_size or problem.n, problem.n), problem.loss, problem.columns
    assert columns is not None  # noqa: S101  # mini-batches need rows
    S, R = active.positions.shape
    orders = None
    if options.shuffle:
        orders = np.stack([epoch_order(epoch, n, seed, replacement=options.replacement) for seed in active.seeds])
    W, G, total = active.tensors["W"], active.tensors["G"], active.tensors["W"].new_zeros(S, R)
    number = epoch * _steps_per_epoch(problem, options)
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
            active.update(number)
            if active.rates.change == "batch":
                active.set_learning_rates(number)
    return total.view(-1).div_(n)


def _gather_rows(columns: ColumnTensors, orders: np.ndarray | None, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gather part of every order: (S, p, m) and (S, 1, m)."""
    if orders is None:
        return columns.X[:, start:stop].unsqueeze(0), columns.y[start:stop].view(1, 1, -1)
    part = orders[:, start:stop]
    S, m = part.shape
    index = torch.from_numpy(part.reshape(-1)).to(columns.y.device)
    X, y = columns.X.index_select(1, index).view(-1, S, m), columns.y.index_select(0, index)
    return X.transpose(0, 1), y.view(S, 1, m)


def _finish_runs(active: ActiveRuns, tables: RunTensors, epoch: int, *, is_last: bool) -> dict[int, RunTrace]:
    """Record and drop the runs that diverged since the last check, each at its own epoch; record all when training is over."""
    start = epoch - epoch % EPOCHS_PER_CHECK
    losses = tables["loss"][start : epoch + 1, active.positions.view(-1)].double().cpu().numpy()  # (epochs, S R)
    first = tables["loss"][0, active.positions.view(-1)].double().cpu().numpy()
    is_out = has_diverged(losses, first) | ~np.isfinite(losses)
    has_ended = is_out.any(0) & active.is_active.reshape(-1)
    traces = {}
    for k in np.flatnonzero(active.is_active.reshape(-1) if is_last else has_ended).tolist():
        last = start + int(is_out[:, k].argmax()) if has_ended[k] else epoch
        traces[int(active.positions.view(-1)[k])] = _record_trace(active, tables, k, last)
    if has_ended.any() and not is_last:
        active.drop(has_ended.reshape(active.is_active.shape))
    active.weight_history[0].copy_(active.tensors["W"])
    return traces


def _record_trace(active: ActiveRuns, tables: RunTensors, k: int, last: int) -> RunTrace:
    """Record the k-th active run, which ends at epoch `last`."""
    i = int(active.positions.view(-1)[k])
    columns = {name: table[: last + (name != "running_loss"), i].double().cpu().numpy() for name, table in tables.items()}
    losses = columns["loss"]
    finite = bool(np.isfinite(losses[-1]))
    back = 0 if finite or not last else 1  # if the loss is not finite, the parameters are those before
    w = active.weight_history[last % EPOCHS_PER_CHECK + 1 - back].view(-1, active.weight_history.shape[-1])[k]
    reason = (
        StopReason("diverged")
        if finite and losses[-1] > divergence_limit(losses[0])
        else FINISHED
        if finite
        else diverged_reason(losses.tolist())
    )
    return RunTrace(columns=columns, end=w.double().cpu().numpy(), stop_reason=reason)


def _with_rates(trace: RunTrace, rates: LearningRates, options: TrainingOptions) -> RunTrace:
    """Add the learning rate of every epoch to the log, as a run with a scheduler does."""
    if not rates.change:
        return trace
    by_epoch = rates.exact_table[:, rates.column[options.rate]][:: rates.stride][: len(trace.columns["loss"])]
    loss, *others = trace.columns.items()
    return replace(trace, columns=dict([loss, ("lr", by_epoch), *others]))


def _steps_per_epoch(problem: BatchedProblem, options: TrainingOptions) -> int:
    """Return the number of updates of an epoch."""
    return 1 if options.batch_size is None else -(-problem.n // min(options.batch_size, problem.n))


def _allocate_tables(problem: BatchedProblem, options: TrainingOptions, starts: torch.Tensor) -> RunTensors:
    """Allocate the tables of the log, (epochs + 1, S R) options."""
    names = ["loss"] + ["val_loss"] * (problem.evaluate_validation is not None) + ["running_loss"] * (not options.is_full_batch)
    return {name: starts.new_empty(options.epochs + 1, starts.shape[0] * starts.shape[1]) for name in names}
