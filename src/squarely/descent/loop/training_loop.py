"""The training loop, from rows and options to a trained model. It reads from top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from squarely.data import report_count
from squarely.descent.batches.batch_source import BatchSource
from squarely.descent.batches.loader import NonFiniteRowError
from squarely.descent.loop.state import History, LoopState, copy_parameters, history_column, set_parameters, update_average
from squarely.descent.loop.stopping import FINISHED, StopReason, stop_reason
from squarely.descent.model.gradients import Gradient
from squarely.descent.model.metrics import Measurement, measure
from squarely.descent.options.optimizers import needs_closure, step_scheduler, try_schedule
from squarely.descent.options.options import TrainingOptions
from squarely.numerics import Array

_GRAIN = 32_768  # torch splits no smaller work among threads
_NOT_MEASURED = ("lr", "momentum", "running_loss")  # columns of the log that do not follow from the parameters

# Takes the loss of all rows if it is known, else None; returns loss, learning rate and metrics of the parameters as they are.
Evaluate = Callable[[torch.Tensor | None], dict[str, float]]


class CheckpointHook(Protocol):
    """Called by the loop at each moment from which a run can resume."""

    def on_start(self, state: LoopState) -> None:
        """Save the state before the first update."""

    def on_batch(self, state: LoopState) -> None:
        """Save the state in the middle of an epoch, if it is time."""

    def on_epoch(self, state: LoopState) -> None:
        """Save the state at the beginning of an epoch, if it is time."""

    def on_end(self, state: LoopState, ended: StopReason) -> None:
        """Save the state at the end."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LoopResult:
    """The result of a loop.

    Attributes
    ----------
    model, optimizer : the torch objects, as trained; the closed form has no optimizer.
    losses : the loss at epochs 0, 1, ... as logged, each before the updates that follow it.
    history : the complete log.
    start, end : standardized coefficients (p,) before and after, the intercept first.
    stop_reason : how it ended.
    average_metrics : loss and metrics where `end` is an average of iterates, which no epoch has measured; else None.
    last_iterate : the last iterate (p,), where `end` is an average of iterates; else None.
    remarks : sentences on the checkpoints.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer | None
    losses: Array
    history: History
    start: Array
    end: Array
    stop_reason: StopReason
    average_metrics: Mapping[str, float] | None = None
    last_iterate: Array | None = None
    remarks: tuple[str, ...] = ()

    @property
    def final_epoch(self) -> int:
        """The epoch of the log whose parameters are `end`, unless that is an average."""
        if self.stop_reason.restored_epoch is not None:
            return self.stop_reason.restored_epoch
        last = len(self.losses) - 1
        return last if math.isfinite(self.losses[-1]) else max(last - 1, 0)

    @property
    def final_values(self) -> dict[str, float]:
        """Loss and metrics of the final parameters, by the names of the log."""
        if self.average_metrics is not None:
            return dict(self.average_metrics)
        columns = {name: values for name, values in self.history.columns.items() if name not in _NOT_MEASURED}
        return {name: float(values[self.final_epoch]) for name, values in columns.items()}

    @property
    def has_diverged(self) -> bool:
        """Whether the loss grew beyond all bounds and the loop stopped."""
        return self.stop_reason.status == "diverged"


def require_schedule(rows: BatchSource, state: LoopState, options: TrainingOptions) -> None:
    """Try the schedule out for the remaining steps of a run.

    Raises
    ------
    OptionError : it ends before them.
    """
    if state.scheduler is not None:
        by_batch = options.scheduler_per == "batch" and not options.is_full_batch
        each = rows.batches_per_epoch(_effective_batch_size(rows, options)) if by_batch else 1
        try_schedule(state.scheduler, (options.epochs - state.epoch) * each - (state.batch if by_batch else 0), options.epochs)


def run_loop(
    rows: BatchSource,
    state: LoopState,
    options: TrainingOptions,
    *,
    gradient: Gradient,
    evaluate: Evaluate,
    distance: Callable[[], float] | None = None,
    hook: CheckpointHook | None = None,
) -> StopReason:
    """Train the state's model from its present epoch to the last one, or to an earlier end.

    `gradient` leaves the gradient of rows in the parameters and returns their loss. With `distance` the run stops near the optimum.
    """
    if hook is not None:
        hook.on_start(state)
    try:
        ended = _run_epochs(rows, state, options, gradient=gradient, evaluate=evaluate, distance=distance, hook=hook)
    except NonFiniteRowError as error:
        set_parameters(state.parameters, state.finite_parameters)
        ended = StopReason("not finite", f"{error}. The parameters are those of epoch {state.epoch:,}.")
    if hook is not None:
        hook.on_end(state, ended)
    return ended


def _run_epochs(
    rows: BatchSource,
    state: LoopState,
    options: TrainingOptions,
    *,
    gradient: Gradient,
    evaluate: Evaluate,
    distance: Callable[[], float] | None,
    hook: CheckpointHook | None,
) -> StopReason:
    steps = 1 if options.is_full_batch else rows.batches_per_epoch(_effective_batch_size(rows, options))  # an epoch
    with (
        threads_for(rows.n * rows.features),
        report_count("training", options.epochs * steps, "epochs" if options.is_full_batch else "steps") as report,
    ):

        def after_batch() -> None:
            state.batch += 1
            report(state.epoch * steps + state.batch)
            if hook is not None:
                hook.on_batch(state)

        while True:
            loss = gradient(rows.sequential(), rows.n) if options.is_full_batch else None  # the gradient stays in the parameters
            if len(state.history.losses) == state.epoch:  # an epoch begins: log the values before its updates
                values = evaluate(loss)
                state.history.add(values)
                ended = stop_reason(state, options, values, distance)
                if ended is not None:
                    return ended
                _step_by_validation(state)
            if state.epoch == options.epochs:
                return FINISHED
            if hook is not None and not state.batch:
                hook.on_epoch(state)
            if options.is_full_batch:
                _update(state, options, lambda: gradient(rows.sequential(), rows.n))
            else:
                _run_batches(rows, state, options, gradient, after_batch)
            if _is_step_due(state, options):
                step_scheduler(state.scheduler, state.history.losses[-1])
            state.epoch, state.batch = state.epoch + 1, 0
            report(state.epoch * steps)


def _run_batches(
    rows: BatchSource, state: LoopState, options: TrainingOptions, gradient: Gradient, after_batch: Callable[[], None]
) -> None:
    """Take the remaining steps of an epoch, one for each batch."""
    size = _effective_batch_size(rows, options)
    if not state.batch:
        state.total.zero_()
    for inputs, labels in rows.batches(state.epoch, size, state.batch):
        m = rows.count_batch_rows(state.batch, size, len(labels))  # the last batch may be short
        loss = gradient([(inputs, labels)], m)
        state.total.add_(loss, alpha=m)
        _update(state, options, None)
        if state.scheduler is not None and options.scheduler_per == "batch":
            step_scheduler(state.scheduler)
        after_batch()
    state.history.add({"running_loss": state.total.item() / rows.n})


def _effective_batch_size(rows: BatchSource, options: TrainingOptions) -> int:
    return min(options.batch_size or rows.n, rows.n)


def _update(state: LoopState, options: TrainingOptions, closure: Callable[[], Any] | None) -> None:
    """Move the parameters against their gradient. LBFGS calls the closure for the loss at other parameters."""
    if options.clip_grad_norm is not None:
        nn.utils.clip_grad_norm_(state.model.parameters(), options.clip_grad_norm)
    if needs_closure(state.optimizer):
        state.optimizer.step(closure)
    else:
        state.optimizer.step()
    if options.average is not None and state.epoch >= options.average:
        update_average(state)


def evaluate_state(
    rows: BatchSource,
    state: LoopState,
    options: TrainingOptions,
    loss: torch.Tensor | None,
    *,
    criterion: nn.Module,
    unit: float,
    validation: BatchSource | None,
    from_moments: Callable[[], Measurement] | None,
) -> dict[str, float]:
    """Measure the weights as they are: the loss on all rows, metrics, and both on the validation rows.

    `unit` is that of the response, for metrics; `from_moments` measures without reading rows, where that is possible.
    """

    def measured(on: BatchSource) -> Measurement:
        return measure(state.model, criterion, on, metrics=options.metrics, unit=unit)

    if loss is None or options.metrics:
        result = from_moments() if from_moments else measured(rows)
        values = {"loss": result.loss if loss is None else loss.item(), **result.metrics}
    else:
        values = {"loss": loss.item()}
    if state.scheduler is not None:
        values["lr"] = state.lr
        if state.has_momentum_schedule:
            values["momentum"] = float(state.optimizer.param_groups[0]["momentum"])
    if validation is not None:
        result = measured(validation)
        values |= {"val_loss": result.loss, **{f"val_{name}": value for name, value in result.metrics.items()}}
    return values


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


def finish_loop(
    state: LoopState, ended: StopReason, start: Array, read: Callable[[], Array], evaluate: Evaluate | None = None
) -> LoopResult:
    """Put the best parameters or the average of the iterates into the model, where the run ends with them."""
    last = averaged = None
    if ended.restored_epoch is not None and state.best_parameters is not None:
        set_parameters(state.parameters, state.best_parameters)
    elif state.mean is not None and state.average_count and ended.status in ("finished", "stopped"):
        last = read()
        set_parameters(state.parameters, copy_parameters(state.mean))
        averaged = None if evaluate is None else _evaluate_average(state, evaluate)
    return LoopResult(
        model=state.model,
        optimizer=state.optimizer,
        losses=history_column(state.history, "loss"),
        history=state.history,
        start=start,
        end=read(),
        stop_reason=ended,
        average_metrics=averaged,
        last_iterate=last,
    )


def _evaluate_average(state: LoopState, evaluate: Evaluate) -> dict[str, float]:
    """Measure the parameters as at the beginning of an epoch; NaN where a row is not finite."""
    try:
        values = evaluate(None)
    except NonFiniteRowError:
        values = dict.fromkeys(state.history.columns, math.nan)
    return {name: value for name, value in values.items() if name not in _NOT_MEASURED}


def needs_single_thread(cells: int) -> bool:
    """Return whether a table of so many cells is trained on one thread."""
    return cells <= _GRAIN


@contextmanager
def threads_for(cells: int, grain: int = _GRAIN) -> Iterator[None]:
    """Run work on up to `grain` cells on one thread: a second only waits, and competes with those of BLAS (2 x slower)."""
    before = torch.get_num_threads()
    if cells <= grain:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
