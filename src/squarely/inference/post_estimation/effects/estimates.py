"""Linear combinations of the coefficients with their standard errors, from averages of rows of X."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from squarely.design import warn
from squarely.errors import listed, pluralize
from squarely.exact import Solution, check_of
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.covariance.clustered.htz import satterthwaite_degrees
from squarely.inference.post_estimation.hypotheses.wald import meat_of
from squarely.numerics import ROUNDING, ROUNDOFF, Array, dd_add, dd_multiply, dd_sum

_ZERO = 1e-10  # of the size of a column: a smaller weight of its coefficient is rounding
_MOST_NAMED = 5


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Estimates:
    """Estimates with standard errors and degrees of freedom, (r,) each; NaN where the rows do not determine one."""

    value: Array
    error: Array
    df: Array
    is_determined: np.ndarray


def estimate(fit: CoefficientStatistics, z: Array, offsets: Array, values: Array | None = None) -> Estimates:
    """Estimate what rows z (r, p + 1) of [1, (x - center) / scale] give, plus offsets (r,), by the covariance of the fit.

    The first column of z is 1 for a prediction, and 0 for a slope or a difference. If there are `values` (r,), they are the
    estimates, and z their gradients.
    """
    solution = fit.solution
    design, columns = solution.moments.design, solution.factor.columns
    L, scale = z[:, columns], float(design.scales[-1])
    b = solution.scaled_params
    hi, lo = dd_sum(dd_multiply((L.T, np.zeros_like(L.T)), (b[0][:, None], b[1][:, None])))
    level = z[:, 0] * design.centers[-1]
    value = np.add(*dd_add((scale * hi, scale * lo), (level + offsets, np.zeros(len(L))))) if values is None else values
    root = solution.inverse_root
    unit = root.right_multiply(L) if root is not None else solve_triangular(solution.factor.R, L.T, trans="T").T
    B, M = scale * unit, meat_of(fit)
    if np.ndim(M) == 0:
        error = math.sqrt(float(M)) * np.linalg.norm(B, axis=1)
    else:
        error = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", B, M, B), 0.0))
    used = np.abs(_data_weights(solution, z)) > _ZERO
    if fit.robust is not None and fit.robust.undefined is not None:
        error[used[:, fit.robust.undefined].any(axis=1)] = math.nan
    determined = ~_is_undetermined(solution, z)
    value, error = np.where(determined, value, np.nan), np.where(determined, error, np.nan)
    return Estimates(value=value, error=error, df=_degrees_of_freedom(fit, used, B), is_determined=determined)


def _data_weights(solution: Solution, z: Array) -> Array:
    """Return the weights (r, q) of the selected coefficients in the units of the data, relative to the sizes of their columns."""
    design, columns = solution.moments.design, solution.factor.columns
    sizes = np.abs(design.column_centers / design.column_scales)[:-1]
    weights = (z + z[:, :1] * (design.column_centers / design.column_scales)[:-1]) / (1.0 + sizes)
    weights[:, 0] = z[:, 0]
    return np.asarray(weights[:, columns])


def _is_undetermined(solution: Solution, z: Array) -> np.ndarray:
    """Return which rows (r,) break a dependency that all rows of the fit satisfy, by more than rounding explains."""
    check = check_of(solution)
    if check is None:
        return np.zeros(len(z), dtype=bool)
    sizes = np.abs(z) + np.abs(check.centers / check.scales)
    reach = np.abs(z) @ check.standard_error_scale
    tolerance = ROUNDING**2 * ROUNDOFF * (sizes @ np.abs(check.weights)) + check.errors * (1.0 + reach[:, None])
    return np.asarray((np.abs(z @ check.weights) > tolerance).any(axis=1))


def _degrees_of_freedom(fit: CoefficientStatistics, used: np.ndarray, B: Array) -> Array:
    """Return the degrees of freedom (r,): with CR2 those of each combination, for which a scan reads the clusters."""
    robust = fit.robust
    if robust is None or robust.df_t is None:
        return np.full(len(B), float(fit.df_resid_inference))
    df, single = robust.df_t[used.argmax(axis=1)], used.sum(axis=1) == 1
    if not single.all():
        df[~single] = satterthwaite_degrees(fit.solution, fit.source, robust, B[~single])
    return np.asarray(df, dtype=np.float64)


def warn_undetermined(names: Sequence[str], solution: Solution) -> None:
    """Warn that the rows do not determine some estimates."""
    if names:
        more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
        warn(
            f"{pluralize(len(names), 'estimate')} {'is' if len(names) == 1 else 'are'} NaN, because the rows do not determine "
            f"{'it' if len(names) == 1 else 'them'}: {'; '.join(names[:_MOST_NAMED])}{more}. Dropped columns: "
            f"{listed(solution.factor.dependencies) or 'some'}."
        )
