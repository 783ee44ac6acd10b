"""The eigenbasis of the Hessian, in which the coordinates of the error are independent, and bounds from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from squarely.numerics import ROUNDOFF, Array
from squarely.reprs import short_repr

_ROUNDING = (100 * float(np.finfo(np.float64).eps)) ** 2  # a standardized loss this small is rounding
_FLAT_RATIO = 1e-13  # eigenvalues below this fraction of the largest are rounding: descent does not move along them


@dataclass(frozen=True, eq=False, slots=True)
class Spectrum:
    """The eigendecomposition H = V diag(lam) V': `values` lam (p,), ascending and zero for rounding, and `vectors` V (p, p)."""

    __repr__ = short_repr

    values: Array
    vectors: Array

    @property
    def largest_eigenvalue(self) -> float:
        """The largest eigenvalue lam_1, which determines the limit of the learning rate."""
        return float(self.values[-1])

    @property
    def smallest_eigenvalue(self) -> float:
        """The smallest nonzero eigenvalue lam_p, which determines the time to converge."""
        return float(self.values[self.values > 0][0])

    @property
    def kappa(self) -> float:
        """The condition number lam_1 / lam_p of H; infinite if the loss is flat up to rounding in some direction."""
        return math.inf if self.flat_directions else self.largest_eigenvalue / self.smallest_eigenvalue

    @property
    def flat_directions(self) -> int:
        """The number of directions along which the loss does not change (collinear columns)."""
        return int((self.values == 0).sum())

    @property
    def flat_threshold(self) -> float:
        """The largest eigenvalue that counts as zero."""
        return _FLAT_RATIO * self.largest_eigenvalue


def decompose_hessian(H: Array) -> Spectrum:
    """Decompose a Hessian (p, p), symmetric and positive semidefinite.

    >>> decompose_hessian(np.diag([2.0, 8.0])).kappa
    4.0
    """
    values, vectors = np.linalg.eigh(H)
    return Spectrum(np.where(values > _FLAT_RATIO * values[-1], values, 0.0), vectors)


def excess(lam: Spectrum, c: Array) -> float:
    """Return the loss above the optimum at error c (p,) in the eigenbasis."""
    with np.errstate(over="ignore"):
        return float(0.5 * lam.values @ c**2)


def fixed_point(lam: Spectrum, h: Array, weight_decay: float = 0.0) -> Array:
    """Return the limit of descent, (H + wd I)^-1 h (p,) with h = (2/n) X'y: the optimum, or with decay a ridge solution.

    As torch's optimizers add wd w to the gradient, the penalty is wd/2 ||w||^2 beside the mean squared error, with the intercept.
    Along flat directions without decay it is the point nearest to zero. Descent without decay that stops after k epochs is close to
    the ridge solution with wd = 1 / (lr k) (Ali, Kolter and Tibshirani 2019, arXiv:1810.10082).

    >>> fixed_point(decompose_hessian(2.0 * np.eye(1)), np.array([6.0]), weight_decay=1.0).tolist()
    [2.0]
    """
    curvature = lam.values + weight_decay
    quotient = np.divide(lam.vectors.T @ h, curvature, out=np.zeros_like(curvature), where=curvature > 0)
    return lam.vectors @ quotient


def distance_bound(lam: Spectrum, gradient: Array) -> tuple[float, float]:
    """Bound ||w - w*|| <= ||g|| / lam_p and L - L* <= ||g||^2 / (2 lam_p) from the gradient, without the optimum.

    Late in a run the bound is attained, so lam_p is reduced by its possible rounding error. Infinite if the loss is flat.

    >>> [round(bound, 9) for bound in distance_bound(decompose_hessian(2.0 * np.eye(2)), np.array([3.0, 4.0]))]
    [2.5, 6.25]
    """
    norm = float(np.linalg.norm(gradient))
    least = lam.smallest_eigenvalue - 8 * len(lam.values) * ROUNDOFF * lam.largest_eigenvalue
    if not math.isfinite(norm) or least <= 0 or lam.flat_directions:
        return math.inf, math.inf
    return norm / least, norm**2 / (2.0 * least)


def standard_errors_bound(lam: Spectrum, gradient: Array, loss: float, n: int, df_resid: int) -> float:
    """Bound the distance to the optimum, in standard errors of any combination of coefficients, from loss and gradient alone.

    L* >= L - ||g||^2 / (2 lam_p), so sigma^2 >= n (L - ||g||^2 / (2 lam_p)) / df_resid. If n (L - L*) / sigma^2 <= tau^2, every
    linear combination is within tau standard errors. The bound is infinite if the loss is flat up to rounding, or itself rounding.

    >>> round(standard_errors_bound(Spectrum(np.array([2.0, 2.0]), np.eye(2)), np.array([0.0, 0.02]), 1.0, 102, 100), 4)
    0.1
    """
    _, excess_bound = distance_bound(lam, gradient)
    return _in_standard_errors(excess_bound, loss, n, df_resid)


def standard_errors_away(lam: Spectrum, gradient: Array, loss: float, n: int, df_resid: int) -> float:
    """Return the distance to the optimum, in standard errors of the combination of coefficients that is farthest away.

    On a quadratic L - L* = 1/2 g' H^-1 g, so the gradient gives it without the optimum. `standard_errors_bound` replaces H by lam_p
    and is larger by up to a factor sqrt(kappa), but rounding in H cannot make it too small.

    >>> round(standard_errors_away(Spectrum(np.array([2.0, 8.0]), np.eye(2)), np.array([0.0, 0.04]), 1.0, 102, 100), 4)
    0.1
    """
    curved = lam.values > 0
    if not curved.all() or not np.isfinite(gradient).all():
        return math.inf
    return _in_standard_errors(float(0.5 * ((lam.vectors.T @ gradient) ** 2 / lam.values).sum()), loss, n, df_resid)


def _in_standard_errors(excess_loss: float, loss: float, n: int, df_resid: int) -> float:
    """Convert an excess loss to the largest distance in standard errors; infinite without a residual variance."""
    least = loss - excess_loss
    variance = n / df_resid * least if df_resid > 0 and least > _ROUNDING else 0.0
    return math.sqrt(n * excess_loss / variance) if variance > 0 else math.inf
