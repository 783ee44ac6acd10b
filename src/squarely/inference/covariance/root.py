"""A with A A' = (X'X)^-1 in the units of the data, from which every covariance of the coefficients follows."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from squarely.exact import Solution, data_unit_matrix
from squarely.numerics import Array


def covariance_root(solution: Solution, L: Array | None = None) -> Array:
    """Return A (q, q) of the selected columns: A M A' is a covariance if M is in the squared scaled unit of the response.

    With constraints `L` (r, q) on the selected coefficients return L A (r, q), without the cancellation of that product.
    """
    T = data_unit_matrix(solution.moments, solution.factor)
    if L is not None:
        T = L @ T
    if solution.inverse_root is not None:
        return solution.inverse_root.right_multiply(T)
    return np.asarray(solve_triangular(solution.factor.R, T.T, trans="T").T)


def expand_selected(values: Array, selected: np.ndarray) -> Array:
    """Put a covariance (q, q) or values (q,) in the places of the selected coefficients, NaN in the others."""
    full = np.full((len(selected),) * values.ndim, np.nan)
    full[np.ix_(*[np.flatnonzero(selected)] * values.ndim)] = values
    return full
