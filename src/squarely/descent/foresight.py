"""What theory says of a run: before it starts from the spectrum alone, and afterwards from the optimum, once that is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from squarely import theory
from squarely.descent.recipe import Recipe
from squarely.moments import Standardised
from squarely.numerics import Array

_MUCH = 0.01  # of the error in the slowest direction: a run that leaves more is warned of


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RunTheory:
    """What is known of a run before it starts, from the spectrum of X alone.

    Attributes
    ----------
    spectrum : eigenvalues and eigenvectors of the Hessian (2/n) X'X in standardised columns.
    lr_limit : the learning rate from which on descent diverges, at this momentum; None for Adam.
    lr_best : the best constant learning rate at this momentum; None for Adam.
    kappa : condition number of the Hessian.
    rate : the factor by which the slowest direction shrinks in an epoch at this learning rate; None for Adam.
    warnings : what will go wrong, with the numbers.
    """

    spectrum: theory.Spectrum
    lr_limit: float | None
    lr_best: float | None
    kappa: float
    rate: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
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


def settled(recipe: Recipe, problem: Standardised, lam: theory.Spectrum) -> tuple[Recipe, tuple[str, ...]]:
    """Settle what a recipe leaves open until the rows are known, and say in sentences what was settled or changed."""
    remarks = []
    if recipe.batch_size is not None and recipe.batch_size >= problem.n:
        if recipe.batch_size > problem.n:
            remarks.append(f"batch_size={recipe.batch_size:,} is above the {problem.n:,} rows: every step uses all of them.")
        size = problem.n if recipe.replacement else None
        recipe = replace(recipe, batch_size=size)
    if recipe.lr == "auto":
        like = theory.Descent(lr=1.0, momentum=recipe.momentum, nesterov=recipe.nesterov)
        best = theory.lr_best(lam, like)
        recipe = replace(recipe, lr=best)
        remarks.append(f"lr='auto' is {best:.6g}, the best rate for this spectrum.")
    return recipe, tuple(remarks)


def foreknow(lam: theory.Spectrum, recipe: Recipe) -> RunTheory:
    """Work out limits, rates and warnings for a recipe; no row and no optimum is needed."""
    descent, warnings = recipe.descent, []
    limit = best = rate = None
    if descent is not None:
        limit, best, rate = theory.lr_limit(lam, descent), theory.lr_best(lam, descent), theory.rate(lam, descent)
        advice = f"The best rate is {best:.4g}."
        left = rate**recipe.epochs if rate < 1 else 1.0
        if recipe.rate >= limit:
            warnings.append(f"lr={recipe.rate:g} is not below the limit {limit:.4g}: the loss cannot settle. {advice}")
        elif left > _MUCH:
            share = f"leave {left:.2g} of the error in the slowest direction"
            warnings.append(f"{recipe.epochs:,} epochs at lr={recipe.rate:g} {share}. {advice}")
    if lam.flat:
        warnings.append("Columns depend on each other, or nearly so: along their difference descent stays at its start.")
    return RunTheory(spectrum=lam, lr_limit=limit, lr_best=best, kappa=lam.kappa, rate=rate, warnings=tuple(warnings))


def predict(problem: Standardised, known: RunTheory, recipe: Recipe, start: Array, optimum: Array) -> Prediction | None:
    """Predict a run from its start and the optimum, both (p,) in standardised columns.

    None where there is no closed form, or no single optimum.
    """
    descent = recipe.descent
    if descent is None or not recipe.full_batch or not np.isfinite(optimum).all():
        return None
    lam = known.spectrum
    c = lam.vectors.T @ (start - optimum)
    left = theory.modes_after(lam, c, descent, recipe.epochs)
    with np.errstate(over="ignore", invalid="ignore"):
        gap = problem.to_units(optimum + lam.vectors @ left) - problem.to_units(optimum)
    return Prediction(excess=theory.excess_curve(lam, c, descent, recipe.epochs), floor=problem.loss(optimum), gap=gap)
