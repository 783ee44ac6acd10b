"""The coefficients of a fit with their standard errors, tests and limits, as pandas objects under statsmodels' names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from squarely.data import RowAccount, Source, to_frame, to_series
from squarely.design import Design
from squarely.errors import OptionError, short_traceback, show_value
from squarely.exact import Solution
from squarely.inference.covariance.digits import digits_of_errors
from squarely.inference.covariance.robust import RobustCovariance, robust_covariance_matrix
from squarely.inference.statistics import Statistics, confidence_limits, covariance_of, p_values, t_values
from squarely.inference.summary.plain_numbers import coefficient_columns
from squarely.numerics import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class CoefficientStatistics(Statistics):
    """The coefficients of a fit, and what follows from their covariance.

    Attributes
    ----------
    solution : how the numbers were computed: method, refinement, rank, digits.
    source : where the rows are.
    robust : the covariance of the coefficients if it is not the classical one.
    """

    solution: Solution
    source: Source
    robust: RobustCovariance | None = None

    @property
    def design(self) -> Design:
        """The frozen design."""
        return self.solution.moments.design

    @property
    def rows(self) -> RowAccount:
        """Rows read, used and dropped, by column and cause."""
        return self.solution.moments.account

    @property
    def fold(self) -> str:
        """How the rows were summed: in "batches", or by "aggregates" in their engine."""
        return "batches" if self.solution.moments.engine_record is None else "aggregates"

    @property
    def params(self) -> pd.Series:
        """The coefficients, in the units of the data; NaN for a dropped column."""
        return self._label_params(self.solution.params)

    @property
    def covariance(self) -> Array:
        """The covariance (p, p) of the coefficients as a plain array, computed at each access; `cov_params` labels it."""
        if self.robust is not None:
            return robust_covariance_matrix(self.solution, self.robust)
        return covariance_of(self.solution, self.mse_resid)

    @property
    def cov_type(self) -> str:
        """The covariance that standard errors, t and F follow: "nonrobust", "HC0" to "HC4", "CR0" to "CR3", "HAC" or "DK"."""
        return "nonrobust" if self.robust is None else self.robust.cov_type

    @property
    def cov_kwds(self) -> Mapping[str, Any]:
        """What the covariance was computed with, such as clusters, lags and the small-sample factor."""
        return {} if self.robust is None else dict(self.robust.cov_kwds)

    @property
    def use_t(self) -> bool:
        """Whether tests and limits use the t distribution; otherwise the normal one."""
        return not math.isinf(self.df_resid_inference)

    @property
    def df_t(self) -> pd.Series:
        """The degrees of freedom of the t statistic of each coefficient; they differ with vcov="CR2" only."""
        return self._label_params(self.df_of_t)

    @property
    def bse(self) -> pd.Series:
        """The standard errors of the coefficients."""
        return self._label_params(self.standard_errors)

    @property
    def tvalues(self) -> pd.Series:
        """Coefficients over their standard errors."""
        return self._label_params(t_values(self.solution.params, self.standard_errors))

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of the t statistics with `df_t` degrees of freedom."""
        return self._label_params(p_values(self.solution.params, self.standard_errors, self.df_of_t))

    @property
    def digits(self) -> pd.Series:
        """Decimal digits of each coefficient that can be trusted, against the exact solution for the stored doubles.

        A coefficient that is tiny compared with its standard error has few digits, and needs none.
        """
        return self._label_params(self.solution.digits)

    @property
    def digits_bse(self) -> pd.Series:
        """Decimal digits of each standard error that can be trusted, NaN for one of zero."""
        return self._label_params(digits_of_errors(self.solution, self.robust))

    @property
    def dropped_columns(self) -> tuple[str, ...]:
        """A sentence for each column that was dropped because earlier ones span it."""
        return self.solution.factor.dependencies

    @short_traceback
    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return confidence limits at level 1 - alpha (p, 2): column 0 is the lower limit, column 1 the upper.

        Raises
        ------
        OptionError : alpha is not above 0, or is above 0.5.
        """
        require_alpha(alpha)
        low, high = confidence_limits(self.solution.params, self.standard_errors, self.df_of_t, alpha)
        return to_frame({0: low, 1: high}, list(self.design.names))

    @property
    def table(self) -> pd.DataFrame:
        """One row for each coefficient: coef, std_err, t, p, ci_lower and ci_upper (95 %), digits and digits_std_err."""
        return to_frame(coefficient_columns(self, self.solution, self.robust), list(self.design.names))

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix (p, p) of the coefficients, NaN for dropped columns."""
        return to_frame(self.covariance, list(self.design.names), list(self.design.names))

    def _label_params(self, values: Array) -> pd.Series:
        return to_series(values, list(self.design.names))


def require_alpha(alpha: Any) -> None:
    """Raise an OptionError unless alpha, which is one minus the level of limits, is above 0 and at most 0.5.

    >>> require_alpha(0.95)
    Traceback (most recent call last):
    squarely.errors.OptionError: alpha=0.95 would give limits at the level of 5 %. For 95 % limits write alpha=0.05.
    """
    if not _is_fraction(alpha):
        raise OptionError(f"alpha={show_value(alpha)} is not between 0 and 1. For 95 % limits write alpha=0.05.")
    if alpha > 0.5:
        raise OptionError(
            f"alpha={show_value(alpha)} would give limits at the level of {100 - 100 * float(alpha):.6g} %. "
            f"For {100 * float(alpha):.6g} % limits write alpha={1 - float(alpha):.6g}."
        )


def require_level(level: Any, name: str = "level") -> None:
    """Raise an OptionError unless the level of limits is at least 0.5 and below 1; `name` is that of the option.

    >>> require_level(95)
    Traceback (most recent call last):
    squarely.errors.OptionError: level=95 is not between 0 and 1. Write 0.95.
    """
    if not _is_fraction(level):
        right = float(level) / 100 if isinstance(level, int | float) and 50 <= level < 100 else 0.95
        raise OptionError(f"{name}={show_value(level)} is not between 0 and 1. Write {right:.6g}.")
    if level < 0.5:
        raise OptionError(
            f"{name}={show_value(level)} would give limits at the level of {100 * float(level):.6g} %. "
            f"For {100 - 100 * float(level):.6g} % limits write {1 - float(level):.6g}."
        )


def _is_fraction(value: Any) -> bool:
    is_number = isinstance(value, Real)  # as a name: mypy compares no Real with a float
    return is_number and bool(0.0 < value < 1.0)
