"""The problem that a training loop sees: second moments of standardised columns, derived from Moments without a scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.design import Design
from squarely.moments.cross_products import Moments
from squarely.numerics import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardised:
    """Standardised columns w = (v - shift) / scale for each variable v, predictors first and the response last.

    With an intercept the shift is the mean and the scale the population standard deviation (divisor n); without one
    the shift is zero and the scale the root mean square, because moving a column would change the model.

    Attributes
    ----------
    names : the names of the p coefficients, the intercept first if there is one.
    shift, scale : (k,) in the unit of each variable.
    H : (p, p), the Hessian (2/n) X'X of the mean squared error in standardised columns.
    h : (p,), (2/n) X'y in standardised columns, so that the gradient at w is H w - h.
    y2 : the mean of the squared standardised response (1 with an intercept).
    n : number of rows.
    """

    names: tuple[str, ...]
    shift: Array
    scale: Array
    H: Array
    h: Array
    y2: float
    n: int

    def loss(self, w: Array) -> float:
        """The mean squared error at w (p,), in standardised units."""
        return float(0.5 * w @ self.H @ w - self.h @ w + self.y2)

    def to_units(self, w: Array) -> Array:
        """Turn standardised coefficients w (p,) into coefficients in the units of the data."""
        intercept = len(self.names) == len(self.scale)
        slopes: Array = (w[1:] if intercept else w) * self.scale[-1] / self.scale[:-1]
        if not intercept:
            return slopes
        constant = self.shift[-1] + self.scale[-1] * w[0] - slopes @ self.shift[:-1]
        return np.concatenate([[constant], slopes])

    def from_units(self, beta: Array) -> Array:
        """Turn coefficients (p,) in the units of the data into standardised ones: the inverse of `to_units`."""
        intercept = len(self.names) == len(self.scale)
        slopes = beta[1:] if intercept else beta
        w: Array = slopes * self.scale[:-1] / self.scale[-1]
        if not intercept:
            return w
        constant = (beta[0] + slopes @ self.shift[:-1] - self.shift[-1]) / self.scale[-1]
        return np.concatenate([[constant], w])


def standardise(moments: Moments) -> Standardised:
    """Derive the standardised problem. Constant columns have no spread: the caller refuses them first."""
    design: Design = moments.design
    intercept = design.formula.intercept
    n = moments.n
    first = moments.gram[0, 1:] / n  # (k,) means in the scaled columns
    second = moments.gram[1:, 1:] / n  # (k, k)
    if intercept:
        second = second - np.outer(first, first)
    spread = np.sqrt(np.diag(second))  # (k,) in scaled units
    S = second / np.outer(spread, spread)
    np.fill_diagonal(S, 1.0)
    if intercept:  # a standardised column is orthogonal to the constant
        S = np.block([[np.ones((1, 1)), np.zeros((1, len(S)))], [np.zeros((len(S), 1)), S]])
    return Standardised(
        names=design.names,
        shift=moments.means if intercept else np.zeros(len(first)),
        scale=spread * design.scales,
        H=2.0 * S[:-1, :-1],
        h=2.0 * S[:-1, -1],
        y2=float(S[-1, -1]),
        n=n,
    )
