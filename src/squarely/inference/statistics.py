"""From a Solution to a Fit: sums of squares, likelihood, covariance, under the classical assumptions."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import fdtrc

from squarely.data import Source
from squarely.exact import Solution, condition_of, telling_singular
from squarely.inference.fit import Fit
from squarely.inference.normality import UNKNOWN, residual_tests
from squarely.numerics import ROUNDOFF


@telling_singular
def infer(solution: Solution, source: Source) -> Fit:
    """Work out what the solution may claim, under the classical assumptions: one variance, independent errors."""
    moments, factor, residuals = solution.moments, solution.factor, solution.residuals
    n, rank = moments.n, len(factor.columns)
    k_constant = int(_spans_constant(solution))
    centered = solution.centered_tss
    uncentered = centered + n * float(moments.means[-1]) ** 2
    tss = centered if k_constant else uncentered
    ssr, df_model, df_resid = solution.ssr, rank - k_constant, n - rank
    mse_resid, mse_model = ssr / df_resid, (tss - ssr) / df_model if df_model else math.nan
    # Sums of squares this small are the rounding of the stored response: it never varies, and there is nothing to explain.
    constant = centered <= (4 * ROUNDOFF) ** 2 * uncentered
    nothing = constant and k_constant == 1
    rsquared = math.nan if nothing else 1 - _ratio(ssr, tss)
    fvalue = math.nan if nothing else _ratio(mse_model, mse_resid)
    llf = -n / 2 * (math.log(2 * math.pi) + math.log(ssr / n) + 1) if ssr > 0 else math.inf
    return Fit(
        nobs=n,
        rank=rank,
        df_model=df_model,
        df_resid=df_resid,
        k_constant=k_constant,
        constant_response=constant,
        rsquared=rsquared,
        rsquared_adj=1 - (n - k_constant) / df_resid * (1 - rsquared),
        fvalue=fvalue,
        f_pvalue=float(fdtrc(df_model, df_resid, fvalue)) if df_model else math.nan,
        llf=llf,
        aic=-2 * llf + 2 * rank,
        bic=-2 * llf + rank * math.log(n),
        ssr=ssr,
        ess=tss - ssr,
        centered_tss=centered,
        uncentered_tss=uncentered,
        mse_resid=mse_resid,
        mse_model=mse_model,
        mse_total=tss / (n - k_constant),
        durbin_watson=_ratio(residuals.steps, residuals.squares) if residuals else math.nan,
        condition_number=_condition_number(solution),
        normality=residual_tests(n, residuals.powers) if residuals else UNKNOWN,
        standard_errors=math.sqrt(mse_resid) * solution.unit_bse,
        solution=solution,
        source=source,
    )


def _ratio(a: float, b: float) -> float:
    if b != 0:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a)


def _condition_number(solution: Solution) -> float:
    """Return the ratio of the singular values of X as the user has it: X = Z B, so those of R B."""
    design, factor = solution.moments.design, solution.factor
    first = design.column_centres[factor.columns] if design.intercept else np.zeros(len(factor.columns))
    return condition_of(factor.R, np.array([design.column_scales[factor.columns], first]))


def _spans_constant(solution: Solution) -> bool:
    """Tell whether some combination of the columns is 1 in every row, as statsmodels does for its centred R-squared."""
    moments, factor = solution.moments, solution.factor
    if moments.design.intercept:
        return True
    inside = solve_triangular(factor.R, moments.gram[factor.columns, 0], trans="T")
    # What rounding leaves of 1 - ||projection||^2 / n: a few units of the sums, and the error of R.
    return bool(moments.n - inside @ inside <= (32 * ROUNDOFF + 4 * factor.unit_error) * moments.n)
