"""The F statistic of linear constraints on the coefficients, and its p-value."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import LinAlgError, cholesky, qr, solve_triangular
from scipy.special import chdtrc, fdtrc

from squarely.exact import Solution
from squarely.numerics import Array


def wald_f(B: Array, meat: Array | float, difference: Array) -> float:
    """Return the F statistic of r constraints: their Wald statistic over r.

    `B` (r, q) is L A for constraints L beta = v, `meat` M (q, q) or a variance, and `difference` (r,) L beta - v. NaN if the
    covariance of the constraints is singular.
    """
    if np.ndim(meat) == 0:
        root = qr(B.T, mode="r")[0][: len(B)]
        scale = math.sqrt(float(meat))
    else:
        scale = 1.0
        S = B @ meat @ B.T
        length = np.sqrt(np.diag(S))
        if not (length > 0).all() or not np.isfinite(S).all():
            return math.nan
        try:
            root = cholesky(S / length / length[:, None]) * length
        except LinAlgError:
            return math.nan
    if len(root) < len(B) or not np.diag(root).all():
        return math.nan
    y = solve_triangular(root, difference, trans="T") / scale
    return float(y @ y) / len(B)


def slope_constraints(solution: Solution) -> Array:
    """Return constraints (r, q) that hold if every slope is zero: if the coefficients are in proportion to those of a constant."""
    moments, factor, span = solution.moments, solution.factor, solution.span
    slopes = np.eye(len(factor.columns))
    if span is None:
        return slopes[int(moments.design.intercept) :]
    if not span.is_spanned(moments, factor):
        return slopes
    constraints: Array = qr(span.b[0][:, None])[0][:, 1:].T * moments.design.column_scales[factor.columns]
    return constraints


def hotelling_f(f: float, r: int, eta: float) -> tuple[float, float]:
    """Return the F statistic of the HTZ test of r constraints, from their Wald statistic over r, and its degrees of freedom."""
    rest = eta - r + 1
    return (rest / eta * f, rest) if rest > 0 else (math.nan, math.nan)


def f_p_value(statistic: float, df_num: float, df_denom: float) -> float:
    """Return the probability of a larger F; chi-squared if `df_denom` is infinite."""
    if math.isinf(df_denom):
        return float(chdtrc(df_num, df_num * statistic))
    return float(fdtrc(df_num, df_denom, statistic))
