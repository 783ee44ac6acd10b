"""Sums of squares, tests, likelihood and covariance of a solution, under the classical assumptions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaincinv, fdtrc, stdtr, stdtrit

from squarely.exact import SIX_DIGITS, TEN_DIGITS, Solution, condition_of, translate_singular_errors
from squarely.inference.covariance.f_statistic import f_p_value, hotelling_f, slope_constraints, wald_f
from squarely.inference.covariance.robust import RobustCovariance, known_meat, robust_covariance_matrix
from squarely.inference.covariance.root import covariance_root, expand_selected
from squarely.inference.normality import UNKNOWN_NORMALITY, Normality, residual_tests
from squarely.numerics import ROUNDOFF, Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class Statistics:
    """The numbers of a fit, under statsmodels' names.

    Sums of squares are in the response's unit squared; n rows, p coefficients, rank r. A number that rounding hides is NaN: without
    digits of `ssr` there are no standard errors, and so on. The summary says why.

    Attributes
    ----------
    nobs, rank, df_model, df_resid : n; r; r without the constant; n - r. Fixed effects count in r and not in df_model: F tests the
        slopes alone.
    rsquared, rsquared_adj : about the mean if a constant is in the span of the columns, else about zero.
    fvalue, f_pvalue : the F test that every slope is zero.
    df_resid_inference : the degrees of freedom of t and F: df_resid, or those of a robust covariance; infinite for normal tests.
    llf, aic, bic : Gaussian log-likelihood and the criteria -2 llf + 2 r and -2 llf + r log n.
    ssr, ess, centered_tss, uncentered_tss : residual, explained and total sums of squares.
    mse_resid, mse_model, mse_total : sums of squares over their degrees of freedom.
    rsquared_within : of the response without its fixed effects; NaN if there are none.
    durbin_watson : of the residuals in the order of the rows; NaN for merged fits.
    condition_number : largest over smallest singular value of X in the units of the data, as in statsmodels.
    k_constant : 1 if a constant is in the span of the columns, up to the rounding of the stored values.
    constant_response : whether the response never varies.
    standard_errors : of the coefficients (p,), as a plain array; `bse` labels them.
    df_of_t : the degrees of freedom of each t statistic (p,), as a plain array; `df_t` labels them.
    normality : skewness, kurtosis and the omnibus and Jarque-Bera tests of the residuals; NaN for merged fits.
    """

    nobs: int
    rank: int
    df_model: int
    df_resid: int
    k_constant: int
    constant_response: bool
    rsquared: float
    rsquared_adj: float
    fvalue: float
    f_pvalue: float
    llf: float
    aic: float
    bic: float
    ssr: float
    ess: float
    centered_tss: float
    uncentered_tss: float
    mse_resid: float
    mse_model: float
    mse_total: float
    durbin_watson: float
    condition_number: float
    normality: Normality
    standard_errors: Array
    df_resid_inference: float
    df_of_t: Array
    rsquared_within: float = math.nan


@translate_singular_errors()
def statistics_of(solution: Solution) -> Statistics:
    """Compute what follows from a solution under the classical assumptions: one variance, independent errors."""
    moments, factor, residuals = solution.moments, solution.factor, solution.residuals
    n, rank, span, design = moments.nobs, len(factor.columns) + solution.absorbed_rank, solution.span, moments.design
    first = design.column_centers[factor.columns] * design.intercept  # X = Z B has the singular values of R B
    k_constant = int(span is None or span.is_spanned(moments, factor))
    about_mean, about_zero = _total_squares(solution)
    # The squares of a response that varies sum to half a spacing of doubles at least. A smaller sum is rounding.
    constant = sum(about_mean) == 0 or sum(about_mean) < ROUNDOFF**2 * about_zero[0] / (2 * n)
    centered, uncentered = 0.0 if constant else _nan_if_inexact(*about_mean), _nan_if_inexact(*about_zero)
    tss, tss_error = (centered, about_mean[1]) if k_constant else (uncentered, about_zero[1])
    ssr = math.nan if solution.has_hidden_residuals else solution.ssr
    df_resid = n - rank
    df_model = rank - k_constant if design.absorbed is None else len(factor.columns)
    undefined = constant and k_constant == 1
    ess = math.nan
    if solution.is_span_certain:  # a constant alone explains nothing
        ess = _explained_squares(solution, tss, tss_error) if df_model else 0.0
    slopes_ess, within = ess, math.nan
    if design.absorbed is not None:
        slopes_ess = _explained_squares(solution, solution.centered_tss, solution.tss_error)
        within = _divide(slopes_ess, solution.centered_tss)
    mse_resid, mse_model = ssr / df_resid, slopes_ess / df_model if df_model else math.nan
    rsquared = math.nan if undefined or math.isnan(ess) else 1 - _divide(solution.ssr, tss) if ess else 0.0
    fvalue = math.nan if undefined else _divide(mse_model, mse_resid)
    llf = -n / 2 * (math.log(2 * math.pi) + math.log(ssr / n) + 1) if ssr != 0 else math.inf
    if not design.formula.has_frequencies:
        llf += solution.included_fits.log_weights / 2
    return Statistics(
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
        condition_number=condition_of(factor.R, np.array([design.column_scales[factor.columns], first])),
        normality=residual_tests(n, residuals.powers) if residuals else UNKNOWN_NORMALITY,
        standard_errors=math.sqrt(mse_resid) * solution.unit_bse,
        df_resid_inference=df_resid,
        df_of_t=np.full(len(solution.params), float(df_resid)),
        rsquared_within=within,
    )


def _total_squares(solution: Solution) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the sums of squares of the response about its mean and about zero, each with its error at most."""
    absorbed = solution.moments.design.absorbed
    if absorbed is None:
        return (solution.centered_tss, solution.tss_error), solution.uncentered_tss
    centered, about = float(absorbed.sizes[-1]) ** 2, solution.moments.weight * absorbed.response_mean**2
    rounding = ROUNDOFF * (16 + math.sqrt(solution.moments.n))
    return (centered, rounding * centered), (centered + about, rounding * (centered + about))


def with_robust_covariance(statistics: Statistics, solution: Solution, robust: RobustCovariance) -> Statistics:
    """Return the statistics with the standard errors, t and F of a robust covariance."""
    variances = np.diag(robust_covariance_matrix(solution, robust))
    df_t = np.full(len(solution.factor.columns), robust.df) if robust.df_t is None else robust.df_t
    fvalue = _robust_f(statistics, solution, robust)
    return replace(
        statistics,
        standard_errors=np.sqrt(np.maximum(variances, 0.0)),
        df_resid_inference=robust.df,
        df_of_t=expand_selected(df_t, solution.factor.selected),
        fvalue=fvalue,
        f_pvalue=f_p_value(fvalue, statistics.df_model, _df_of_f(statistics, robust)) if statistics.df_model else math.nan,
    )


def _df_of_f(statistics: Statistics, robust: RobustCovariance) -> float:
    return robust.df if robust.htz_df is None else robust.htz_df - statistics.df_model + 1


def _robust_f(statistics: Statistics, solution: Solution, robust: RobustCovariance) -> float:
    """Return the F statistic that every slope is zero: that all coefficients are in proportion to those of a constant."""
    if not statistics.df_model or robust.rank < statistics.df_model:
        return math.nan
    slopes = slope_constraints(solution)
    tested = np.flatnonzero(np.any(slopes != 0, axis=0))
    if robust.undefined is not None and robust.undefined[tested].any():
        return math.nan
    f = wald_f(slopes @ covariance_root(solution), known_meat(solution, robust), slopes @ solution.params[solution.factor.selected])
    return f if robust.htz_df is None else hotelling_f(f, len(slopes), robust.htz_df)[0]


def _nan_if_inexact(squares: float, error: float) -> float:
    """Return a sum of squares, or NaN if its error leaves fewer than six digits."""
    return squares if error <= SIX_DIGITS * squares else math.nan


def _explained_squares(solution: Solution, tss: float, tss_error: float) -> float:
    """Return the explained sum of squares: zero within rounding, and NaN if its error leaves too few digits."""
    ess = tss - solution.ssr
    error = tss_error + solution.ssr_error + 4 * ROUNDOFF * tss
    enough = tss_error <= SIX_DIGITS * abs(ess) and error <= abs(ess) / 10 and not solution.has_hidden_residuals
    if not (enough or error <= TEN_DIGITS * tss):
        return math.nan
    return ess if abs(ess) > error else 0.0


def _divide(a: float, b: float) -> float:
    if b != 0:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a)


def covariance_of(solution: Solution, variance: float) -> Array:
    """Return the classical covariance (p, p) in the units of the data."""
    A, scale = covariance_root(solution), float(solution.moments.design.scales[-1])
    return expand_selected(variance / scale**2 * (A @ A.T), solution.factor.selected)


def t_quantile(df: float, alpha: float) -> float:
    """Return the number that |t| with `df` degrees of freedom exceeds with probability `alpha`."""
    t = -float(stdtrit(df, alpha / 2))  # 1 - alpha / 2 would be rounded
    if math.isinf(t):  # far out in the tail
        x = float(betaincinv(df / 2, 0.5, alpha))
        t = math.sqrt(df * (1 - x) / x) if x else math.inf
    return t


def t_values(params: Array, standard_errors: Array) -> Array:
    """Return the t statistics (p,) of coefficients; infinite or NaN for the standard errors of zero of a perfect fit."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(params / standard_errors)


def p_values(params: Array, standard_errors: Array, df: Array | float) -> Array:
    """Return the two-sided p-values (p,) of the t statistics with df degrees of freedom; infinite for the normal distribution."""
    return np.asarray(2 * stdtr(df, -np.abs(t_values(params, standard_errors))))


def confidence_limits(params: Array, standard_errors: Array, df: Array | float, alpha: float) -> tuple[Array, Array]:
    """Return the lower and the upper limits of the coefficients at level 1 - alpha."""
    quantiles = {each: t_quantile(each, alpha) for each in np.unique(df).tolist()}
    half = np.array([quantiles.get(each, math.nan) for each in np.ravel(df).tolist()]) * standard_errors
    return params - half, params + half
