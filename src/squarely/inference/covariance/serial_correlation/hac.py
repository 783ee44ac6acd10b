"""HAC: a covariance that is robust to heteroscedasticity and to serial correlation (Newey and West 1987)."""

from __future__ import annotations

import math

from squarely.data import Source
from squarely.errors import OptionError, pluralize
from squarely.exact import Solution
from squarely.inference.covariance.options import CovarianceOptions, require_order
from squarely.inference.covariance.robust import RobustCovariance
from squarely.inference.covariance.serial_correlation.automatic_lag import choose_bandwidth
from squarely.inference.covariance.serial_correlation.moving_sums import MovingSums
from squarely.inference.engine_rows import has_windows, require_rows_of_fit, whiten_rows_in_engine
from squarely.inference.scan import WhitenedRows, fold_whitened_rows
from squarely.moments import sum_windows
from squarely.numerics import Array


def hac_covariance(solution: Solution, source: Source, options: CovarianceOptions) -> RobustCovariance:
    """Return the covariance of Newey and West with Bartlett weights, from one scan, and one before it for an automatic lag.

    Raises
    ------
    OptionError : the rows have no order, or there are no more rows than lags.
    """
    moments, q = solution.moments, len(solution.factor.columns)
    require_order(options, source, has_frequencies=moments.design.formula.has_frequencies)
    n = moments.n
    cov_kwds: dict[str, object] = {"automatic": options.lags is None}
    if options.lags is None:
        bandwidth = choose_bandwidth(solution, source)
        lags, cov_kwds["bandwidth"] = math.floor(min(bandwidth, n - 1)), bandwidth
    else:
        lags = options.lags
    if lags >= n:
        raise OptionError(f"lags={lags:,} needs more than {pluralize(n, 'row')}. Give fewer, or leave lags out.")

    factor = n / solution.df_resid if options.correction == "usual" else 1.0
    return RobustCovariance(
        cov_type="HAC",
        meat=factor * _sum_bartlett(solution, source, lags),
        df=solution.df_resid,
        rank=q,
        cov_kwds={"lags": lags, **cov_kwds, "correction": factor},
        notes=_describe(solution, options, lags),
    )


def _sum_bartlett(solution: Solution, source: Source, lags: int) -> Array:
    """Return the sum (q, q) of products of scores with Bartlett weights."""
    if has_windows(solution, source):
        rows = whiten_rows_in_engine(solution, source)
        found = sum_windows(rows, source, lags)
        require_rows_of_fit(solution, source, rows, found.n, found.gradient)
        return found.meat / (lags + 1)

    def step(rows: WhitenedRows) -> MovingSums:
        return MovingSums.of_rows(rows.scores, lags)

    return fold_whitened_rows(solution, source, step, MovingSums.__add__).bartlett()


def _describe(solution: Solution, options: CovarianceOptions, lags: int) -> tuple[str, ...]:
    n, df = solution.moments.n, solution.df_resid
    usual = options.correction == "usual"
    chosen = ", chosen by Newey and West 1994" if options.lags is None else ""
    degrees = f"t and F have {pluralize(df, 'degree')} of freedom"
    how = f"times {n:,}/{df:,}" if usual else "no factor"
    stata, adjust = (f"newey, lag({lags}) in Stata, ", "TRUE") if usual else ("", "FALSE")
    notes = [
        "Standard errors are robust to heteroscedasticity and to serial correlation (HAC: Newey-West, Bartlett weights, "
        f"{pluralize(lags, 'lag')}{chosen}), {how}; {options.describe_df(degrees)}. The same "
        f"numbers: {stata}NeweyWest(lag={lags}, prewhite=FALSE, adjust={adjust}) in R, and statsmodels' cov_type='HAC' with "
        f"maxlags={lags}, use_correction={usual}, use_t=True."
    ]
    account = solution.moments.account
    if account.read > account.used:
        notes.append("Rows that were left out leave no gap in the order: the rows around them count as consecutive.")
    return tuple(notes)
