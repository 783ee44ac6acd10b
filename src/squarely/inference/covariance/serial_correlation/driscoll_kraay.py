"""Driscoll and Kraay (1998): a covariance that is robust to correlation within periods and across them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import reduce
from typing import Any

import numpy as np

from squarely.data import Source, parses_as_number, require_one_spelling
from squarely.errors import DataError, OptionError, pluralize, show_value
from squarely.exact import Solution
from squarely.inference.covariance.clustered.cluster_scores import sum_groups
from squarely.inference.covariance.options import CovarianceOptions, require_order
from squarely.inference.covariance.robust import RobustCovariance, describe_rank
from squarely.inference.covariance.serial_correlation.automatic_lag import default_lags
from squarely.inference.covariance.serial_correlation.moving_sums import MovingSums

_FEW_PERIODS = 10
_PIECE = 8_192  # periods whose sums are accumulated at once: the rounding of moving sums does not grow with the periods


def driscoll_kraay_covariance(solution: Solution, source: Source, options: CovarianceOptions) -> RobustCovariance:
    """Return the covariance of Newey and West for the scores summed by period, from one scan.

    A step goes from one period that occurs to the next one.

    Raises
    ------
    DataError : there is one period.
    OptionError : there are too few periods for the lags, or rows have frequencies.
    """
    require_order(options, source, has_frequencies=solution.moments.design.formula.has_frequencies)
    name, n, q = str(options.time), solution.moments.nobs, len(solution.factor.columns)
    table = sum_groups(solution, source, name)
    T = len(table.counts)
    if T < 2:
        raise DataError(
            f"{name!r} of {source.label} has one value in all rows of the fit, and Driscoll-Kraay needs at least two periods. "
            "Name another column, or use vcov='HC3' if the rows are independent."
        )
    require_one_spelling(name, table.labels[0])
    lags = _read_lags(options, T)
    order, periods, by = _sort(table.labels[0].to_pylist(), source, name)
    scores = table.sums[order].T
    sums = reduce(MovingSums.__add__, (MovingSums.of_rows(scores[:, i : i + _PIECE], lags) for i in range(0, T, _PIECE)))
    factor = T / (T - 1) * (n - 1) / solution.df_resid if options.correction == "usual" else 1.0
    return RobustCovariance(
        cov_type="DK",
        meat=factor * sums.bartlett(),
        df=T - 1,
        rank=min(q, T - 1),
        cov_kwds={
            "time": name,
            "groups": {name: T},
            "lags": lags,
            "automatic": options.lags is None,
            "correction": factor,
        },
        notes=_describe(solution, options, periods, by, lags),
    )


def _read_lags(options: CovarianceOptions, periods: int) -> int:
    """Return the lags; an automatic choice has at most T - 2."""
    if options.lags is None:
        return min(default_lags(periods), periods - 2)
    if periods <= options.lags + 1:
        raise OptionError(
            f"lags={options.lags:,} needs at least {options.lags + 2:,} periods, and {options.time!r} has {periods:,}. "
            "Give fewer lags, or leave lags out."
        )
    return options.lags


def _sort(labels: Sequence[Any], source: Source, name: str) -> tuple[np.ndarray, np.ndarray | list[Any], str]:
    """Return the places (T,) of the periods in their order, the sorted periods, and by what order unless it is that of time.

    Numbers as text, such as those of a CSV file, are sorted by value. Other text has the order of its categories, or of text, which
    is that of time for ISO dates. Numbers are returned as an array, others as a list.
    """
    numbers = _to_numbers(labels)
    if numbers is not None:
        order = np.argsort(numbers, kind="stable")
        return order, np.asarray(numbers[order]), ""
    is_date = source.kind(name) == "other"
    levels = None if is_date else source.category_order(name)
    ranks = {level: rank for rank, level in enumerate(levels or ())}
    keys = [ranks[label] for label in labels] if ranks else labels
    order = np.array(sorted(range(len(labels)), key=keys.__getitem__))
    by = "" if is_date else ", in the order of its categories" if ranks else ", in the order of text"
    return order, [labels[i] for i in order.tolist()], by


def _to_numbers(labels: Sequence[Any]) -> np.ndarray | None:
    """Return numbers, or text that is finite numbers, as an array; None for other text."""
    if isinstance(labels[0], str) and not all(map(parses_as_number, labels)):  # `int` takes 2024_01, too
        return None
    if not isinstance(labels[0], float):
        with suppress(ValueError, OverflowError):
            return np.array([int(label) for label in labels], np.int64)
    numbers = np.array([float(label) for label in labels])
    return numbers if np.isfinite(numbers).all() else None


def _describe(
    solution: Solution, options: CovarianceOptions, periods: np.ndarray | list[Any], by: str, lags: int
) -> tuple[str, ...]:
    n, T, name = solution.moments.nobs, len(periods), options.time
    usual = options.correction == "usual"
    how = f"times {T:,}/{T - 1:,} * {n - 1:,}/{solution.df_resid:,}" if usual else "no factor"
    degrees = f"t and F have {pluralize(T - 1, 'degree')} of freedom"
    first, last = (f"{x:.15g}" if isinstance(x, float) else x for x in (periods[0], periods[-1]))
    elsewhere = f"feols(vcov=DK({lags})~{name}) in R" if usual else f"vcovSCC(type='HC0', maxlag={lags}) of plm in R"
    notes = [
        "Standard errors are robust to heteroscedasticity and to correlation within and across periods (DK: Driscoll-Kraay, "
        f"Bartlett weights, {pluralize(lags, 'lag')}, {T:,} periods of {name}, {first} to {last}{by}), {how}; "
        f"{options.describe_df(degrees)}. The same numbers: {elsewhere}."
    ]
    if isinstance(periods, np.ndarray):
        notes += _describe_gaps(name, periods)
    if T < _FEW_PERIODS:
        notes.append(f"Driscoll-Kraay is meant for many periods: with {T} the standard errors and tests are a rough guide.")
    return (*notes, *describe_rank(solution, f"{T:,} periods", T - 1))


def _describe_gaps(name: str | None, periods: np.ndarray) -> list[str]:
    """Say where whole numbers are further apart than elsewhere."""
    steps = np.diff(periods)
    gaps = np.flatnonzero(steps > steps.min()) if (periods == np.rint(periods)).all() else np.empty(0, dtype=int)
    if not len(gaps):
        return []
    before, after = (show_value(int(periods[gaps[0] + i])) for i in (0, 1))
    where = f"between {before} and {after}" if len(gaps) == 1 else f"the first between {before} and {after}"
    return [f"{name} has {pluralize(len(gaps), 'gap')}, {where}: the periods on both sides of a gap count as neighbors."]
