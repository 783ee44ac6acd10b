"""What theory says of a run: before it starts from the spectrum alone, and afterwards from the optimum, once that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely import theory
from squarely.descent.recipe import Recipe
from squarely.moments import Standardised
from squarely.numerics import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTheory:
    """What is known of a run before it starts, from the spectrum of X alone.

    Attributes
    ----------
    spectrum : eigenvalues and eigenvectors of the Hessian (2/n) X'X in standardised columns.
    lr_limit : the learning rate from which on descent diverges, at this momentum; None for Adam.
    lr_best : the best constant learning rate of SGD without momentum.
    kappa : condition number of the Hessian.
    rate : the factor by which the slowest direction shrinks in an epoch at this learning rate; None for Adam.
    warnings : what will go wrong, with the numbers.
    """

    spectrum: theory.Spectrum
    lr_limit: float | None
    lr_best: float
    kappa: float
    rate: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What theory says the run must do, once the optimum is known. Exact for SGD in exact arithmetic.

    Attributes
    ----------
    excess : (epochs + 1,) the loss above the optimum at epochs 0 to `epochs`.
    floor : the loss at the optimum.
    gap : (p,) coefficients after the last update minus the optimum, in the units of the data.
    """

    excess: Array
    floor: float
    gap: Array

    @property
    def losses(self) -> Array:
        """The loss (epochs + 1,) at epochs 0 to `epochs`."""
        return self.floor + self.excess

    @property
    def kept(self) -> float:
        """The share of the starting excess that is left at the end."""
        return float(self.excess[-1] / self.excess[0]) if self.excess[0] > 0 else 0.0


def foreknow(lam: theory.Spectrum, recipe: Recipe) -> RunTheory:
    """Work out limits, rates and warnings for a recipe; no row and no optimum is needed."""
    descent = recipe.descent
    limit = None if descent is None else theory.lr_limit(lam, momentum=recipe.momentum, nesterov=recipe.nesterov)
    rate = None if descent is None else theory.rate(lam, descent)
    best = theory.lr_best(lam)
    warnings = []
    if limit is not None and recipe.lr >= limit:
        warnings.append(
            f"lr={recipe.lr:g} is not below the limit {limit:.4g}: the loss cannot settle. The best rate is {best:.4g}."
        )
    elif rate is not None and rate**recipe.epochs > 0.01:
        warnings.append(
            f"{recipe.epochs:,} epochs at lr={recipe.lr:g} leave {rate**recipe.epochs:.2g} of the error in the slowest direction. "
            f"The best rate is {best:.4g}."
        )
    if lam.flat:
        warnings.append("Columns depend on each other: the loss is flat in some direction, and the result depends on the start.")
    return RunTheory(spectrum=lam, lr_limit=limit, lr_best=best, kappa=lam.kappa, rate=rate, warnings=tuple(warnings))


def predict(problem: Standardised, known: RunTheory, recipe: Recipe, start: Array, optimum: Array) -> Prediction | None:
    """Predict a run from its start (p,) in standardised units and the optimum (p,) in the units of the data.

    None where there is no closed form, or no single optimum.
    """
    descent = recipe.descent
    if descent is None or not np.isfinite(optimum).all():
        return None
    lam = known.spectrum
    best = problem.from_units(optimum)
    c = lam.vectors.T @ (start - best)
    left = theory.modes_after(lam, c, descent, recipe.epochs)
    with np.errstate(over="ignore", invalid="ignore"):
        gap = problem.to_units(best + lam.vectors @ left) - problem.to_units(best)
    return Prediction(excess=theory.excess_curve(lam, c, descent, recipe.epochs), floor=problem.loss(best), gap=gap)
