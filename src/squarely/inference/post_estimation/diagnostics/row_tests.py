"""`RowTest`: a test that is a fold of whitened rows; any number of them take one scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from squarely.data import is_aggregate_only, scan_purpose
from squarely.errors import OptionError
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.diagnostics.test_result import Test
from squarely.inference.scan import WhitenedRows, fold_whitened_rows
from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RowTest:
    """A test that follows from sums over the rows.

    Attributes
    ----------
    step : returns the sums of some rows, which `+` adds up in the order of the rows. It goes to other processes, so it holds
        nothing but what it needs. Tests with equal steps share the sums.
    finish : makes the test of the sums of all rows.
    """

    step: partial[Any]
    finish: Callable[[Any], Test]


@scan_purpose("diagnostics")
def run_row_tests(fit: CoefficientStatistics, tests: Sequence[RowTest]) -> list[Test]:
    """Scan the rows once for all tests.

    Raises
    ------
    DataError : the fit has no rows, or they are not those of the fit.
    OptionError : the rows stay in a database.
    """
    require_readable_rows(fit)
    keys = [(test.step.func, tuple(test.step.keywords.items())) for test in tests]
    steps = {key: test.step for key, test in zip(keys, tests, strict=True)}
    if not tests:
        return []
    total = fold_whitened_rows(fit.solution, fit.source, partial(_fold_all, steps=[*steps.values()]), _add_all)
    sums = dict(zip(steps, total, strict=True))
    return [test.finish(sums[key]) for key, test in zip(keys, tests, strict=True)]


def _fold_all(rows: WhitenedRows, steps: Sequence[Callable[[WhitenedRows], Any]]) -> list[Any]:
    return [step(rows) for step in steps]


def _add_all(a: list[Any], b: list[Any]) -> list[Any]:
    return [x + y for x, y in zip(a, b, strict=True)]


def run_row_test(fit: CoefficientStatistics, test: RowTest) -> Test:
    """Scan the rows for one test; raises as `run_row_tests`."""
    return run_row_tests(fit, [test])[0]


def require_readable_rows(fit: CoefficientStatistics) -> None:
    """Raise an OptionError if the rows stay in a database without an order."""
    if is_aggregate_only(fit.source) and not fit.source.ordered:
        raise OptionError(
            f"Diagnostics read the rows, which stay in {fit.source.require_engine().name}. Give ols order_by= a column that sorts "
            "them, or write them to a Parquet file and fit that."
        )


def require_order(fit: CoefficientStatistics, name: str) -> None:
    """Raise an OptionError if a test needs the order of the rows and they have none."""
    if fit.design.formula.has_frequencies:
        raise OptionError(
            f"{name} needs rows in an order, and the copies of a row that frequencies= counts have none. Fit without frequencies."
        )
    if not fit.source.ordered:
        raise OptionError(
            f"{name} needs rows in an order, and {fit.source.label} has none. Give ols order_by= with a column that sorts them, "
            "such as order_by='time'."
        )


def has_order(fit: CoefficientStatistics) -> bool:
    """Return whether `require_order` passes."""
    return fit.source.ordered and not fit.design.formula.has_frequencies


def root_weights(rows: WhitenedRows) -> Array | float:
    """Return the roots of the weights (m,), by which V and the residuals are multiplied; 1 without weights."""
    return 1.0 if rows.weights is None else np.sqrt(rows.weights)


def fitted_values(rows: WhitenedRows) -> Array:
    """Return the fitted values (m,), without an offset, in the scaled unit of the response."""
    fitted: Array = (rows.table[-1] - rows.residuals) / root_weights(rows)
    return fitted


def center_and_scale_of_fitted(fit: CoefficientStatistics) -> tuple[float, float]:
    """Return the mean and the standard deviation of the fitted values; without an intercept zero and the root mean square.

    Powers of such fitted values span, beside the columns, what powers of the fitted values do.
    """
    moments, factor, (hi, _) = fit.solution.moments, fit.solution.factor, fit.solution.scaled_params
    length = factor.R @ hi
    square = float(length @ length) / moments.weight
    mean = float(moments.gram[0, factor.columns] @ hi) / moments.weight if fit.design.intercept else 0.0
    return mean, float(np.sqrt(max(square - mean**2, 0.0)))
