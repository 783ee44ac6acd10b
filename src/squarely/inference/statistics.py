"""From a Solution to a Fit: sums of squares, likelihood, covariance, under the classical assumptions."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import fdtrc

from squarely.data import Source
from squarely.exact import SIX_DIGITS, TEN_DIGITS, Solution, condition_of, translate_singular_errors
from squarely.inference.fit import Fit
from squarely.inference.normality import UNKNOWN_NORMALITY, residual_tests
from squarely.numerics import ROUNDOFF


@translate_singular_errors
def infer(solution: Solution, source: Source) -> Fit:
    """Work out what the solution may claim, under the classical assumptions: one variance, independent errors."""
    moments, factor, residuals = solution.moments, solution.factor, solution.residuals
    n, rank = moments.n, len(factor.columns)
    span = solution.span
    k_constant = int(span is None or span.is_spanned(moments, factor))
    about_mean, about_zero = (solution.centered_tss, solution.tss_error), solution.uncentered_tss
    # A response that varies has a sum of squares of half a spacing of doubles at least; what is less is a rounding of sums.
    constant = sum(about_mean) == 0 or sum(about_mean) < ROUNDOFF**2 * about_zero[0] / (2 * n)
    centered, uncentered = 0.0 if constant else _nan_if_inexact(*about_mean), _nan_if_inexact(*about_zero)
    tss, tss_off = (centered, about_mean[1]) if k_constant else (uncentered, about_zero[1])
    ssr = math.nan if solution.has_hidden_residuals else solution.ssr
    df_model, df_resid = rank - k_constant, n - rank
    nothing = constant and k_constant == 1
    known = solution.is_span_certain
    ess = math.nan if not known else _explained_squares(solution, tss, tss_off) if df_model else 0.0  # a constant explains nothing
    mse_resid, mse_model = ssr / df_resid, ess / df_model if df_model else math.nan
    rsquared = math.nan if nothing or math.isnan(ess) else 1 - _divide(solution.ssr, tss) if ess else 0.0
    fvalue = math.nan if nothing else _divide(mse_model, mse_resid)
    llf = -n / 2 * (math.log(2 * math.pi) + math.log(ssr / n) + 1) if ssr != 0 else math.inf
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
        ess=ess,
        centered_tss=centered,
        uncentered_tss=uncentered,
        mse_resid=mse_resid,
        mse_model=mse_model,
        mse_total=tss / (n - k_constant),
        durbin_watson=_divide(residuals.sum_squared_differences, residuals.squares) if residuals else math.nan,
        condition_number=_condition_number(solution),
        normality=residual_tests(n, residuals.powers) if residuals else UNKNOWN_NORMALITY,
        standard_errors=math.sqrt(mse_resid) * solution.unit_bse,
        solution=solution,
        source=source,
    )


def _nan_if_inexact(squares: float, off: float) -> float:
    """Give a sum of squares, or NaN where its error leaves less than six digits."""
    return squares if off <= SIX_DIGITS * squares else math.nan


def _explained_squares(solution: Solution, tss: float, tss_off: float) -> float:
    """Give the explained sum of squares: zero within rounding, and NaN where its error is more and leaves too few digits."""
    ess = tss - solution.ssr
    off = tss_off + solution.ssr_error + 4 * ROUNDOFF * tss
    if not (
        off <= TEN_DIGITS * tss or (tss_off <= SIX_DIGITS * abs(ess) and off <= abs(ess) / 10 and not solution.has_hidden_residuals)
    ):
        return math.nan
    return ess if abs(ess) > off else 0.0


def _divide(a: float, b: float) -> float:
    if b != 0:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a)


def _condition_number(solution: Solution) -> float:
    """Return the ratio of the singular values of X as the user has it: X = Z B, so those of R B."""
    design, factor = solution.moments.design, solution.factor
    first = design.column_centers[factor.columns] if design.intercept else np.zeros(len(factor.columns))
    return condition_of(factor.R, np.array([design.column_scales[factor.columns], first]))
