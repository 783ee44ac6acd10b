"""The result of a loop: its log, its end and its coefficients. Nothing here needs PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from squarely.numerics import Array
from squarely.reprs import short_repr
from squarely.types import Status

if TYPE_CHECKING:
    import torch
    from torch import nn

F = TypeVar("F", float, Array)

DIVERGENCE_FACTOR = 1e12  # times the first loss; a stable run with momentum may grow, but far less
SINGLE_THREAD_CELLS = 32_768  # of a table that is trained on one thread: torch splits no smaller work
NOT_MEASURED = ("lr", "momentum", "running_loss")  # columns of the log that do not follow from the parameters


@dataclass(eq=False, slots=True, kw_only=True)
class History:
    """The log of a run, one entry an epoch, and the best loss for early stopping."""

    __repr__ = short_repr

    # Name -> values: "loss", "lr", "momentum", "running_loss" (the mean over an epoch's batches, while the weights move), metrics,
    # and the same of validation rows after "val_".
    columns: dict[str, list[float]] = field(default_factory=lambda: {"loss": []})
    best_loss: float = math.inf  # the lowest watched loss
    best_epoch: int = 0
    epochs_without_gain: int = 0  # since then

    @property
    def losses(self) -> list[float]:
        """The loss at epochs 0, 1, ..., each before the updates that follow it."""
        return self.columns["loss"]

    def column(self, name: str) -> Array:
        """Return a column as an array, one value for each epoch that has one; empty if there is none."""
        return np.asarray(self.columns.get(name, ()), dtype=np.float64)

    def add(self, values: Mapping[str, float]) -> None:
        """Log an epoch."""
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)

    def last_losses(self) -> dict[str, float]:
        """Return the last logged loss, and that of the validation rows if there are any."""
        return {name: self.columns[name][-1] for name in ("loss", "val_loss") if self.columns.get(name)}

    def watch(self, loss: float, epoch: int, gain: float) -> bool:
        """Record a watched loss, and return whether it is lower than all before by more than `gain`."""
        if loss < self.best_loss - gain:
            self.best_loss, self.best_epoch, self.epochs_without_gain = loss, epoch, 0
            return True
        self.epochs_without_gain += 1
        return False


@dataclass(frozen=True, slots=True)
class StopReason:
    """The end of a run."""

    status: Status
    reason: str = ""  # a sentence, empty for a run that took all its epochs
    restored_epoch: int | None = None  # whose parameters come back, None where the last ones stay; a checkpoint has the last ones
    is_requested: bool = False  # whether a callback asked for it; it may answer otherwise when the run resumes


FINISHED = StopReason("finished")


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LoopResult:
    """The result of a loop.

    Attributes
    ----------
    model, optimizer : the torch objects, as trained; None in closed form.
    losses : the loss at epochs 0, 1, ... as logged, each before the updates that follow it.
    history : the complete log.
    start, end : standardized coefficients (p,) before and after, the intercept first.
    stop_reason : how it ended.
    average_metrics : loss and metrics where `end` is an average of iterates, which no epoch has measured; else None.
    last_iterate : the last iterate (p,), where `end` is an average of iterates; else None.
    remarks : sentences on the checkpoints.
    """

    __repr__ = short_repr

    model: nn.Module | None
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
        columns = {name: values for name, values in self.history.columns.items() if name not in NOT_MEASURED}
        return {name: float(values[self.final_epoch]) for name, values in columns.items()}

    @property
    def has_diverged(self) -> bool:
        """Whether the loss grew beyond all bounds and the loop stopped."""
        return self.stop_reason.status == "diverged"


def divergence_limit(first: F) -> F:
    """Return the largest loss that counts as stable, given the first loss of a run or an array of them."""
    return DIVERGENCE_FACTOR * (first + 1.0)


def has_diverged(losses: Array, first: F) -> NDArray[np.bool_]:
    """Return which losses are NaN or beyond the limit, given the first loss of their runs (both broadcast)."""
    with np.errstate(invalid="ignore", over="ignore"):
        within: NDArray[np.bool_] = losses <= divergence_limit(first)
    return ~within
