"""How far the columns depend on each other: variance inflation factors and condition indices, from moments alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import to_frame
from squarely.errors import DataError
from squarely.exact import data_unit_matrix
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.covariance.root import covariance_root
from squarely.inference.post_estimation.hypotheses.terms import term_label, terms_of
from squarely.numerics import Array, qr_r

if TYPE_CHECKING:
    import pandas as pd


def variance_inflation(fit: CoefficientStatistics) -> pd.DataFrame:
    """Return the generalized variance inflation factor of each term (Fox and Monette 1992), doi:10.1080/01621459.1992.10475190.

    With C the correlation matrix of the coefficients without the intercept, it is det C_tt det (C^-1)_tt for the coefficients t of
    a term.
    """
    terms = {term: positions for term, positions in terms_of(fit.solution).items() if term}
    if not terms:
        raise DataError("The fit has no columns beside the constant, so nothing inflates a variance. Add predictors.")
    order = [position for positions in terms.values() for position in positions]
    place = np.cumsum(fit.solution.factor.selected) - 1  # of a coefficient among the selected ones
    A = covariance_root(fit.solution)[place[order]]
    T = qr_r((A / np.linalg.norm(A, axis=1)[:, None]).T)  # C = T'T
    S = solve_triangular(T, np.eye(len(T)))  # C^-1 = S S'
    rows, start = [], 0
    for positions in terms.values():
        at = slice(start, start + len(positions))
        start = at.stop
        gvif = float(np.exp(_log_det(T[:, at]) + _log_det(S[at].T)))
        rows.append((gvif, len(positions), gvif ** (1 / (2 * len(positions)))))
    frame = to_frame(rows, [term_label(term) for term in terms], ["GVIF", "Df", "GVIF^(1/(2*Df))"])
    return frame.astype({"Df": int})


def _log_det(X: Array) -> float:
    """Return the logarithm of the determinant of X'X."""
    return float(2 * np.log(np.abs(np.diag(qr_r(X)))).sum())


def condition_indices(fit: CoefficientStatistics) -> pd.DataFrame:
    """Return the condition indices with the proportions of variances (Belsley, Kuh and Welsch 1980), doi:10.1002/0471725153.

    The columns of X, the constant among them and not centered, are scaled to length one. With singular values d and right singular
    vectors V, index j is d_1 / d_j, and the part of the variance of coefficient i is in proportion to (V_ij / d_j)^2.
    """
    solution = fit.solution
    T = data_unit_matrix(solution.moments, solution.factor)
    B = solution.factor.R @ np.linalg.inv(T)
    _, d, Vt = np.linalg.svd(B / np.linalg.norm(B, axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        phi = (Vt / d[:, None]) ** 2  # (index, coefficient)
        rows = np.column_stack([d[0] / d, phi / phi.sum(axis=0)])
    return to_frame(rows, list(range(1, len(d) + 1)), ["index", *solution.selected_names])
