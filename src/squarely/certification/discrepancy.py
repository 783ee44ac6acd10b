"""A run that ended away from least squares, and the points that it may have been approaching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.certification.certificate import largest_gap
from squarely.certification.irls import estimate_optimum
from squarely.inference import Fit
from squarely.numerics import Array

if TYPE_CHECKING:
    from squarely.descent import Training

CHANCE_FACTOR = 30.0  # times its mean: an excess that the noise of batches reaches less than once in ten million runs
LOSS_NAMES = {"l1": "mean absolute error", "huber": "Huber loss", "quantile": "quantile loss"}
_ROUNDINGS = 100.0  # of a standardized coefficient: a converged run may be so many off
_DECOUPLED_OPTIMIZERS = {"AdamW", "Adafactor"}  # their decay does not go through the gradient


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Discrepancy:
    """A run that is `max_gap` standard errors away, which is more than `tau`, at a loss `excess` above the minimum."""

    fit: Fit
    run: Training
    excess: float
    tau: float
    max_gap: float

    @property
    def gap_sentence(self) -> str:
        """The distance in a sentence."""
        return f"The largest gap is {self.max_gap:.2g} standard errors."

    @property
    def epochs(self) -> int:
        """The number of epochs that the run took."""
        return len(self.run.result.losses) - 1

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The parameter groups of the optimizer; the closed form has none."""
        return [] if self.run.optimizer is None else self.run.optimizer.param_groups

    @property
    def has_fixed_order(self) -> bool:
        """Whether the mini-batches come in the same order in every epoch."""
        options = self.run.options
        return not (options.is_full_batch or options.shuffle or options.replacement)

    @property
    def optimum(self) -> Array:
        """The least squares solution (p,) in the standardized columns of the run."""
        return optimum_of(self.fit, self.run)

    def distance(self, w: Array, v: Array) -> float:
        """Return the distance between two points (p,) in standardized columns, in standard errors."""
        with np.errstate(over="ignore", invalid="ignore"):
            return largest_gap(self.run.problem.to_data_units(w) - self.run.problem.to_data_units(v), self.fit.standard_errors)

    def per_coefficient(self, value: Any) -> Array | None:
        """Return `value(parameter, group)` for each coefficient (p,); None if the model does not determine which is which.

        The group is None for a parameter that is not in the optimizer.
        """
        group_of = {id(parameter): group for group in self.groups for parameter in group["params"]}
        parameters = list(self.run.model.parameters())
        values = [float(value(parameter, group_of.get(id(parameter)))) for parameter in parameters]
        p = len(self.run.result.end)
        if len(set(values)) == 1:
            return np.full(p, values[0])
        layer: Any = getattr(self.run.model, "linear", self.run.model)
        if type(layer).__name__ != "Linear" or len(parameters) != 2 or layer.bias is not parameters[1]:
            return None
        return np.array([values[1], *[values[0]] * (p - 1)])


def optimum_of(fit: Fit, run: Training) -> Array:
    """Return the least squares solution (p,) in the standardized columns of the run, with all its digits."""
    return run.problem.from_scaled(fit.solution.scaled_params[0], fit.design)


def is_least_squares(case: Discrepancy) -> bool:
    """Return whether the loss of the run has its optimum where least squares has it."""
    return case.run.options.loss == "mse"


def other_loss_optimum(case: Discrepancy) -> Array:
    """Estimate the optimum (p,) of a loss that is not the squared error."""
    run = case.run
    return estimate_optimum(run.moments.design, run.source, run.problem, run.options, case.optimum)


def resting_point(case: Discrepancy) -> Array | None:
    """Return the point (p,) where a decay that goes through the gradient comes to rest; None if there is none or it is unknown."""
    run = case.run
    decoupled = type(run.optimizer).__name__ in _DECOUPLED_OPTIMIZERS or any(
        group.get("decoupled_weight_decay") for group in case.groups
    )
    if not is_least_squares(case) or not run.is_plain or decoupled or not largest_decay(case):
        return None
    if run.optimizer is None:
        decays: Array | None = np.full(len(run.result.end), largest_decay(case))
    else:
        decays = case.per_coefficient(lambda _, group: 0.0 if group is None else _group_decay(group))
    if decays is None:
        return None
    return np.asarray(np.linalg.lstsq(run.problem.H + np.diag(decays), run.problem.h, rcond=None)[0], dtype=np.float64)


def describe_decay(case: Discrepancy, rest: Array) -> str:
    """Say how far weight decay moves the point of rest."""
    by = case.distance(rest, case.optimum)
    return f"weight_decay={largest_decay(case):g} moves the point at which training comes to rest by {by:.2g} standard errors"


def largest_decay(case: Discrepancy) -> float:
    """Return the largest weight decay of any parameter group, defaults of torch included."""
    return max([_group_decay(group) for group in case.groups], default=case.run.options.weight_decay or 0.0)


def _group_decay(group: dict[str, Any]) -> float:
    return float(group.get("weight_decay", 0.0)) + float(group.get("lambd", 0.0))  # ASGD has `lambd`


def response_variance(run: Training) -> float:
    """Return the variance of the response in standardized units: one if columns are standardized."""
    return float(run.moments.variances[-1]) / float(run.problem.scale[-1]) ** 2 or 1.0


def within_rounding(case: Discrepancy, dtype: str, *, roundings: float = _ROUNDINGS) -> bool:
    """Return whether the excess is that of so many roundings of the standardized coefficients."""
    return case.excess <= response_variance(case.run) * (roundings * float(np.finfo(dtype).eps)) ** 2


def rounding_excess(case: Discrepancy, lr: float, dtype: str) -> float:
    """Return the excess below which steps are smaller than the rounding of the coefficients or of the gradient."""
    lam = case.run.theory.spectrum
    moving = lam.values[lam.flat_directions :]
    size = max(float(np.abs(case.optimum).max()), 1.0) * float(np.finfo(dtype).eps)
    lost = size * np.maximum(1.0 / lr, lam.largest_eigenvalue) / moving
    return 4.0 * float(0.5 * moving @ lost**2)


def join_sentences(*sentences: str) -> str:
    """Join the sentences that are not empty."""
    return " ".join(sentence for sentence in sentences if sentence)
