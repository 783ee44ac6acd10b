"""The curve that theory predicts for a run, from its start and the optimum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely import theory
from squarely.descent.options.options import TrainingOptions
from squarely.descent.run_theory.limits import RunTheory
from squarely.moments import StandardizedProblem
from squarely.numerics import Array
from squarely.reprs import short_repr


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class PredictedCurve:
    """What theory predicts, once the optimum is known. For SGD on all rows it is exact in exact arithmetic.

    Attributes
    ----------
    excess : (epochs + 1,) the loss above the optimum at epochs 0 to `epochs`; with mini-batches its mean over the orders of rows.
    floor : the loss at the optimum.
    gap : (p,) coefficients after the last update minus the optimum, in the units of the data; with mini-batches the root of the
        mean square.
    form : what the curve is, in a few words; empty for an exact one.
    final_epoch : the epoch whose parameters the run ends with; -1 for the last one.
    """

    __repr__ = short_repr

    excess: Array
    floor: float
    gap: Array
    form: str = ""
    final_epoch: int = -1

    @property
    def losses(self) -> Array:
        """The loss (epochs + 1,) at epochs 0 to `epochs`."""
        return self.floor + self.excess

    @property
    def final_loss(self) -> float:
        """The loss at the final parameters."""
        return float(self.floor + self.excess[self.final_epoch])

    @property
    def remaining_fraction(self) -> float:
        """The fraction of the starting excess that remains at the end."""
        return float(self.excess[self.final_epoch] / self.excess[0]) if self.excess[0] > 0 else 0.0

    def visible_fraction(self, dtype: str) -> float:
        """The remaining fraction, or if that is smaller, the one that the rounding of a loss in this dtype hides."""
        rounding = float(np.finfo(dtype).eps) * self.floor / self.excess[0] if self.excess[0] > 0 else 0.0
        return max(self.remaining_fraction, float(rounding))


def predict_curve(
    problem: StandardizedProblem,
    run_theory: RunTheory,
    options: TrainingOptions,
    start: Array,
    optimum: Array,
    *,
    rates: Array,
    momenta: Array | None = None,
) -> PredictedCurve | None:
    """Predict a run from its start and the optimum, both (p,) in standardized columns.

    `rates` are the learning rates of a schedule, one an update, and empty without one. `momenta` are its momenta, if it changes
    them. The curve is None where there is no closed form, or no unique optimum.
    """
    descent, lam, epochs = options.descent, run_theory.spectrum, options.epochs
    if run_theory.lr_limit is None or descent is None or options.average is not None or not np.isfinite(optimum).all():
        return None
    if not options.is_full_batch:
        return _predict_mini_batch(problem, run_theory, epochs, start=start, optimum=optimum)
    if options.scheduler is not None and len(rates) < epochs:
        return None
    rest = theory.fixed_point(lam, problem.h, descent.weight_decay) if descent.weight_decay else optimum
    c, offset = lam.vectors.T @ (start - rest), lam.vectors.T @ (rest - optimum)
    if options.scheduler is not None:
        *_, end = theory.modes_along(lam, c, descent, rates[:epochs], momenta)
        excess = theory.scheduled_curve(lam, c, descent, rates[:epochs], momenta, offset=offset)
    else:
        end = theory.modes_after(lam, c, descent, epochs)
        excess = theory.excess_curve(lam, c, descent, epochs, offset=offset)
    with np.errstate(over="ignore", invalid="ignore"):
        gap = problem.to_data_units(rest + lam.vectors @ end) - problem.to_data_units(optimum)
    return PredictedCurve(excess=excess, floor=problem.loss(optimum), gap=gap)


def _predict_mini_batch(
    problem: StandardizedProblem, run_theory: RunTheory, epochs: int, *, start: Array, optimum: Array
) -> PredictedCurve | None:
    """Predict the mean over all orders of the rows: exact with replacement, to first order in the noise if reshuffled."""
    lam, noise, batches = run_theory.spectrum, run_theory.noise, run_theory.batches
    if noise is None or batches is None or run_theory.floor is None:
        return None
    c = lam.vectors.T @ (start - optimum)
    excess = theory.expected_curve(noise, c, batches, epochs)
    steps = epochs * batches.sizes(problem.n)[0]
    with np.errstate(over="ignore", invalid="ignore"):  # the prediction for a diverging run diverges
        end = lam.vectors @ theory.modes_after(lam, c, batches.descent, steps)
        mean = problem.to_data_units(optimum + end) - problem.to_data_units(optimum)
        gap = np.sqrt(mean**2 + _variances_in_units(problem, lam, noise, theory.noise_covariance(noise, batches)))
    rough = " and beyond the rates at which that is near" if run_theory.is_floor_rough else ""
    drawn = "with replacement" if batches.sampling == "with replacement" else f"reshuffled, to first order{rough}"
    form = f"mean over orders, {drawn}{', Gaussian columns' if noise.gaussian else ''}"
    return PredictedCurve(excess=excess, floor=problem.loss(optimum), gap=gap, form=form)


def _variances_in_units(problem: StandardizedProblem, lam: theory.Spectrum, noise: theory.Noise, covariance: Array) -> Array:
    """Convert a covariance of w in the eigenbasis, as coordinates, to variances (p,) of the coefficients in units of the data."""
    p, (a, b) = len(lam.values), noise.pairs
    C = np.zeros((len(noise.values),) * 2)
    C[a, b] = C[b, a] = covariance / theory.weights_of(noise.pairs)
    V = lam.vectors[:, lam.flat_directions :]
    zero = problem.to_data_units(np.zeros(p))
    J = np.column_stack([problem.to_data_units(unit) - zero for unit in np.eye(p)]) @ V
    variances: Array = np.einsum("ij,jk,ik->i", J, C, J)
    return variances
