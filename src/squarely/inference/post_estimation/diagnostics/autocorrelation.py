"""Tests that errors are not correlated from row to row: Breusch-Godfrey, Ljung-Box and Durbin-Watson."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtr

from squarely.errors import DataError, require_one_of
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.diagnostics.auxiliary_regression import explain_residuals
from squarely.inference.post_estimation.diagnostics.quadratic_forms import probability_below_zero
from squarely.inference.post_estimation.diagnostics.row_order.lagged_products import LaggedProducts, read_lags
from squarely.inference.post_estimation.diagnostics.row_order.ordering import order_of_time
from squarely.inference.post_estimation.diagnostics.row_tests import RowTest
from squarely.inference.post_estimation.diagnostics.test_result import (
    Test,
    chi2_form,
    divide,
    f_form,
    lagrange_multiplier_test,
    remedy,
    sentence,
)
from squarely.inference.post_estimation.fixed_effects.refusal import require_no_effects
from squarely.inference.scan import WhitenedRows
from squarely.numerics import Array

EXACT_BELOW = 100  # rows, as in R's dwtest: the exact distribution takes the eigenvalues of a matrix (n, n)
_ROBUST = ("HAC", "DK", "CR")


def breusch_godfrey(fit: CoefficientStatistics, nlags: object = None, *, order_by: object = None) -> RowTest:
    """Return the test of Breusch (1978) and Godfrey (1978), doi:10.2307/1913829.

    It regresses the residuals on the columns and the lagged residuals, which are zero before the first row.
    """
    require_no_effects(fit, "Breusch-Godfrey")
    ordering = order_of_time(fit, "Breusch-Godfrey", order_by)
    lags = read_lags("nlags", nlags, fit, spent=lambda lags: fit.rank + lags)
    q, n = len(fit.solution.factor.columns), fit.solution.moments.n
    says = _sentences(fit, lags)

    def finish(sums: LaggedProducts) -> Test:
        ssr = float(sums.products[0, q, 0])
        gain, df = explain_residuals(_lag_products(sums, q), q)
        df_denom = fit.df_resid - df
        f = divide(gain / df, (ssr - gain) / df_denom) if df else float("nan")
        return lagrange_multiplier_test("Breusch-Godfrey", n * divide(gain, ssr), f_form(f, df, df_denom), says)

    return RowTest(step=partial(_residual_lags, lags=lags), finish=finish, ordering=ordering)


def ljung_box(fit: CoefficientStatistics, lags: object = None, *, order_by: object = None) -> RowTest:
    """Return the test of Ljung and Box (1978), doi:10.1093/biomet/65.2.297, with that of Box and Pierce (1970) beside it.

    It sums the squared autocorrelations of the residuals about their mean.
    """
    ordering = order_of_time(fit, "Ljung-Box", order_by)
    most, n = read_lags("lags", lags, fit, spent=lambda lags: lags), fit.solution.moments.n
    says = _sentences(fit, most)

    def finish(sums: LaggedProducts) -> Test:
        a = _autocovariances(sums)
        r2 = np.array([divide(x, a[0]) for x in a[1:]]) ** 2
        statistic, pvalue, df = chi2_form(float(n * (n + 2) * (r2 / (n - np.arange(1, most + 1))).sum()), most)
        return Test(
            name="Ljung-Box",
            statistic=statistic,
            pvalue=pvalue,
            df=df,
            distribution="chi2",
            others={"Box-Pierce": chi2_form(float(n * r2.sum()), most)},
            says=sentence(pvalue, *says),
        )

    return RowTest(step=partial(_residual_lags, lags=most), finish=finish, ordering=ordering)


def durbin_watson(fit: CoefficientStatistics, alternative: str = "greater", *, order_by: object = None) -> RowTest:
    """Return the test of Durbin and Watson (1950), doi:10.1093/biomet/37.3-4.409.

    Below 100 rows the p-value is exact for normal errors. Beyond, it is the normal approximation by the first two moments.
    `alternative` is of the correlation of neighboring errors: "greater" than zero, "less" or "two-sided".
    """
    require_one_of("alternative", alternative, ("greater", "less", "two-sided"))
    require_no_effects(fit, "The test of Durbin and Watson")
    ordering = order_of_time(fit, "Durbin-Watson", order_by)
    is_exact, ssr = fit.solution.moments.n < EXACT_BELOW, float(fit.solution.ssr / fit.design.scales[-1] ** 2)
    if fit.solution.moments.n - fit.rank < 2:
        raise DataError("Durbin-Watson needs at least two rows more than the fit has coefficients. Add rows.")
    says = _sentences(fit, 1)

    def finish(sums: Any) -> Test:
        statistic, *tails = _exact_tails(sums) if is_exact else _normal_tails(sums, ssr)
        pvalue = {"greater": tails[0], "less": tails[1], "two-sided": 2 * min(tails)}[alternative]
        return Test(
            name="Durbin-Watson",
            statistic=statistic,
            pvalue=pvalue,
            df=None,
            distribution="exact" if is_exact else "normal",
            alternative=alternative,
            says=sentence(pvalue, *says),
        )

    return RowTest(step=partial(_keep_columns if is_exact else _neighbor_products), finish=finish, ordering=ordering)


def _sentences(fit: CoefficientStatistics, lags: int) -> tuple[str, str]:
    advice = remedy(fit, "HAC", _ROBUST)
    others = "those one row before" if lags == 1 else f"those of up to {lags} rows before"
    return (
        f"Errors are correlated with {others} ({{p}}): {advice}.",
        f"No sign that errors are correlated with {others} ({{p}}).",
    )


def _residual_lags(rows: WhitenedRows, *, lags: int) -> LaggedProducts:
    """Sum the products of V, residuals and ones with lagged residuals."""
    e = rows.residuals
    return LaggedProducts.of_rows(np.vstack([rows.V, e, np.ones_like(e)]), e[None], tuple(range(lags + 1)))


def _lag_products(sums: LaggedProducts, q: int) -> Array:
    """Return the products (m, q + m + 1) of the residuals of lags 1 to m with [V, the lagged residuals, the residuals]."""
    products, e = sums.products[:, :, 0], sums.tail[0]
    m = len(products) - 1
    EE = np.empty((m, m))
    for i in range(1, m + 1):
        for j in range(i, m + 1):  # all products at a distance of j - i, without those whose later row has no row i below it
            end = e[len(e) - i :] @ e[len(e) - j : len(e) - j + i]
            EE[i - 1, j - 1] = EE[j - 1, i - 1] = products[j - i, q] - end
    return np.column_stack([products[1:, :q], EE, products[1:, q]])


def _autocovariances(sums: LaggedProducts) -> list[float]:
    """Return the sums of (e_t - m)(e_(t-l) - m) for the mean m and each lag l."""
    a, ones = sums.products[:, -2, 0], sums.products[:, -1, 0]  # `ones` is the sum of the residuals without the last l
    mean = float(ones[0]) / sums.n
    heads = sums.head[-2]
    return [float(a[lag] - mean * (ones[lag] + ones[0] - heads[:lag].sum()) + (sums.n - lag) * mean**2) for lag in range(len(a))]


def _keep_columns(rows: WhitenedRows) -> tuple[Array, ...]:
    """Keep V and the residuals; tuples of these add up."""
    return (np.vstack([rows.V, rows.residuals]),)


def _exact_tails(pieces: tuple[Array, ...]) -> tuple[float, float, float]:
    """Return the statistic, and the probabilities of a smaller and of a larger one, from all rows of V and residuals.

    With the annihilator M of the columns, the statistic e'A e / e'e is below d if the form z'M (A - d) M z is below zero.
    """
    *V, e = np.concatenate(pieces, axis=1)
    statistic = divide(float(np.diff(e) @ np.diff(e)), float(e @ e))
    if np.isnan(statistic):
        return statistic, statistic, statistic
    L = np.linalg.qr(np.array(V).T, mode="complete")[0][:, len(V) :]
    D = np.diff(L, axis=0)
    eigenvalues = np.linalg.eigvalsh(D.T @ D) - statistic
    return statistic, probability_below_zero(eigenvalues), probability_below_zero(-eigenvalues)


def _neighbor_products(rows: WhitenedRows) -> LaggedProducts:
    table = np.vstack([rows.V, rows.residuals])
    return LaggedProducts.of_rows(table, table, (1, 2))


def _normal_tails(sums: LaggedProducts, ssr: float) -> tuple[float, float, float]:
    """Return the statistic, and the tails of the normal distribution with the mean and the variance of it.

    They follow from the traces of M A and (M A)^2, where e'A e is the sum of squared differences: A has 2 on the diagonal, 1 at
    its ends, and -1 beside it.
    """
    n, q, e0, e1 = sums.n, len(sums.head) - 1, float(sums.head[-1, 0]), float(sums.tail[-1, -1])
    first, second = sums.products[:, :q, :q]
    statistic = divide(2 * (ssr - float(sums.products[0, q, q])) - e0**2 - e1**2, ssr)
    (v0, v1), (y, z) = sums.head[:q].T, sums.tail[:q].T  # the first two and the last two rows
    VAV = 2 * np.eye(q) - np.outer(v0, v0) - np.outer(z, z) - first - first.T
    ends = 4 * (v0 @ v0 + z @ z) - 2 * (v0 @ v1 + y @ z)
    trace_A2 = 6 * q - 8 * np.trace(first) + 2 * np.trace(second) - ends
    P = 2 * (n - 1) - np.trace(VAV)
    Q = 6 * n - 8 - 2 * trace_A2 + (VAV * VAV).sum()
    mean = P / (n - q)
    deviation = np.sqrt(2 * (Q - P * mean) / ((n - q) * (n - q + 2)))
    z_value = (statistic - mean) / deviation
    return statistic, float(ndtr(z_value)), float(ndtr(-z_value))
