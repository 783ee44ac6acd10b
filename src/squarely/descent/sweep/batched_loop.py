"""The training loop for many runs of one batch size in one tensor program.

Weights are W (S, R, p): S seeds with different orders of the rows, R runs each. S is one if the order does not matter. A diverged
run ends at the same epoch as alone. It does not affect other runs, because each run is one row of every product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from squarely.descent.batches.in_memory import epoch_order
from squarely.descent.loop.result import FINISHED, History, LoopResult, StopReason, divergence_limit, has_diverged
from squarely.descent.loop.stopping import diverged_reason
from squarely.descent.loop.training_loop import threads_for
from squarely.descent.model.linear_regression import LinearRegression, get_coefficients, linear_parameters, set_coefficients
from squarely.descent.options.optimizers import new_optimizer
from squarely.descent.options.options import TrainingOptions
from squarely.descent.sweep.batched_loss import Evaluate, RowsEvaluator
from squarely.descent.sweep.batched_optimizers import FROZEN_LR, LearningRates, RunTensors, Step, new_rates, new_step

_EPOCHS_PER_CHECK = 32  # epochs between two checks for diverged runs
_ROWS_PER_GATHER = 2**18  # rows that are put in their orders at once
_GRAIN = 2**24  # products in an evaluation of all rows; with fewer, one thread is faster


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class BatchedProblem:
    """What runs are trained on."""

    evaluate: Evaluate  # loss and gradient on all training rows; a `RowsEvaluator`, unless the engine is "moments"
    evaluate_validation: Evaluate | None
    n: int  # training rows


@dataclass(eq=False, slots=True, kw_only=True)
class ActiveRuns:
    """The active runs, an array of S seeds by R places. A diverged run may keep its place, with weights and learning rate zero."""

    models: Sequence[LinearRegression]  # of all runs, whether active or not
    options: Sequence[TrainingOptions]  # of all runs
    seeds: list[int]  # (S,) of the orders of the rows
    positions: torch.Tensor  # (S, R) of each run among all options
    is_active: np.ndarray  # (S, R)
    tensors: RunTensors  # W, G and the state of the optimizer
    step: Step
    rates: LearningRates
    column: torch.Tensor  # (S, R) of each run in the table of the rates
    lr: torch.Tensor  # (S, R, 1) for the next update
    weight_history: torch.Tensor  # (33, S, R, p) at the epochs since the last check, and at the one before
    updates: int = 0  # so far

    @classmethod
    def start(
        cls, models: Sequence[LinearRegression], options: Sequence[TrainingOptions], W: torch.Tensor, steps: int
    ) -> ActiveRuns:
        """Start runs from weights W (S, R, p), with models and options (S R) in the same order and `steps` updates an epoch."""
        S, R, p = W.shape
        rates = new_rates(options, steps, W)
        step, memory = new_step(options, W)
        column = torch.tensor([rates.column[each.rate] for each in options], device=W.device).view(S, R)
        return cls(
            models=models,
            options=options,
            seeds=[each.seed for each in options[::R]],
            positions=torch.arange(S * R, device=W.device).view(S, R),
            is_active=np.ones((S, R), dtype=bool),
            tensors={"W": W, "G": torch.zeros_like(W), **memory},
            step=step,
            rates=rates,
            column=column,
            lr=rates.table[0][column].unsqueeze(-1),
            weight_history=W.new_zeros(_EPOCHS_PER_CHECK + 1, S, R, p),
        )

    def flatten(self, name: str) -> torch.Tensor:
        """Return W or G as (S R, p), one row for each run."""
        tensor = self.tensors[name]
        return tensor.view(-1, tensor.shape[-1])

    def update(self) -> None:
        """Move the weights against the gradients in G; a scheduler that steps with each update sets the next rates."""
        self.updates += 1
        self.step(self.tensors, self.lr, self.updates)
        if self.rates.change == "batch":
            self.set_learning_rates(self.updates)

    def set_learning_rates(self, step: int) -> None:
        """Set the learning rates of a step of the scheduler."""
        self.lr = self.rates.table[step][self.column].unsqueeze(-1)

    def drop(self, ended: np.ndarray) -> None:
        """Remove runs (S, R): cut out the seeds and places without an active run, and freeze the other ended runs."""
        self.is_active &= ~ended
        seeds, places = np.flatnonzero(self.is_active.any(1)), np.flatnonzero(self.is_active.any(0))
        s, r = (torch.from_numpy(selected).to(self.positions.device) for selected in (seeds, places))

        def select(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.index_select(0, s).index_select(1, r)

        self.is_active = self.is_active[np.ix_(seeds, places)]
        self.seeds = [self.seeds[i] for i in seeds.tolist()]
        self.tensors = {name: select(tensor) for name, tensor in self.tensors.items()}
        self.positions, self.column, self.lr = select(self.positions), select(self.column), select(self.lr)
        frozen = torch.from_numpy(~self.is_active).to(self.positions.device)
        for tensor in self.tensors.values():
            tensor[frozen] = 0.0
        self.column[frozen] = FROZEN_LR
        self.lr[frozen] = 0.0
        self.weight_history = self.weight_history.index_select(1, s).index_select(2, r)


def run_batched(
    problem: BatchedProblem,
    options: Sequence[TrainingOptions],
    models: Sequence[LinearRegression],
    *,
    seeds: int,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> list[LoopResult]:
    """Train models side by side, an array of `seeds` by places in this order, all of one batch size and optimizer.

    Runs of one seed share its order of the rows. `on_epoch` is called with the number of epochs so far.
    """
    first, results = options[0], dict[int, LoopResult]()
    W = torch.stack([nn.utils.parameters_to_vector(linear_parameters(model)).detach() for model in models])
    steps = 1 if first.batch_size is None else -(-problem.n // min(first.batch_size, problem.n))  # an epoch
    with torch.no_grad(), threads_for(W.numel() * problem.n, _GRAIN):
        active = ActiveRuns.start(models, options, W.view(seeds, -1, W.shape[-1]), steps)
        names = {"loss": True, "val_loss": problem.evaluate_validation is not None, "running_loss": not first.is_full_batch}
        tables = {name: W.new_empty(first.epochs + 1, len(W)) for name, is_logged in names.items() if is_logged}
        for epoch in range(first.epochs + 1):
            is_full = first.is_full_batch
            _write(tables["loss"][epoch], active, problem.evaluate(active.flatten("W"), active.flatten("G") if is_full else None))
            if problem.evaluate_validation is not None:
                _write(tables["val_loss"][epoch], active, problem.evaluate_validation(active.flatten("W"), None))
            active.weight_history[epoch % _EPOCHS_PER_CHECK + 1].copy_(active.tensors["W"])
            is_last = epoch == first.epochs
            if is_last or (epoch + 1) % _EPOCHS_PER_CHECK == 0:
                results |= _finish_runs(active, tables, epoch, is_last=is_last)
                if is_last or not active.is_active.any():
                    break
            if is_full:
                active.update()
            else:
                _write(tables["running_loss"][epoch], active, _train_epoch(problem, active, first, epoch))
            if active.rates.change == "epoch":
                active.set_learning_rates(epoch + 1)
            on_epoch(epoch + 1)
    return [results[i] for i in range(len(models))]


def _write(row: torch.Tensor, active: ActiveRuns, values: torch.Tensor) -> None:
    row.index_copy_(0, active.positions.view(-1), values)


def _train_epoch(problem: BatchedProblem, active: ActiveRuns, options: TrainingOptions, epoch: int) -> torch.Tensor:
    """Run the steps of an epoch; return the mean of the batch losses (S R,), weighted by rows."""
    n, size, rows = problem.n, min(options.batch_size or problem.n, problem.n), problem.evaluate
    assert isinstance(rows, RowsEvaluator)  # noqa: S101  # mini-batches need rows
    S, R = active.positions.shape
    orders = None
    if options.shuffle:
        orders = np.stack([epoch_order(epoch, n, seed, replacement=options.replacement) for seed in active.seeds])
    W, G, total = active.tensors["W"], active.tensors["G"], active.tensors["W"].new_zeros(S, R)
    stretch = max(_ROWS_PER_GATHER // (size * S), 1) * size
    for start in range(0, n, stretch):
        X, y, w = _gather_rows(rows, orders, start, start + stretch)  # (S, p, m), (S, 1, m) and (S, 1, m) or None
        for low in range(0, y.shape[-1], size):
            x, labels = X[:, :, low : low + size], y[:, :, low : low + size]
            m = labels.shape[-1]
            r = torch.baddbmm(labels.expand(S, R, m), W, x, beta=-1)
            slope = rows.loss.slope(r)
            weights = None if w is None else w[:, :, low : low + size]
            pull = slope if weights is None else slope * weights
            torch.baddbmm(G, pull, x.transpose(1, 2), beta=0, alpha=rows.loss.slope_factor / m, out=G)
            total += rows.loss.total(r, slope, weights)
            active.update()
    return total.view(-1).div_(n)


def _gather_rows(
    rows: RowsEvaluator, orders: np.ndarray | None, start: int, stop: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Gather part of every order: X (S, p, m), y (S, 1, m) and any weights (S, 1, m)."""
    w = rows.weights
    if orders is None:
        part_of_w = None if w is None else w[start:stop].view(1, 1, -1)
        return rows.X[:, start:stop].unsqueeze(0), rows.y[start:stop].view(1, 1, -1), part_of_w
    part = orders[:, start:stop]
    S, m = part.shape
    index = torch.from_numpy(part.reshape(-1)).to(rows.y.device)
    X, y = rows.X.index_select(1, index).view(-1, S, m), rows.y.index_select(0, index)
    return X.transpose(0, 1), y.view(S, 1, m), None if w is None else w.index_select(0, index).view(S, 1, m)


def _finish_runs(active: ActiveRuns, tables: RunTensors, epoch: int, *, is_last: bool) -> dict[int, LoopResult]:
    """Record and drop the runs that diverged since the last check, each at its own epoch; record all when training is over."""
    start, positions, is_active = epoch - epoch % _EPOCHS_PER_CHECK, active.positions.view(-1), active.is_active.reshape(-1)
    losses = tables["loss"][start : epoch + 1, positions].double().cpu().numpy()  # (epochs, S R)
    first = tables["loss"][0, positions].double().cpu().numpy()
    is_out = has_diverged(losses, first) | ~np.isfinite(losses)
    has_ended = is_out.any(0) & is_active
    results = {}
    for k in np.flatnonzero(is_active if is_last else has_ended).tolist():
        last = start + int(is_out[:, k].argmax()) if has_ended[k] else epoch
        results[int(positions[k])] = _record_run(active, tables, k, last)
    if has_ended.any() and not is_last:
        active.drop(has_ended.reshape(active.is_active.shape))
    active.weight_history[0].copy_(active.tensors["W"])
    return results


def _record_run(active: ActiveRuns, tables: RunTensors, k: int, last: int) -> LoopResult:
    """Record the k-th active run, which ends at epoch `last`, with the optimizer of a single run at its final rate."""
    i, rates = int(active.positions.view(-1)[k]), active.rates
    model, options = active.models[i], active.options[i]
    loss, *others = [(name, table[: last + (name != "running_loss"), i].double().cpu().numpy()) for name, table in tables.items()]
    losses, optimizer = loss[1], new_optimizer(model.parameters(), options)
    if rates.change:
        by_epoch = rates.by_epoch[: len(losses), rates.column[options.rate]]
        others = [("lr", by_epoch), *others]
        optimizer.param_groups[0]["lr"] = float(by_epoch[-1])
    finite = bool(np.isfinite(losses[-1]))
    back = 0 if finite or not last else 1  # if the loss is not finite, the parameters are those before
    w = active.weight_history[last % _EPOCHS_PER_CHECK + 1 - back].view(-1, active.weight_history.shape[-1])[k]
    start, end, reason = get_coefficients(model), w.double().cpu().numpy(), FINISHED
    if not finite:
        reason = diverged_reason(losses.tolist())
    elif losses[-1] > divergence_limit(losses[0]):
        reason = StopReason("diverged")
    set_coefficients(model, end)
    history = History(columns=cast("dict[str, list[float]]", dict([loss, *others])))  # nothing is added to a run that has ended
    return LoopResult(model=model, optimizer=optimizer, losses=losses, history=history, start=start, end=end, stop_reason=reason)
