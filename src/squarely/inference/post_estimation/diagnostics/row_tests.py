"""`RowTest`: a test that is a fold of whitened rows; any number of them take one scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np

from squarely.data import scan_purpose
from squarely.errors import DataError
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.diagnostics.row_order.ordering import (
    Ordering,
    require_readable_rows,
    root_weights,
    sort_rows,
)
from squarely.inference.post_estimation.diagnostics.test_result import Test, require_residuals
from squarely.inference.scan import WhitenedRows, fold_whitened_rows
from squarely.numerics import Array

_PIECE = 8_192  # sorted rows that a test takes at once


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RowTest:
    """A test that follows from sums over the rows.

    Attributes
    ----------
    step : returns the sums of some rows, which `+` adds up in the order of the rows. It goes to other processes, so it holds
        nothing but what it needs. Tests with equal steps share the sums.
    finish : makes the test of the sums of all rows.
    ordering : an order with a key, in which the test takes V and the residuals; None for the order of the rows.
    """

    step: partial[Any]
    finish: Callable[[Any], Test]
    ordering: Ordering | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What tests with equal steps have in common."""
        return self.step.func, tuple(self.step.keywords.items())


@scan_purpose("diagnostics")
def run_row_tests(fit: CoefficientStatistics, tests: Sequence[RowTest]) -> list[Test | DataError]:
    """Scan the rows once for all tests, and once more to sort them for those in the order of a column.

    For a test that the rows do not support, return the error.

    Raises
    ------
    DataError : the fit has no rows, or they are not those of the fit.
    OptionError : the rows stay in a database.
    """
    require_readable_rows(fit)
    here = {test.key: test.step for test in tests if test.ordering is None}
    in_order = {test.key: test.step for test in tests if test.ordering is not None}
    sums: dict[Any, Any] = {}
    if here:
        total = fold_whitened_rows(fit.solution, fit.source, partial(_fold_all, steps=[*here.values()]), _add_all)
        sums |= zip(here, total, strict=True)
    for ordering in [test.ordering for test in tests if test.ordering is not None][:1]:
        X, y = sort_rows(fit, ordering)
        pieces = (_take(X, y, slice(start, start + _PIECE)) for start in range(0, len(y), _PIECE))
        total = reduce(_add_all, (_fold_all(rows, [*in_order.values()]) for rows in pieces))
        sums |= zip(in_order, total, strict=True)
    return [_finish(fit, test, sums[test.key]) for test in tests]


def _finish(fit: CoefficientStatistics, test: RowTest, sums: Any) -> Test | DataError:
    try:
        return require_residuals(fit, test.finish(sums))
    except DataError as error:
        return error


def _take(X: Array, y: Array, at: slice) -> WhitenedRows:
    residuals = y[at]
    return WhitenedRows(
        V=np.ascontiguousarray(X[at].T), residuals=residuals, positions=np.arange(len(residuals)), table=residuals[None]
    )


def _fold_all(rows: WhitenedRows, steps: Sequence[Callable[[WhitenedRows], Any]]) -> list[Any]:
    return [step(rows) for step in steps]


def _add_all(a: list[Any], b: list[Any]) -> list[Any]:
    return [x + y for x, y in zip(a, b, strict=True)]


def run_row_test(fit: CoefficientStatistics, test: RowTest) -> Test:
    """Scan the rows for one test; raises as `run_row_tests`, and for a test that the rows do not support."""
    result = run_row_tests(fit, [test])[0]
    if isinstance(result, DataError):
        raise result
    return result


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
