"""How far the trained coefficients are from the exact ones, and what the gradient alone proves of that distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from squarely import theory
from squarely.data import Source, scanning
from squarely.design import Block, Design, fold_rows
from squarely.moments import Standardised
from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Slope:
    """The loss and its gradient at the trained coefficients, in float64 on the rows, in standardised units.

    Attributes
    ----------
    loss : L(w) = (1/n) ||X w - y||^2.
    gradient : (p,), (2/n) X'(X w - y).
    """

    loss: float
    gradient: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What the gradient proves without knowing the optimum.

    Attributes
    ----------
    distance : at least ||w - w*||, in standardised coefficients.
    excess : at least L(w) - L*.
    standard_errors : every linear combination of the coefficients is within so many standard errors of its optimum.
    """

    distance: float
    excess: float
    standard_errors: float


@scanning("gradient")
def slope_on_rows(design: Design, source: Source, problem: Standardised, w: Array) -> Slope:
    """Scan the rows once for the loss and gradient at w (p,), the intercept first if there is one."""
    intercept = design.intercept
    weights, bias = (w[1:], w[0]) if intercept else (w, 0.0)

    def step(block: Block) -> Array:
        table = problem.columns(block.values)
        residual = table[:, :-1] @ weights + bias - table[:, -1]
        with np.errstate(over="ignore", invalid="ignore"):  # a diverged run has an infinite loss, which is reported
            return np.concatenate([[residual @ residual, residual.sum()], table[:, :-1].T @ residual])

    total = fold_rows(design, source, step, np.add, np.zeros(len(weights) + 2)) / problem.n
    return Slope(loss=float(total[0]), gradient=2.0 * (total[1:] if intercept else total[2:]))


def bound_from(slope: Slope, lam: theory.Spectrum, df_resid: int, n: int, *, stored: float) -> Bound:
    """Bound the distance to the optimum without knowing it, as `theory.standard_errors_bound` does.

    `stored` is what the rounding of the coefficients in the units of the data adds, in standard errors.
    """
    distance, excess = (math.inf, math.inf) if lam.flat else theory.distance_bound(lam, slope.gradient)
    standard_errors = theory.standard_errors_bound(lam, slope.gradient, slope.loss, n, df_resid) + stored
    return Bound(distance=distance, excess=excess, standard_errors=standard_errors)
