"""A run that ended away from least squares, and the points that it could have been on its way to."""

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
_DECOUPLED_OPTIMIZERS = {"AdamW", "Adafactor"}  # whose decay does not go through the gradient


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Evidence:
    """A run that is more than tau standard errors away: `max_gap` of them, at a loss `excess` above the minimum."""

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
        """The epochs that were taken."""
        return len(self.run.result.losses) - 1

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The parameter groups of the optimiser, none of a closed form."""
        return [] if self.run.optimizer is None else self.run.optimizer.param_groups

    def distance(self, w: Array, v: Array) -> float:
        """Measure two points (p,) in standardised columns against each other, in standard errors."""
        with np.errstate(over="ignore", invalid="ignore"):
            return largest_gap(self.run.problem.to_data_units(w) - self.run.problem.to_data_units(v), self.fit.standard_errors)

    def per_coefficient(self, value: Any) -> Array | None:
        """Give what `value` says of a parameter and its group, for each coefficient (p,); None where that cannot be told.

        The group is None for a parameter that the optimiser does not hold.
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
    """Give the least squares solution (p,) in the standardised columns of the training, with all its digits."""
    return run.problem.from_scaled(fit.solution.scaled_params[0], fit.design)


def is_least_squares(case: Evidence) -> bool:
    """Tell whether the loss of the training has its optimum where least squares has it."""
    return case.run.options.loss == "mse"


def other_loss_optimum(case: Evidence) -> Array:
    """Give about where another loss has its optimum (p,)."""
    run = case.run
    return estimate_optimum(run.moments.design, run.source, run.problem, run.options, optimum_of(case.fit, run))


def resting_point(case: Evidence) -> Array | None:
    """Give the point (p,) at which a decay that goes through the gradient rests; None without one, or if it is not known."""
    run = case.run
    if run.options.loss != "mse" or not run.is_plain or _is_decoupled(case) or not largest_decay(case):
        return None
    if run.optimizer is None:
        decays: Array | None = np.full(len(run.result.end), run.options.weight_decay or 0.0)
    else:
        decays = case.per_coefficient(lambda _, group: 0.0 if group is None else _group_decay(group))
    if decays is None:
        return None
    return np.asarray(np.linalg.lstsq(run.problem.H + np.diag(decays), run.problem.h, rcond=None)[0], dtype=np.float64)


def describe_decay(case: Evidence, rest: Array) -> str:
    """Say how far decay moves the point of rest."""
    by = case.distance(rest, optimum_of(case.fit, case.run))
    return f"weight_decay={largest_decay(case):g} moves the point at which training comes to rest by {by:.2g} standard errors"


def largest_decay(case: Evidence) -> float:
    """Give the largest weight decay of any group; some optimisers have one that nobody asked for."""
    return max([_group_decay(group) for group in case.groups], default=case.run.options.weight_decay or 0.0)


def _group_decay(group: dict[str, Any]) -> float:
    return float(group.get("weight_decay", 0.0)) + float(group.get("lambd", 0.0))  # the second is that of ASGD


def _is_decoupled(case: Evidence) -> bool:
    return type(case.run.optimizer).__name__ in _DECOUPLED_OPTIMIZERS or any(
        group.get("decoupled_weight_decay") for group in case.groups
    )


def response_variance(run: Training) -> float:
    """Give the variance of the response in standardised units: one, where columns are standardised."""
    return float(run.moments.variances[-1]) / float(run.problem.scale[-1]) ** 2 or 1.0


def rounding_excess(case: Evidence, lr: float, dtype: str) -> float:
    """Give the excess at which steps are lost to rounding: they are smaller than that of the coefficients, or of the gradient."""
    lam = case.run.theory.spectrum
    moving = lam.values[lam.flat_directions :]
    size = max(float(np.abs(optimum_of(case.fit, case.run)).max()), 1.0) * float(np.finfo(dtype).eps)
    lost = size * np.maximum(1.0 / lr, lam.largest_eigenvalue) / moving
    return 4.0 * float(0.5 * moving @ lost**2)


def join_sentences(*sentences: str) -> str:
    """Put sentences one after another, those that are empty left out."""
    return " ".join(sentence for sentence in sentences if sentence)
