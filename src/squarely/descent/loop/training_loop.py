"""The training loop, from rows and a recipe to a trained model. It reads from top to bottom."""

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
from squarely.descent.batches.batch_source import Rows, SpoiltError
from squarely.descent.loop.state import Log, State, averaged, column, copies, put
from squarely.descent.loop.stopping import FINISHED, Ending, ending
from squarely.descent.model.gradients import Gradient
from squarely.descent.model.metrics import Measured, measure
from squarely.descent.options.optimizers import step_scheduler, try_schedule, wants_closure
from squarely.descent.options.options import Recipe
from squarely.numerics import Array

_GRAIN = 32_768  # torch itself does not share out work smaller than this


class Keeper(Protocol):
    """Whoever keeps checkpoints: told of every moment at which a run could be resumed."""

    def batch(self, state: State) -> None:
        """Keep the state in the middle of an epoch, if it is time."""

    def epoch(self, state: State) -> None:
        """Keep the state at the beginning of an epoch, if it is time."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Loop:
    """What the loop leaves behind.

    Attributes
    ----------
    model, optimizer : the torch objects, as trained; the closed form has no optimiser.
    losses : the loss at epochs 0, 1, ... as logged, each before the updates that follow it.
    log : that and all else that was written down.
    start, end : standardised coefficients (p,) before and after, the intercept first.
    ending : how it ended.
    averaged : loss and what else is measured, where `end` is an average of iterates, which no epoch has looked at; else None.
    last : the last iterate (p,), where `end` is an average of iterates; else None.
    remarks : what became of checkpoints, in sentences.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer | None
    losses: Array
    log: Log
    start: Array
    end: Array
    ending: Ending
    averaged: Mapping[str, float] | None = None
    last: Array | None = None
    remarks: tuple[str, ...] = ()

    @property
    def kept_epoch(self) -> int:
        """The epoch of the log whose parameters are `end`, unless that is an average."""
        if self.ending.restored is not None:
            return self.ending.restored
        last = len(self.losses) - 1
        return last if math.isfinite(self.losses[-1]) else max(last - 1, 0)  # before the loss was lost

    @property
    def final(self) -> dict[str, float]:
        """What was measured of the parameters that the run ends with: "loss", metrics, and the same of validation rows."""
        if self.averaged is not None:
            return dict(self.averaged)
        columns = {name: values for name, values in self.log.columns.items() if name not in ("lr", "momentum", "running_loss")}
        return {name: float(values[self.kept_epoch]) for name, values in columns.items()}

    @property
    def diverged(self) -> bool:
        """Whether the loss grew past all bounds and the loop stopped."""
        return self.ending.status == "diverged"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Look:
    """What is looked at when an epoch begins.

    Attributes
    ----------
    criterion : the loss.
    unit : what a standardised response is in its own unit, for metrics.
    validation : rows to validate on, if there are some.
    known : works loss and metrics out without reading rows, where that can be.
    """

    criterion: nn.Module
    unit: float
    validation: Rows | None
    known: Callable[[], Measured] | None = None


def require_schedule(rows: Rows, state: State, recipe: Recipe) -> None:
    """Try the schedule out for the steps that a run has left.

    Raises
    ------
    OptionError : it ends before them.
    """
    if state.scheduler is not None:
        by_batch = recipe.scheduler_per == "batch" and not recipe.full_batch
        each = rows.steps(_size(rows, recipe)) if by_batch else 1
        try_schedule(state.scheduler, (recipe.epochs - state.epoch) * each - (state.batch if by_batch else 0), recipe.epochs)


def run_loop(
    rows: Rows,
    state: State,
    recipe: Recipe,
    *,
    gradient: Gradient,
    look: Look,
    distance: Callable[[], float] | None = None,
    keeper: Keeper | None = None,
) -> Ending:
    """Train the state's model from where it stands to the recipe's last epoch, or to an earlier ending.

    `gradient` leaves the gradient of rows in the parameters and gives their loss; with `distance` the run stops near enough to the
    optimum.
    """
    try:
        return _epochs(rows, state, recipe, gradient=gradient, look=look, distance=distance, keeper=keeper)
    except SpoiltError as error:
        put(state.parameters, state.good)
        return Ending("not finite", f"{error}. The parameters are those of epoch {state.epoch:,}.")


def _epochs(
    rows: Rows,
    state: State,
    recipe: Recipe,
    *,
    gradient: Gradient,
    look: Look,
    distance: Callable[[], float] | None,
    keeper: Keeper | None,
) -> Ending:
    steps = 1 if recipe.full_batch else rows.steps(_size(rows, recipe))  # an epoch
    unit_counted = "epochs" if recipe.full_batch else "steps"
    with (
        threads_for(rows),
        report_count("training", recipe.epochs * steps, unit_counted) as reached,
    ):

        def after_batch() -> None:
            state.batch += 1
            reached(state.epoch * steps + state.batch)
            if keeper is not None:
                keeper.batch(state)

        while True:
            loss = gradient(rows.chunks(), rows.n) if recipe.full_batch else None  # the gradient stays in the parameters
            if len(state.log.losses) == state.epoch:  # an epoch begins: write down what holds before its updates
                values = _values(rows, state, recipe, look, loss)
                state.log.add(values)
                ended = ending(state, recipe, values, distance)
                if ended is not None:
                    return ended
                _step_by_validation(state, look)
            if state.epoch == recipe.epochs:
                return FINISHED
            if keeper is not None and not state.batch:
                keeper.epoch(state)
            if recipe.full_batch:
                _update(state, recipe, lambda: gradient(rows.chunks(), rows.n))
            else:
                _batches(rows, state, recipe, gradient, after_batch)
            if _steps_now(state.scheduler, recipe, look):
                step_scheduler(state.scheduler, state.log.losses[-1])
            state.epoch, state.batch = state.epoch + 1, 0
            reached(state.epoch * steps)


def _batches(rows: Rows, state: State, recipe: Recipe, gradient: Gradient, after_batch: Callable[[], None]) -> None:
    """Take an epoch's steps, one for each batch, from the one where the state stands."""
    size = _size(rows, recipe)
    if not state.batch:
        state.total.zero_()
    for inputs, labels in rows.batches(state.epoch, size, state.batch):
        m = rows.rows_of(state.batch, size, len(labels))  # the last one may be short: its mean is over the rows that it has
        loss = gradient([(inputs, labels)], m)
        state.total.add_(loss, alpha=m)
        _update(state, recipe, None)
        if state.scheduler is not None and recipe.scheduler_per == "batch":
            step_scheduler(state.scheduler)
        after_batch()
    state.log.add({"running_loss": state.total.item() / rows.n})


def _size(rows: Rows, recipe: Recipe) -> int:
    return min(recipe.batch_size or rows.n, rows.n)


def _update(state: State, recipe: Recipe, look: Callable[[], Any] | None) -> None:
    """Move the parameters against the gradient that they hold. LBFGS looks at the loss again at other places."""
    if recipe.clip_grad_norm is not None:
        nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip_grad_norm)
    if wants_closure(state.optimizer):
        state.optimizer.step(look)
    else:
        state.optimizer.step()
    if recipe.average is not None and state.epoch >= recipe.average:
        averaged(state)


def measured_now(rows: Rows, state: State, recipe: Recipe, look: Look) -> dict[str, float]:
    """Measure the parameters as they are, as an epoch does when it begins; NaN where a row is spoilt."""
    try:
        values = _values(rows, state, recipe, look, None)
    except SpoiltError:
        return dict.fromkeys(state.log.columns.keys() - {"lr", "momentum", "running_loss"}, math.nan)
    for name in ("lr", "momentum"):
        values.pop(name, None)
    return values


def _values(rows: Rows, state: State, recipe: Recipe, look: Look, loss: Any) -> dict[str, float]:
    """Measure the weights as they are: the loss on all rows, metrics, and both on the validation rows."""

    def measured(on: Rows) -> Measured:
        return measure(state.model, look.criterion, on.chunks(), metrics=recipe.metrics, unit=look.unit, summed=on.summed)

    if loss is None or recipe.metrics:
        met = look.known() if look.known else measured(rows)
        values = {"loss": met.loss if loss is None else loss.item(), **met.metrics}
    else:
        values = {"loss": loss.item()}
    if state.scheduler is not None:
        values["lr"] = state.lr
        if state.cycles:
            values["momentum"] = float(state.optimizer.param_groups[0]["momentum"])
    if look.validation is not None:
        met = measured(look.validation)
        values |= {"val_loss": met.loss, **{f"val_{name}": value for name, value in met.metrics.items()}}
    return values


def _waits_for_validation(scheduler: Any, look: Look) -> bool:
    return isinstance(scheduler, ReduceLROnPlateau) and look.validation is not None


def _step_by_validation(state: State, look: Look) -> None:
    """Tell a scheduler that waits for the validation loss how the epoch before has ended, as torch's documentation does."""
    if state.epoch and _waits_for_validation(state.scheduler, look):
        step_scheduler(state.scheduler, state.log.columns["val_loss"][-1])
        state.log.columns["lr"][-1] = state.lr


def _steps_now(scheduler: Any, recipe: Recipe, look: Look) -> bool:
    """Tell whether a scheduler takes a step after the updates of an epoch; one that waits for the validation loss does later."""
    if scheduler is None or _waits_for_validation(scheduler, look):
        return False
    return recipe.full_batch or recipe.scheduler_per == "epoch"


def settle(
    state: State,
    ended: Ending,
    start: Array,
    read: Callable[[], Array],
    measured: Callable[[], Mapping[str, float]] | None = None,
) -> Loop:
    """Put the best parameters or the average of the iterates into the model, where the run ends with them.

    Gives what the loop leaves behind; `measured` looks at an average.
    """
    last = averaged = None
    if ended.restored is not None and state.best is not None:
        put(state.parameters, state.best)
    elif state.mean is not None and state.counted and ended.status in ("finished", "stopped"):
        last = read()
        put(state.parameters, copies(state.mean))
        averaged = None if measured is None else measured()
    return Loop(
        model=state.model,
        optimizer=state.optimizer,
        losses=column(state.log, "loss"),
        log=state.log,
        start=start,
        end=read(),
        ending=ended,
        averaged=averaged,
        last=last,
    )


def on_one_thread(size: int) -> bool:
    """Tell whether a table of so many numbers is trained on one thread."""
    return size <= _GRAIN


@contextmanager
def threads_for(rows: Rows) -> Iterator[None]:
    """Run small problems on one thread: a second only waits, and fights the spinning threads of NumPy's BLAS (2 x slower)."""
    before = torch.get_num_threads()
    if on_one_thread(rows.n * rows.features):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
