"""The problem that a training loop solves: second moments of standardized columns, derived from Moments without a scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.design import Design
from squarely.moments.moments import Moments
from squarely.numerics import Array
from squarely.reprs import short_repr


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class StandardizedProblem:
    """Standardized columns w = (v - shift) / scale for each variable v, predictors first and the response last.

    With an intercept the shift is the mean and the scale the population standard deviation (divisor n). Without one
    the shift is zero and the scale the root mean square, because a shift would change the model.

    Attributes
    ----------
    names : the names of the p coefficients, the intercept first if there is one.
    center, offset : (k,) the shift as a short number and a small rest, which together have more digits than their sum.
    scale : (k,) in the unit of each variable.
    H : (p, p), the Hessian (2/n) X'X of the mean squared error in standardized columns.
    h : (p,), (2/n) X'y in standardized columns, so that the gradient at w is H w - h.
    y2 : the mean of the squared standardized response (1 with an intercept).
    n : number of rows.
    nobs : number of observations: the rows, or the sum of their frequencies.
    mean_weight : the mean of the weights or frequencies, 1 without. A row counts `relative_weights` times in every mean, so that
        the loss is a weighted mean: sum(w r^2) / sum(w).
    """

    __repr__ = short_repr

    names: tuple[str, ...]
    center: Array
    offset: Array
    scale: Array
    H: Array
    h: Array
    y2: float
    n: int
    nobs: int
    mean_weight: float = 1.0

    @property
    def shift(self) -> Array:
        """What is subtracted from each variable (k,): the means, or zero without an intercept."""
        return self.center + self.offset

    @property
    def intercept(self) -> bool:
        """Whether the first coefficient is an intercept."""
        return len(self.names) == len(self.scale)

    @property
    def weight(self) -> float:
        """The sum of the weights; the number of rows if they have none."""
        return self.n * self.mean_weight

    def relative_weights(self, weights: Array) -> Array:
        """Divide weights (m,) by the mean weight of all rows."""
        return weights / self.mean_weight

    def columns(self, values: Array, j: int | slice | np.ndarray = slice(None)) -> Array:
        """Standardize values (m, k) of the variables, values (m,) of the variable j, or values (m,) of the variables j (m,)."""
        columns: Array = values - self.center[j]
        columns -= self.offset[j]
        columns /= self.scale[j]
        return columns

    def loss(self, w: Array) -> float:
        """Return the mean squared error at w (p,), in standardized units; never below zero."""
        return max(float(0.5 * w @ self.H @ w - self.h @ w + self.y2), 0.0)

    def to_data_units(self, w: Array) -> Array:
        """Turn standardized coefficients w (p,) into coefficients in the units of the data."""
        slopes = self.slopes_in_units(w)
        if not self.intercept:
            return slopes
        return np.concatenate([[self.intercept_in_units(w) - slopes @ self.center[:-1]], slopes])

    def slopes_in_units(self, w: Array) -> Array:
        """Return the slopes (k - 1,) in the units of the data that belong to w (p,)."""
        slopes: Array = (w[1:] if self.intercept else w) * (self.scale[-1] / self.scale[:-1])
        return slopes

    def intercept_in_units(self, w: Array) -> float:
        """Return the prediction of w (p,) where every predictor is at its center, in the response's unit."""
        if not self.intercept:
            return 0.0
        return float(self.center[-1] + (self.offset[-1] + self.scale[-1] * w[0] - self.slopes_in_units(w) @ self.offset[:-1]))

    def from_scaled(self, b: Array, design: Design) -> Array:
        """Turn coefficients b (p,) of the scaled columns of a design with this formula into standardized ones.

        The design may have other centers. Only their differences enter, so columns far from zero lose no digit.
        """
        slopes = (b[1:] if self.intercept else b) * (design.scales[-1] / design.scales[:-1])
        w: Array = slopes * self.scale[:-1] / self.scale[-1]
        if not self.intercept:
            return w
        away = (self.center - design.centers) + self.offset
        level = design.scales[-1] * b[0] + slopes @ away[:-1] - away[-1]
        return np.concatenate([[level / self.scale[-1]], w])


def standardize_moments(moments: Moments) -> StandardizedProblem:
    """Derive the standardized problem. Refuse constant columns first: they have no deviation."""
    design, n = moments.design, moments.weight
    intercept = design.intercept
    first = moments.gram[0, 1:] / n  # (k,) means in the scaled columns
    second = moments.gram[1:, 1:] / n  # (k, k)
    if intercept:
        second = second - np.outer(first, first)
    deviation = np.sqrt(np.diag(second))  # (k,) in scaled units
    size = len(deviation) + intercept
    S = np.zeros((size, size))  # a standardized column is orthogonal to the constant
    S[intercept:, intercept:] = second / (deviation[:, None] * deviation)
    np.fill_diagonal(S, 1.0)
    offset = design.scales * first if intercept else np.zeros(len(first))
    return _problem_of(moments, S, center=design.centers, offset=offset, scale=deviation * design.scales)


def identity_scaling(moments: Moments) -> StandardizedProblem:
    """Return the problem of the columns as they are, with a shift of zero and a scale of one."""
    design, k = moments.design, len(moments.design.scales)
    to_data = np.diag(np.concatenate([[1.0], design.scales]))  # from the scaled columns to [1, x, y]
    to_data[1:, 0] = design.centers
    second = to_data @ (moments.gram / moments.weight) @ to_data.T  # (k + 1, k + 1), of [1, x, y]
    used = second if design.intercept else second[1:, 1:]
    return _problem_of(moments, used, center=np.zeros(k), offset=np.zeros(k), scale=np.ones(k))


def _problem_of(moments: Moments, S: Array, *, center: Array, offset: Array, scale: Array) -> StandardizedProblem:
    """Return the problem whose columns, the response last, have the second moments S (p + 1, p + 1)."""
    H, h, y2 = 2.0 * S[:-1, :-1], 2.0 * S[:-1, -1], float(S[-1, -1])
    return StandardizedProblem(
        names=moments.design.names,
        center=center,
        offset=offset,
        scale=scale,
        H=H,
        h=h,
        y2=y2,
        n=moments.n,
        nobs=moments.nobs,
        mean_weight=moments.weight / moments.n,
    )
