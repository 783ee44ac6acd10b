"""Tests of the form of the model: RESET, Harvey-Collier and rainbow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy.special import stdtr

from squarely.errors import DataError, OptionError, pluralize, require_one_of, show_value
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.diagnostics.auxiliary_regression import explain_residuals
from squarely.inference.post_estimation.diagnostics.heteroscedasticity import require_columns, require_slopes
from squarely.inference.post_estimation.diagnostics.row_order.ordering import order_by_distance, read_ordering, root_weights
from squarely.inference.post_estimation.diagnostics.row_order.ranges import fit_ranges, require_fraction
from squarely.inference.post_estimation.diagnostics.row_order.recursive_residuals import fold_recursive_residuals
from squarely.inference.post_estimation.diagnostics.row_tests import RowTest, center_and_scale_of_fitted, fitted_values
from squarely.inference.post_estimation.diagnostics.test_result import Test, chi2_form, divide, f_form, require_residuals, sentence
from squarely.inference.scan import WhitenedRows
from squarely.numerics import Array

_TRY = "try a logarithm, a square, a spline or an interaction"


def reset(fit: CoefficientStatistics, power: object = 3, *, test_type: str = "fitted") -> RowTest:
    """Return the test of Ramsey (1969), doi:10.1111/j.2517-6161.1969.tb00796.x.

    It adds powers of the fitted values, or of the columns of numbers, to the model. The statistic is F, with chi-squared beside it.
    """
    require_one_of("test_type", test_type, ("fitted", "exog"))
    powers = _read_powers(power)
    require_slopes(fit, "RESET")
    design, columns, q = fit.design, fit.solution.factor.columns, len(fit.solution.factor.columns)
    is_gapless = sorted(powers) == list(range(2, max(powers) + 1))  # else powers of centered columns span other ones
    if test_type == "fitted":
        center, scale = center_and_scale_of_fitted(fit)
        center = center if is_gapless else -float(design.centers[-1] / design.scales[-1])
        step = partial(_powers_of_fitted, powers=powers, center=center, scale=scale)
        what = "the fitted values"
    else:
        places = [
            j for j in columns.tolist() if j and any(text not in design.categories for text, _, _ in design.columns[j - 1].parts)
        ]
        if not places:
            raise DataError("The fit has no columns of numbers, so test_type='exog' adds nothing. Use test_type='fitted'.")
        shifts = [0.0 if is_gapless else float(design.centers[j - 1] / design.scales[j - 1]) for j in places]
        step = partial(_powers_of_columns, powers=powers, places=tuple(places), shifts=tuple(shifts))
        what = "the columns"
    says = (
        f"Powers of {what} explain more than the model ({{p}}): {_TRY}.",
        f"No sign that powers of {what} explain more than the model ({{p}}).",
    )

    def finish(sums: Array) -> Test:
        gain, df = explain_residuals(sums[:-1], q)
        require_columns(df, "RESET")
        df_denom = fit.df_resid - df
        if df_denom <= 0:
            raise DataError(f"RESET adds {pluralize(df, 'column')}, which takes all {fit.df_resid:,} degrees of freedom. Add rows.")
        f = f_form(divide(gain / df, (float(sums[-1, -1]) - gain) / df_denom), df, df_denom)
        return Test(
            name="RESET",
            statistic=f.statistic,
            pvalue=f.pvalue,
            df=f.df,
            distribution="F",
            others={"chi2": chi2_form(df * f.statistic, df)},
            says=sentence(f.pvalue, *says),
        )

    return RowTest(step=step, finish=finish)


def harvey_collier(fit: CoefficientStatistics, *, order_by: str | None = None) -> Test:
    """Test that recursive residuals have a mean of zero (Harvey and Collier 1977), doi:10.1016/0304-4076(77)90045-4."""
    require_slopes(fit, "Harvey-Collier")
    state, along = fold_recursive_residuals(fit, "Harvey-Collier", order_by)
    n = state.count
    if n < 2:
        raise DataError("Harvey-Collier needs at least two rows more than the fit has coefficients. Add rows.")
    mean = state.total / n
    deviation = math.sqrt(max(state.squares - n * mean**2, 0.0) / (n - 1))
    t = divide(abs(mean), deviation / math.sqrt(n))
    pvalue = float(2 * stdtr(n - 1, -t))
    says = (
        f"The relation bends {along} ({{p}}): {_TRY}.",
        f"No sign that the relation bends {along} ({{p}}).",
    )
    test = Test(name="Harvey-Collier", statistic=t, pvalue=pvalue, df=n - 1, distribution="t", says=sentence(pvalue, *says))
    return require_residuals(fit, test)


def rainbow(fit: CoefficientStatistics, frac: float = 0.5, *, order_by: str | None = None, use_distance: bool = False) -> Test:
    """Test whether the middle rows alone fit better than all (Utts 1982), doi:10.1080/03610928208828423.

    The middle is that of the order of the rows or of a column; with `use_distance` it is the rows nearest to the mean of the
    predictors.
    """
    if not isinstance(use_distance, bool):
        raise OptionError(f"use_distance={show_value(use_distance)} is not a boolean. Give True for the rows nearest to the mean.")
    if use_distance and order_by is not None:
        raise OptionError(f"use_distance=True and order_by={order_by!r} do not go together. Leave one of them out.")
    require_slopes(fit, "Rainbow")
    frac, n = require_fraction("frac", frac), fit.solution.moments.n
    ordering = order_by_distance(fit) if use_distance else read_ordering(fit, "Rainbow", order_by)
    size = int(frac * n)
    first = 0 if use_distance else max(math.ceil((0.5 - frac / 2) * (n - 1)), 0)
    (middle,) = fit_ranges(fit, "Rainbow", ordering, [(first, first + size)])
    ssr = float(fit.solution.ssr / fit.design.scales[-1] ** 2)
    statistic, pvalue, df = f_form(divide((ssr - middle.ssr) / (n - size), middle.ssr / middle.df), n - size, middle.df)
    where = "nearest to the mean" if use_distance else f"in the middle {ordering.along}"
    says = (
        f"Rows {where} fit better alone than with the others ({{p}}): {_TRY}.",
        f"No sign that rows {where} fit better alone than with the others ({{p}}).",
    )
    test = Test(name="Rainbow", statistic=statistic, pvalue=pvalue, df=df, distribution="F", says=sentence(pvalue, *says))
    return require_residuals(fit, test)


def _read_powers(power: object) -> tuple[int, ...]:
    """Return the powers: a list as it is, and a number as the powers from 2 up to it."""
    is_list = isinstance(power, Sequence) and not isinstance(power, str)
    powers = [_read_power(each) for each in power] if is_list else [_read_power(power)]  # type: ignore[attr-defined]
    if not powers or 0 in powers:
        raise OptionError(f"power={show_value(power)} is not a power. Give a whole number from 2 to 9, or a list such as [2, 3].")
    return tuple(dict.fromkeys(powers)) if is_list else tuple(range(2, powers[0] + 1))


def _read_power(power: object) -> int:
    """Return a whole number from 2 to 9, or 0 for anything else."""
    is_number = isinstance(power, int | float) and not isinstance(power, bool)
    return int(power) if is_number and power in range(2, 10) else 0  # type: ignore[call-overload]


def _powers_of_fitted(rows: WhitenedRows, *, powers: tuple[int, ...], center: float, scale: float) -> Array:
    f = (fitted_values(rows) - center) / (scale or 1.0)
    return _products(rows, np.array([f**k for k in powers]))


def _powers_of_columns(rows: WhitenedRows, *, powers: tuple[int, ...], places: tuple[int, ...], shifts: tuple[float, ...]) -> Array:
    z = rows.table[list(places)] / root_weights(rows) + np.array(shifts)[:, None]
    return _products(rows, np.concatenate([z**k for k in powers]))


def _products(rows: WhitenedRows, added: Array) -> Array:
    """Return the products of added columns and of the residuals with [V, added columns, residuals]."""
    table = np.vstack([rows.V, added * root_weights(rows), rows.residuals])
    left = table[len(rows.V) :]
    return np.asarray(np.dot(left if rows.frequencies is None else left * rows.frequencies, table.T))
