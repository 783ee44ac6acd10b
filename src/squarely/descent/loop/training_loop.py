"""The training loop, from rows and options to a trained model. It reads from top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from squarely.data import report_count
from squarely.descent.batches.batch_source import BatchSource, RunInputs
from squarely.descent.batches.in_memory import InMemoryBatches
from squarely.descent.batches.loader import NonFiniteRowError
from squarely.descent.loop.result import FINISHED, NOT_MEASURED, SINGLE_THREAD_CELLS, LoopResult, StopReason
from squarely.descent.loop.state import LoopState, set_parameters
from squarely.descent.loop.stopping import stop_reason
from squarely.descent.model.gradients import Gradient
from squarely.descent.model.losses import new_criterion
from squarely.descent.model.metrics import measure
from squarely.descent.model.mse_metrics import metrics_from_mse
from squarely.descent.options.optimizers import step_scheduler, try_schedule
from squarely.descent.options.options import TrainingOptions
from squarely.moments import Moments
from squarely.numerics import Array

# Takes the loss of all rows if it is known, else None; returns loss, learning rate and metrics of the parameters as they are.
Evaluate = Callable[[torch.Tensor | None], dict[str, float]]


def steps_per_epoch(rows: BatchSource, options: TrainingOptions) -> int:
    """Return the number of updates of an epoch."""
    return 1 if options.batch_size is None else rows.batches_per_epoch(min(options.batch_size, rows.n))


def require_schedule(rows: BatchSource, state: LoopState, options: TrainingOptions) -> None:
    """Raise an OptionError where the schedule ends before the remaining steps of a run."""
    each, done = (steps_per_epoch(rows, options), state.batch) if options.scheduler_per == "batch" else (1, 0)
    try_schedule(state.scheduler, (options.epochs - state.epoch) * each - done, options.epochs)


def run_loop(
    rows: BatchSource,
    state: LoopState,
    options: TrainingOptions,
    *,
    gradient: Gradient,
    evaluate: Evaluate,
    distance: Callable[[], float],
    save: Callable[[LoopState], None],
) -> StopReason:
    """Train the state's model from its present epoch to the last one, or to an earlier end.

    `gradient` leaves the gradient of rows in the parameters and returns their loss. `distance` bounds the distance to the optimum.
    `save` is called at each moment from which a run can resume.
    """
    steps, is_full = steps_per_epoch(rows, options), options.is_full_batch
    unit, losses = "epochs" if is_full else "steps", state.history.last_losses
    count = report_count("training", options.epochs * steps, unit, losses)
    try:
        with threads_for(rows.n * rows.features), count as report:
            while True:
                loss = gradient(rows.sequential(), rows.n) if is_full else None  # the gradient stays in the parameters
                if len(state.history.losses) == state.epoch:  # an epoch begins: log the values before its updates
                    values = evaluate(loss)
                    state.history.add(values)
                    ended = stop_reason(state, options, values, distance)
                    if ended is not None:
                        return ended
                    _step_by_validation(state)
                if state.epoch == options.epochs:
                    return FINISHED
                if not state.batch:
                    save(state)
                if is_full:
                    _update(state, options, lambda: gradient(rows.sequential(), rows.n))
                else:
                    _run_batches(rows, state, options, gradient, report=report, save=save)
                if _is_step_due(state, options):
                    step_scheduler(state.scheduler, state.history.losses[-1])
                state.epoch, state.batch = state.epoch + 1, 0
                report(state.epoch * steps)
    except NonFiniteRowError as error:
        set_parameters(state.parameters, state.finite_parameters)
        return StopReason("not finite", f"{error}. The parameters are those of epoch {state.epoch:,}.")


def _run_batches(
    rows: BatchSource,
    state: LoopState,
    options: TrainingOptions,
    gradient: Gradient,
    *,
    report: Callable[[int], None],
    save: Callable[[LoopState], None],
) -> None:
    """Take the remaining steps of an epoch, one for each batch."""
    size, before = min(options.batch_size or rows.n, rows.n), state.epoch * steps_per_epoch(rows, options)
    if not state.batch:
        state.total.zero_()
    for batch in rows.batches(state.epoch, size, state.batch):
        m = rows.count_batch_rows(state.batch, size, len(batch[1]))  # the last batch may be short
        loss = gradient([batch], m)
        state.total.add_(loss, alpha=m)
        _update(state, options, None)
        if state.scheduler is not None and options.scheduler_per == "batch":
            step_scheduler(state.scheduler)
        state.batch += 1
        report(before + state.batch)
        save(state)
    state.history.add({"running_loss": state.total.item() / rows.n})


def _update(state: LoopState, options: TrainingOptions, closure: Callable[[], Any] | None) -> None:
    """Move the parameters against their gradient. LBFGS calls the closure for the loss at other parameters."""
    if options.clip_grad_norm is not None:
        nn.utils.clip_grad_norm_(state.model.parameters(), options.clip_grad_norm)
    if isinstance(state.optimizer, torch.optim.LBFGS):
        state.optimizer.step(closure)
    else:
        state.optimizer.step()
    if state.mean is not None and options.average is not None and state.epoch >= options.average:
        state.average_start = state.average_start if state.average_count else state.epoch
        state.average_count += 1
        for mean, parameter in zip(state.mean, state.parameters, strict=True):
            mean.lerp_(parameter, 1.0 / state.average_count)


def new_evaluate(
    moments: Moments, inputs: RunInputs, state: LoopState, options: TrainingOptions, read: Callable[[], Array]
) -> Evaluate:
    """Return the evaluation of a run: its loss, learning rate and metrics, and those of the validation rows.

    The mean squared error follows from cross-products, so streamed rows are not read twice. `read` returns the coefficients (p,).
    """
    unit = float(inputs.theory.problem.scale[-1])  # of the response
    criterion = new_criterion(options, weighted=moments.design.formula.weights is not None)
    measure_on = partial(measure, state.model, criterion, metrics=options.metrics, unit=unit)
    reads_rows = isinstance(inputs.batches, InMemoryBatches) or options.loss != "mse" or "mae" in options.metrics

    def measure_training_rows() -> dict[str, float]:
        if reads_rows:
            return measure_on(inputs.batches)
        mse, variance = inputs.theory.problem.loss(read()), float(moments.variances[-1]) / unit**2
        return {"loss": mse, **metrics_from_mse(options.metrics, mse, variance, unit)}

    def evaluate(loss: torch.Tensor | None) -> dict[str, float]:
        values = measure_training_rows() if loss is None or options.metrics else {}
        if loss is not None:
            values["loss"] = loss.item()
        if state.scheduler is not None:
            values["lr"] = state.lr
            if state.has_momentum_schedule:
                values["momentum"] = float(state.optimizer.param_groups[0]["momentum"])
        if inputs.validation is not None:
            values |= {f"val_{name}": value for name, value in measure_on(inputs.validation).items()}
        return values

    return evaluate


def _waits_for_validation(state: LoopState) -> bool:
    return isinstance(state.scheduler, ReduceLROnPlateau) and "val_loss" in state.history.columns


def _step_by_validation(state: LoopState) -> None:
    """Step a scheduler that waits for the validation loss of the epoch before, as in torch's documentation."""
    if state.epoch and _waits_for_validation(state):
        step_scheduler(state.scheduler, state.history.columns["val_loss"][-1])
        state.history.columns["lr"][-1] = state.lr


def _is_step_due(state: LoopState, options: TrainingOptions) -> bool:
    """Return whether a scheduler steps after the updates of an epoch; one that waits for the validation loss steps later."""
    if state.scheduler is None or _waits_for_validation(state):
        return False
    return options.is_full_batch or options.scheduler_per == "epoch"


def finish_loop(state: LoopState, ended: StopReason, start: Array, read: Callable[[], Array], evaluate: Evaluate) -> LoopResult:
    """Put the best parameters or the average of the iterates into the model, where the run ends with them."""
    last = averaged = None
    if ended.restored_epoch is not None and state.best_parameters is not None:
        set_parameters(state.parameters, state.best_parameters)
    elif state.mean is not None and state.average_count and ended.status in ("finished", "stopped"):
        last = read()
        set_parameters(state.parameters, state.mean)
        try:
            values = evaluate(None)
        except NonFiniteRowError:
            values = dict.fromkeys(state.history.columns, math.nan)
        averaged = {name: value for name, value in values.items() if name not in NOT_MEASURED}
    return LoopResult(
        model=state.model,
        optimizer=state.optimizer,
        losses=state.history.column("loss"),
        history=state.history,
        start=start,
        end=read(),
        stop_reason=ended,
        average_metrics=averaged,
        last_iterate=last,
    )


@contextmanager
def threads_for(cells: int, grain: int = SINGLE_THREAD_CELLS) -> Iterator[None]:
    """Run work on up to `grain` cells on one thread: a second only waits, and competes with those of BLAS (2 x slower)."""
    before = torch.get_num_threads()
    if cells <= grain:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
