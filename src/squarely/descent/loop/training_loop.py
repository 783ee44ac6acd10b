"""The training loop, from rows and the options to a trained model. It reads from top to bottom."""

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
from squarely.descent.batches.batch_source import BatchSource, NonFiniteRowError
from squarely.descent.loop.state import History, LoopState, copy_parameters, history_column, set_parameters, update_average
from squarely.descent.loop.stopping import FINISHED, StopReason, stop_reason
from squarely.descent.model.gradients import Gradient
from squarely.descent.model.metrics import Measurement, measure
from squarely.descent.options.optimizers import needs_closure, step_scheduler, try_schedule
from squarely.descent.options.options import TrainingOptions
from squarely.numerics import Array

_GRAIN = 32_768  # torch itself does not share out work smaller than this


class CheckpointHook(Protocol):
    """Whoever keeps checkpoints: told of every moment at which a run could be resumed."""

    def on_batch(self, state: LoopState) -> None:
        """Keep the state in the middle of an epoch, if it is time."""

    def on_epoch(self, state: LoopState) -> None:
        """Keep the state at the beginning of an epoch, if it is time."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LoopResult:
    """What the loop leaves behind.

    Attributes
    ----------
    model, optimizer : the torch objects, as trained; the closed form has no optimizer.
    losses : the loss at epochs 0, 1, ... as logged, each before the updates that follow it.
    history : that and all else that was written down.
    start, end : standardized coefficients (p,) before and after, the intercept first.
    stop_reason : how it ended.
    average_metrics : loss and what else is measured, where `end` is an average of iterates, which no epoch has looked at; else None.
    last_iterate : the last iterate (p,), where `end` is an average of iterates; else None.
    remarks : what became of checkpoints, in sentences.
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
        return last if math.isfinite(self.losses[-1]) else max(last - 1, 0)  # before the loss was lost

    @property
    def final_values(self) -> dict[str, float]:
        """What was measured of the parameters that the run ends with: "loss", metrics, and the same of validation rows."""
        if self.average_metrics is not None:
            return dict(self.average_metrics)
        columns = {name: values for name, values in self.history.columns.items() if name not in ("lr", "momentum", "running_loss")}
        return {name: float(values[self.final_epoch]) for name, values in columns.items()}

    @property
    def has_diverged(self) -> bool:
        """Whether the loss grew past all bounds and the loop stopped."""
        return self.stop_reason.status == "diverged"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EvaluationSpec:
    """What is looked at when an epoch begins.

    Attributes
    ----------
    criterion : the loss.
    unit : what a standardized response is in its own unit, for metrics.
    validation : rows to validate on, if there are some.
    measure_from_moments : works loss and metrics out without reading rows, where that can be.
    """

    criterion: nn.Module
    unit: float
    validation: BatchSource | None
    measure_from_moments: Callable[[], Measurement] | None = None


def require_schedule(rows: BatchSource, state: LoopState, options: TrainingOptions) -> None:
    """Try the schedule out for the steps that a run has left.

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
    evaluation: EvaluationSpec,
    distance: Callable[[], float] | None = None,
    hook: CheckpointHook | None = None,
) -> StopReason:
    """Train the state's model from where it stands to the options's last epoch, or to an earlier ending.

    `gradient` leaves the gradient of rows in the parameters and gives their loss; with `distance` the run stops near enough to the
    optimum.
    """
    try:
        return _run_epochs(rows, state, options, gradient=gradient, look=evaluation, distance=distance, keeper=hook)
    except NonFiniteRowError as error:
        set_parameters(state.parameters, state.finite_parameters)
        return StopReason("not finite", f"{error}. The parameters are those of epoch {state.epoch:,}.")


def _run_epochs(
    rows: BatchSource,
    state: LoopState,
    options: TrainingOptions,
    *,
    gradient: Gradient,
    look: EvaluationSpec,
    distance: Callable[[], float] | None,
    keeper: CheckpointHook | None,
) -> StopReason:
    steps = 1 if options.is_full_batch else rows.batches_per_epoch(_effective_batch_size(rows, options))  # an epoch
    unit_counted = "epochs" if options.is_full_batch else "steps"
    with (
        threads_for(rows),
        report_count("training", options.epochs * steps, unit_counted) as reached,
    ):

        def after_batch() -> None:
            state.batch += 1
            reached(state.epoch * steps + state.batch)
            if keeper is not None:
                keeper.on_batch(state)

        while True:
            loss = gradient(rows.sequential(), rows.n) if options.is_full_batch else None  # the gradient stays in the parameters
            if len(state.history.losses) == state.epoch:  # an epoch begins: write down what holds before its updates
                values = _measure_epoch(rows, state, options, look, loss)
                state.history.add(values)
                ended = stop_reason(state, options, values, distance)
                if ended is not None:
                    return ended
                _step_by_validation(state, look)
            if state.epoch == options.epochs:
                return FINISHED
            if keeper is not None and not state.batch:
                keeper.on_epoch(state)
            if options.is_full_batch:
                _update(state, options, lambda: gradient(rows.sequential(), rows.n))
            else:
                _run_batches(rows, state, options, gradient, after_batch)
            if _is_step_due(state.scheduler, options, look):
                step_scheduler(state.scheduler, state.history.losses[-1])
            state.epoch, state.batch = state.epoch + 1, 0
            reached(state.epoch * steps)


def _run_batches(
    rows: BatchSource, state: LoopState, options: TrainingOptions, gradient: Gradient, after_batch: Callable[[], None]
) -> None:
    """Take an epoch's steps, one for each batch, from the one where the state stands."""
    size = _effective_batch_size(rows, options)
    if not state.batch:
        state.total.zero_()
    for inputs, labels in rows.batches(state.epoch, size, state.batch):
        m = rows.count_batch_rows(
            state.batch, size, len(labels)
        )  # the last one may be short: its mean is over the rows that it has
        loss = gradient([(inputs, labels)], m)
        state.total.add_(loss, alpha=m)
        _update(state, options, None)
        if state.scheduler is not None and options.scheduler_per == "batch":
            step_scheduler(state.scheduler)
        after_batch()
    state.history.add({"running_loss": state.total.item() / rows.n})


def _effective_batch_size(rows: BatchSource, options: TrainingOptions) -> int:
    return min(options.batch_size or rows.n, rows.n)


def _update(state: LoopState, options: TrainingOptions, look: Callable[[], Any] | None) -> None:
    """Move the parameters against the gradient that they hold. LBFGS looks at the loss again at other places."""
    if options.clip_grad_norm is not None:
        nn.utils.clip_grad_norm_(state.model.parameters(), options.clip_grad_norm)
    if needs_closure(state.optimizer):
        state.optimizer.step(look)
    else:
        state.optimizer.step()
    if options.average is not None and state.epoch >= options.average:
        update_average(state)


def measure_state(rows: BatchSource, state: LoopState, options: TrainingOptions, look: EvaluationSpec) -> dict[str, float]:
    """Measure the parameters as they are, as an epoch does when it begins; NaN where a row is spoilt."""
    try:
        values = _measure_epoch(rows, state, options, look, None)
    except NonFiniteRowError:
        return dict.fromkeys(state.history.columns.keys() - {"lr", "momentum", "running_loss"}, math.nan)
    for name in ("lr", "momentum"):
        values.pop(name, None)
    return values


def _measure_epoch(
    rows: BatchSource, state: LoopState, options: TrainingOptions, look: EvaluationSpec, loss: Any
) -> dict[str, float]:
    """Measure the weights as they are: the loss on all rows, metrics, and both on the validation rows."""

    def measured(on: BatchSource) -> Measurement:
        return measure(
            state.model, look.criterion, on.sequential(), metrics=options.metrics, unit=look.unit, all_reduce=on.all_reduce
        )

    if loss is None or options.metrics:
        met = look.measure_from_moments() if look.measure_from_moments else measured(rows)
        values = {"loss": met.loss if loss is None else loss.item(), **met.metrics}
    else:
        values = {"loss": loss.item()}
    if state.scheduler is not None:
        values["lr"] = state.lr
        if state.has_momentum_schedule:
            values["momentum"] = float(state.optimizer.param_groups[0]["momentum"])
    if look.validation is not None:
        met = measured(look.validation)
        values |= {"val_loss": met.loss, **{f"val_{name}": value for name, value in met.metrics.items()}}
    return values


def _needs_validation(scheduler: Any, look: EvaluationSpec) -> bool:
    return isinstance(scheduler, ReduceLROnPlateau) and look.validation is not None


def _step_by_validation(state: LoopState, look: EvaluationSpec) -> None:
    """Tell a scheduler that waits for the validation loss how the epoch before has ended, as torch's documentation does."""
    if state.epoch and _needs_validation(state.scheduler, look):
        step_scheduler(state.scheduler, state.history.columns["val_loss"][-1])
        state.history.columns["lr"][-1] = state.lr


def _is_step_due(scheduler: Any, options: TrainingOptions, look: EvaluationSpec) -> bool:
    """Tell whether a scheduler takes a step after the updates of an epoch; one that waits for the validation loss does later."""
    if scheduler is None or _needs_validation(scheduler, look):
        return False
    return options.is_full_batch or options.scheduler_per == "epoch"


def finish_loop(
    state: LoopState,
    ended: StopReason,
    start: Array,
    read: Callable[[], Array],
    measured: Callable[[], Mapping[str, float]] | None = None,
) -> LoopResult:
    """Put the best parameters or the average of the iterates into the model, where the run ends with them.

    Gives what the loop leaves behind; `measured` looks at an average.
    """
    last = averaged = None
    if ended.restored_epoch is not None and state.best_parameters is not None:
        set_parameters(state.parameters, state.best_parameters)
    elif state.mean is not None and state.average_count and ended.status in ("finished", "stopped"):
        last = read()
        set_parameters(state.parameters, copy_parameters(state.mean))
        averaged = None if measured is None else measured()
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


def needs_single_thread(size: int) -> bool:
    """Tell whether a table of so many numbers is trained on one thread."""
    return size <= _GRAIN


@contextmanager
def threads_for(rows: BatchSource) -> Iterator[None]:
    """Run small problems on one thread: a second only waits, and fights the spinning threads of NumPy's BLAS (2 x slower)."""
    before = torch.get_num_threads()
    if needs_single_thread(rows.n * rows.features):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
