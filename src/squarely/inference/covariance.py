"""The covariance of the coefficients, from the factor of X'X."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from squarely.exact import Solution, data_unit_transform
from squarely.numerics import Array


def covariance_of(solution: Solution, variance: float) -> Array:
    """Return the covariance (p, p) in the units of the data: sigma^2 A A' with A = T R^-1, T the way back to those units."""
    factor, scale = solution.factor, float(solution.moments.design.scales[-1])
    ratio, first = data_unit_transform(solution.moments, factor)
    T = np.diag(ratio)
    T[0] += first
    A = solve_triangular(factor.R, T.T, trans="T").T if solution.inverse_root is None else solution.inverse_root.right_multiply(T)
    full = np.full((len(factor.selected), len(factor.selected)), np.nan)
    full[np.ix_(factor.selected, factor.selected)] = variance / scale**2 * (A @ A.T)
    return full
