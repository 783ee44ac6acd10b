"""Compare two fits of which one has some of the columns of the other: F, likelihood ratio, or Wald under a robust covariance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from squarely.errors import DataError, InputError, OptionError
from squarely.exact import Solution
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.covariance.f_statistic import f_p_value
from squarely.inference.post_estimation.hypotheses.terms import rotated_solution
from squarely.inference.post_estimation.hypotheses.wald import require_rank, test_of_positions

_SAME = 1e-9  # the relative difference of sums over the same rows, read in another order or with other columns


@dataclass(frozen=True, slots=True, kw_only=True)
class NestedTest:
    """A smaller model against a larger one: how many columns fewer, the sum of squares that they explain, F, p and its df."""

    df: int
    explained: float
    fvalue: float
    pvalue: float


def compare(small: CoefficientStatistics, large: CoefficientStatistics, largest: CoefficientStatistics | None = None) -> NestedTest:
    """Test that the columns which only the larger fit has are not needed, with its covariance.

    Under the classical covariance, the variance is that of the `largest` of several fits, by default the larger one.
    """
    df = require_nested(small, large)
    explained = _explained(small, large)
    if large.cov_type == "nonrobust":
        by = largest or large
        with np.errstate(divide="ignore", invalid="ignore"):
            fvalue = float(np.float64(explained / df) / by.mse_resid)
        df_num, df_denom = float(df), by.df_resid_inference
    else:
        left_out = _left_out(small.solution, large.solution)
        if left_out is None or len(left_out) != df:
            raise DataError(
                f"Under {large.cov_type} the columns that are left out are tested, and some columns of "
                f"{small.design.formula.text!r} are not among those of {large.design.formula.text!r}. Compare fits without vcov=."
            )
        require_rank(large, df)
        fvalue, df_num, df_denom = test_of_positions(large, left_out)
    return NestedTest(df=df, explained=explained, fvalue=fvalue, pvalue=f_p_value(fvalue, df_num, df_denom))


def compare_f_test(large: CoefficientStatistics, small: object) -> tuple[float, float, int]:
    """Return F, its p-value and the number of columns left out; the public method documents it."""
    result = compare(_require_fit(small), large)
    return result.fvalue, result.pvalue, result.df


def compare_lr_test(large: CoefficientStatistics, small: object) -> tuple[float, float, int]:
    """Return the likelihood ratio, its p-value and the number of columns left out; the public method documents it."""
    small = _require_fit(small)
    for fit in (small, large):
        if fit.cov_type != "nonrobust":
            raise OptionError(
                f"The likelihood ratio assumes errors of one variance, and vcov is {fit.cov_type!r}. Use compare_f_test, which "
                "tests with that covariance, or fits without vcov=."
            )
    df = require_nested(small, large)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = large.nobs * float(np.log1p(np.float64(_explained(small, large)) / large.ssr))
    return ratio, float(chdtrc(df, ratio)), df


def require_same_covariance(fits: Sequence[CoefficientStatistics]) -> None:
    """Raise an OptionError unless all fits have the same kind of covariance with the same options."""
    if len({fit.cov_type for fit in fits}) > 1:
        raise OptionError(
            f"The fits have different covariances, {' and '.join(sorted({fit.cov_type for fit in fits}))}. Give all the same vcov=."
        )
    options = [_covariance_options(fit) for fit in fits]
    if all(fit.cov_kwds.get("automatic") for fit in fits):  # then each model has its own lags
        options = [{**each, "lags": None} for each in options]
    if different := [f"{name}=" for name in options[0] if len({repr(each[name]) for each in options}) > 1]:
        names = " and ".join(different)
        raise OptionError(f"The fits have {fits[0].cov_type} covariances with different {names}. Give all the same {names}.")


def _covariance_options(fit: CoefficientStatistics) -> dict[str, object]:
    kwds = fit.cov_kwds
    factor = kwds.get("correction", 1.0)
    correction = "none" if factor == 1.0 else isinstance(factor, Mapping)  # for two columns: one factor, or one for each part
    named = {name: kwds.get(name) for name in ("cluster", "time", "lags", "df")}
    return {**named, "correction": correction, "use_t": fit.use_t}


def require_nested(small: CoefficientStatistics, large: CoefficientStatistics) -> int:
    """Return by how many columns the larger fit is larger, or raise a DataError if the fits cannot be compared."""
    _require_same_rows(small, large)
    df = large.rank - small.rank
    texts = f"{small.design.formula.text!r} and {large.design.formula.text!r}"
    if df == 0:
        raise DataError(
            f"{texts} have {large.rank} columns each, so neither restricts the other. Compare models of different size."
        )
    if df < 0:
        raise DataError(f"The fit to compare with, {small.design.formula.text!r}, is the larger one. Exchange the two fits.")
    if small.ssr < large.ssr * (1 - _SAME):
        raise DataError(
            f"{texts} are not nested: the model with fewer columns fits better. Compare models of which one has all others."
        )
    return df


def _require_fit(value: object) -> CoefficientStatistics:
    if not isinstance(value, CoefficientStatistics):
        raise InputError(f"{value!r} of type {type(value).__name__} is not a fit. Give a result of sq.ols or sq.load.")
    return value


def _require_same_rows(a: CoefficientStatistics, b: CoefficientStatistics) -> None:
    """Raise a DataError unless two fits have one response and the same rows, as far as counts, means and variances show."""
    one, other = a.solution.moments, b.solution.moments
    if one.design.formula.effects != other.design.formula.effects:
        raise OptionError(
            f"{a.design.formula.text!r} and {b.design.formula.text!r} absorb different effects, so they cannot be compared. Write "
            "the same effects after '|' in both."
        )
    hint = "Fit both to the same rows: leave out those with a gap in any column of either, or give both the same where=."
    if a.design.response != b.design.response:
        raise DataError(
            f"The fits have different responses, {a.design.response!r} and {b.design.response!r}, so they cannot be compared. Fit "
            "both models to one response."
        )
    weights = [None if fit.design.formula.weights is None else fit.design.formula.weights.text for fit in (a, b)]
    if weights[0] != weights[1] or a.design.formula.has_frequencies != b.design.formula.has_frequencies:
        raise DataError(
            f"The fits have different weights, {weights[0]} and {weights[1]}, so they cannot be compared. Fit both with the same."
        )
    if one.n != other.n:
        raise DataError(f"The fits have different rows, {one.n:,} and {other.n:,}, so they cannot be compared. {hint}")
    places = [dict(zip(moments.design.labels, range(len(moments.means)), strict=True)) for moments in (one, other)]
    for name in [name for name in places[0] if name in places[1]]:
        (i, j), sizes = (places[0][name], places[1][name]), []
        for moments, place in ((one, i), (other, j)):
            sizes.append((float(moments.means[place]), float(np.sqrt(moments.variances[place]))))
        (mean, deviation), (mean2, deviation2) = sizes
        tolerance = _SAME * (abs(mean) + deviation)
        if abs(mean - mean2) > tolerance or abs(deviation - deviation2) > 1e-6 * deviation + tolerance:
            raise DataError(
                f"The fits have different rows: both have {one.n:,}, but {name!r} has the mean {mean:.6g} in one and {mean2:.6g} "
                f"in the other. {hint}"
            )


def _left_out(small: Solution, large: Solution) -> list[int] | None:
    """Return the positions of the coefficients that the larger fit alone has; None if its columns do not include the others."""
    names = small.selected_names
    if large.moments.design.intercept and not small.moments.design.intercept:
        return None  # its columns are centered
    selected = dict.fromkeys(large.selected_names)
    if not selected.keys() >= set(names):
        return None
    every = large.moments.design.names
    return [every.index(name) for name in selected if name not in names]


def _explained(small: CoefficientStatistics, large: CoefficientStatistics) -> float:
    """Return the sum of squares that the left-out columns explain, from the larger fit alone if it has all columns."""
    left_out = _left_out(small.solution, large.solution)
    if left_out is None:
        return max(small.ssr - large.ssr, 0.0)
    every, solution = [i for i, used in enumerate(large.solution.factor.selected) if used], large.solution
    last = [every.index(i) for i in left_out]
    first = [i for i in range(len(every)) if i not in set(last)]
    squares = rotated_solution(solution, [*first, *last])[len(first) :]
    return math.fsum((squares**2).tolist())
