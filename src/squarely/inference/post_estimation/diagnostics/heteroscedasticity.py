"""Tests of equal spread of the errors: Breusch-Pagan, White, Goldfeld-Quandt and Engle's ARCH test."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.special import fdtr

from squarely.errors import DataError, OptionError, require_one_of, show_value
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.diagnostics.auxiliary_regression import cross_products, regress
from squarely.inference.post_estimation.diagnostics.row_order.lagged_products import LaggedProducts, read_lags
from squarely.inference.post_estimation.diagnostics.row_order.ordering import Ordering, order_of_time, read_ordering, root_weights
from squarely.inference.post_estimation.diagnostics.row_order.ranges import fit_ranges, require_fraction
from squarely.inference.post_estimation.diagnostics.row_tests import RowTest, center_and_scale_of_fitted, fitted_values
from squarely.inference.post_estimation.diagnostics.test_result import (
    Test,
    divide,
    f_form,
    lagrange_multiplier_test,
    remedy,
    require_residuals,
    sentence,
)
from squarely.inference.post_estimation.fixed_effects.refusal import require_no_effects
from squarely.inference.scan import WhitenedRows
from squarely.numerics import Array

MOST_COLUMNS = 60  # of X, whose products White's test takes
_ROBUST = ("HC", "CR", "HAC", "DK")


def breusch_pagan(fit: CoefficientStatistics, *, robust: bool = True, against: str = "columns") -> RowTest:
    """Return the test of Breusch and Pagan (1979), by default as studentized by Koenker (1981).

    It regresses the squared residuals on the columns or on the fitted values. Its statistic is n R^2, or half the explained sum of
    squares over the squared mean. Sources: doi:10.2307/1911963, doi:10.1016/0304-4076(81)90062-2.
    """
    require_one_of("against", against, ("columns", "fitted"))
    if not isinstance(robust, bool):
        raise OptionError(f"robust={show_value(robust)} is not a boolean. Give True for the studentized test, False for the other.")
    require_slopes(fit, "Breusch-Pagan")
    variance = _variance(fit)
    if against == "fitted":
        center, scale = center_and_scale_of_fitted(fit)
        step = partial(_fitted_products, variance=variance, center=center, scale=scale, powers=1)
    else:
        step = partial(_column_products, variance=variance)
    what = "the columns" if against == "columns" else "the fitted values"
    says = _spread_sentences(fit, f"changes with {what}")

    def finish(products: Array) -> Test:
        n, (explained, total, df) = fit.nobs, regress(products)
        require_columns(df, "Breusch-Pagan")
        mean = variance + float(products[0, -1]) / n
        lm = n * divide(explained, total) if robust else divide(explained, 2 * mean**2)
        f = divide(explained / df, (total - explained) / (n - df - 1))
        return lagrange_multiplier_test("Breusch-Pagan", lm, f_form(f, df, n - df - 1), says)

    return RowTest(step=step, finish=finish)


def white(fit: CoefficientStatistics, *, special: bool = False) -> RowTest:
    """Return the test of White (1980), doi:10.2307/1912934.

    It regresses the squared residuals on the columns, their squares and their products; with `special` on the fitted values and
    their squares. Columns that depend on others do not count.
    """
    if not isinstance(special, bool):
        raise OptionError(f"special={show_value(special)} is not a boolean. Give True for fitted values and their squares.")
    require_slopes(fit, "White")
    columns, variance = fit.solution.factor.columns, _variance(fit)
    if special:
        center, scale = center_and_scale_of_fitted(fit)
        step = partial(_fitted_products, variance=variance, center=center, scale=scale, powers=2)
    elif (p := len(columns)) > MOST_COLUMNS:
        raise OptionError(
            f"White's test takes the products of all columns, {p * (p + 1) // 2:,} here, and at most {MOST_COLUMNS} columns are "
            "taken. Use special=True, which takes the fitted values and their squares."
        )
    else:
        step = partial(_pair_products, variance=variance, places=tuple(columns[columns > 0].tolist()))
    says = _spread_sentences(fit, "changes with the columns, their squares or products")

    def finish(products: Array) -> Test:
        n, (explained, total, df) = fit.nobs, regress(products)
        require_columns(df, "White")
        if n - df - 1 <= 0:
            raise DataError(
                f"White's test has {df:,} columns for {n:,} rows. Use special=True, or the Breusch-Pagan test, which have fewer."
            )
        f = divide(explained / df, (total - explained) / (n - df - 1))
        return lagrange_multiplier_test("White", n * divide(explained, total), f_form(f, df, n - df - 1), says)

    return RowTest(step=step, finish=finish)


def arch(fit: CoefficientStatistics, nlags: object = None, *, order_by: object = None) -> RowTest:
    """Return the test of Engle (1982), doi:10.2307/1912773.

    It regresses the squared residuals on their lags and a constant, in the rows that have all lags, and its statistic is the number
    of these rows times R^2.
    """
    ordering = order_of_time(fit, "The ARCH test", order_by)
    lags, variance = read_lags("nlags", nlags, fit, spent=lambda lags: 2 * lags + 1), _variance(fit)
    before = "the row before" if lags == 1 else f"up to {lags} rows before"
    says = (
        f"The spread of the errors depends on that of {before} ({{p}}): {remedy(fit, 'HC3', _ROBUST)}.",
        f"No sign that the spread of the errors depends on that of {before} ({{p}}).",
    )

    def finish(sums: LaggedProducts) -> Test:
        n = sums.n - lags
        explained, total, df = regress(_lagged_regression(sums, lags))
        f = divide(explained / df, (total - explained) / (n - df - 1)) if df else float("nan")
        return lagrange_multiplier_test("ARCH", n * divide(explained, total), f_form(f, df, n - df - 1), says)

    return RowTest(step=partial(_square_lags, variance=variance, lags=lags), finish=finish, ordering=ordering)


def goldfeld_quandt(
    fit: CoefficientStatistics,
    *,
    order_by: str | None = None,
    split: float = 0.5,
    drop: float = 0.0,
    alternative: str = "increasing",
) -> Test:
    """Compare the residual variances of separate fits to the first and the last rows (Goldfeld and Quandt 1965).

    Source: doi:10.1080/01621459.1965.10480811. A fit that loses rank in its rows has more degrees of freedom.
    """
    require_one_of("alternative", alternative, ("increasing", "decreasing", "two-sided"))
    require_no_effects(fit, "Goldfeld-Quandt")
    ordering = read_ordering(fit, "Goldfeld-Quandt", order_by)
    first_end, second_start = _halves(fit.solution.moments.n, split, drop)
    n = fit.solution.moments.n
    first, second = fit_ranges(fit, "Goldfeld-Quandt", ordering, [(0, first_end), (second_start, n)])
    F = divide(second.ssr / second.df, first.ssr / first.df)
    upper, df = f_form(F, second.df, first.df).pvalue, (second.df, first.df)
    lower = float(fdtr(*df, F))
    pvalue = {"increasing": upper, "decreasing": lower, "two-sided": 2 * min(upper, lower)}[alternative]
    test = Test(
        name="Goldfeld-Quandt",
        statistic=F,
        pvalue=pvalue,
        df=df,
        distribution="F",
        alternative=alternative,
        says=sentence(pvalue, *_order_sentences(fit, ordering, alternative)),
    )
    return require_residuals(fit, test)


def _order_sentences(fit: CoefficientStatistics, ordering: Ordering, alternative: str) -> tuple[str, str]:
    how = {"increasing": "grows", "decreasing": "shrinks", "two-sided": "changes"}[alternative]
    return _spread_sentences(fit, f"{how} {ordering.along}")


def _spread_sentences(fit: CoefficientStatistics, changes: str) -> tuple[str, str]:
    return (
        f"The spread of the errors {changes} ({{p}}): {remedy(fit, 'HC3', _ROBUST)}.",
        f"No sign that the spread of the errors {changes} ({{p}}).",
    )


def _halves(n: int, split: Any, drop: Any) -> tuple[int, int]:
    """Return the end of the first rows and the start of the last ones, counted from 0, as in R's `gqtest`."""
    if isinstance(split, int) and not isinstance(split, bool) and 1 < split < n:
        count = int(drop * n) if require_fraction("drop", drop, most=n) < 1 else int(drop)
        return split - -(-count // 2), split + int(np.ceil(count / 2 + 0.01)) - 1
    split = require_fraction("split", split)
    part = require_fraction("drop", drop, most=n)
    part = part / n if part >= 1 else part
    return max(int((split - part / 2) * n), 0), int(np.ceil((split + part / 2) * n + 0.01)) - 1


def _variance(fit: CoefficientStatistics) -> float:
    """Return the mean of the squared residuals, in the squared scaled unit of the response."""
    return float(fit.solution.ssr / fit.design.scales[-1] ** 2 / fit.nobs)


def require_slopes(fit: CoefficientStatistics, name: str) -> None:
    """Raise a DataError if the model is a constant alone, and an OptionError if it has absorbed fixed effects."""
    require_no_effects(fit, name)
    if not fit.df_model:
        raise DataError(f"The fit has no columns beside the constant, so {name} has nothing to test against. Add a predictor.")


def require_columns(df: int, name: str) -> None:
    """Raise a DataError if no column of an auxiliary regression is independent of the others."""
    if not df:
        raise DataError(f"The columns that {name} adds do not vary, or depend on those of the fit, so it tests nothing.")


def _column_products(rows: WhitenedRows, *, variance: float) -> Array:
    return cross_products(rows.V / root_weights(rows), rows.residuals**2 - variance, rows.frequencies)


def _fitted_products(rows: WhitenedRows, *, variance: float, center: float, scale: float, powers: int) -> Array:
    f = (fitted_values(rows) - center) / (scale or 1.0)
    return cross_products(np.array([f, f * f][:powers]), rows.residuals**2 - variance, rows.frequencies)


def _pair_products(rows: WhitenedRows, *, variance: float, places: tuple[int, ...]) -> Array:
    """Return the cross-products of [1, z, z_i z_j, squared residuals less their mean]; the columns z (c, m) are centered."""
    z = rows.table[list(places)] / root_weights(rows)
    table = np.empty((len(z) * (len(z) + 3) // 2, z.shape[1]))
    table[: len(z)] = z
    start = len(z)
    for i in range(len(z)):
        np.multiply(z[i:], z[i], out=table[start : start + len(z) - i])
        start += len(z) - i
    return cross_products(table, rows.residuals**2 - variance, rows.frequencies)


def _square_lags(rows: WhitenedRows, *, variance: float, lags: int) -> LaggedProducts:
    g = rows.residuals**2 - variance
    return LaggedProducts.of_rows(np.array([g, np.ones_like(g)]), g[None], tuple(range(lags + 1)))


def _lagged_regression(sums: LaggedProducts, lags: int) -> Array:
    """Return the cross-products of [1, g_(t-1) ... g_(t-L), g_t] over the rows that have all lags."""
    head, tail, n = sums.head[0], sums.tail[0], sums.n
    order = [*range(1, lags + 1), 0]  # of the lags beside the constant
    G = np.empty((lags + 2, lags + 2))
    G[0, 0] = n - lags
    total = float(sums.products[0][1, 0])
    for a, i in enumerate(order, start=1):
        G[0, a] = G[a, 0] = total - head[: lags - i].sum() - tail[len(tail) - i :].sum()
        for b, j in enumerate(order, start=1):
            lag, first = abs(i - j), min(i, j)  # g_s g_(s - lag) with s = t - first
            start, end = head[lag : lags - first], tail[len(tail) - first :]
            value = sums.products[lag][0, 0] - start @ head[: len(start)]
            G[a, b] = value - end @ tail[len(tail) - first - lag : len(tail) - lag]
    return G
